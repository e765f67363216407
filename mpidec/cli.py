"""The command line: verbs, and errors as sentences."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from mpidec import __version__
from mpidec.errors import BAD_INPUT, INTERRUPTED, NOT_WRITTEN, InputError

# and their modules in commands/
VERBS = {
    "run": "run",
    "sweep": "sweep",
    "claim": "claim",
    "study": "study",
    "submit": "submit",
    "status": "status",
    "report": "report",
    "topology": "topology",
    "list": "listing",
    "doctor": "doctor",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb; return the exit status: 0 well, 1 a run of a sweep failed (of the claim's too), 2 bad input, 3 a method
    diverged, 4 results could not be written, 75 stopped with a checkpoint, 130 interrupted.

    An InputError is told in one sentence on standard error.
    """
    # before NumPy loads: each rank is a process of its own, and threads of several would fight for the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _run_verb(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # a full disk shows here, not in the interpreter's last breath
        return status
    except (InputError, MemoryError) as error:
        if sys.stdout is not None:
            sys.stdout.flush()
        print(f"mpidec: {error or 'not enough memory'}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        _silence()  # the reader of our output (head, less) has gone: nothing is wrong, and nothing is left to say
        return 0
    except OSError as error:
        _silence()
        print(f"mpidec: {error}", file=sys.stderr)
        return NOT_WRITTEN
    except KeyboardInterrupt:
        print("mpidec: interrupted", file=sys.stderr)
        return INTERRUPTED


def _run_verb(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="mpidec", description="Decentralized optimization on real MPI ranks, with every byte counted."
    )
    parser.add_argument("--version", action="version", version=f"mpidec {__version__}")
    subparsers = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    # twenty ranks that start together feel what each imports: only the verb that is asked for, where one is
    for name in argv[:1] if argv and argv[0] in VERBS else VERBS:
        importlib.import_module(f"mpidec.commands.{VERBS[name]}").add_parser(subparsers)
    arguments = parser.parse_args(argv)
    status: int = arguments.main(arguments)
    return status


def _silence() -> None:
    """Send what standard output still holds nowhere: it has no place to go."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

"""The command line: verbs, and errors as sentences."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from mpidec import __version__
from mpidec.errors import InputError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb; return the exit status: 0 well, 2 bad input, 3 a method diverged, 4 results could not be written.

    An InputError is told in one sentence on standard error.
    """
    # before NumPy loads: each rank is a process of its own, and threads of several would fight for the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from mpidec.commands import doctor, listing, run, topology

    parser = argparse.ArgumentParser(
        prog="mpidec", description="Decentralized optimization on real MPI ranks, with every byte counted."
    )
    parser.add_argument("--version", action="version", version=f"mpidec {__version__}")
    subparsers = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in (run, topology, listing, doctor):
        verb.add_parser(subparsers)
    arguments = parser.parse_args(argv)
    try:
        status: int = arguments.main(arguments)
    except InputError as error:
        sys.stdout.flush()
        print(f"mpidec: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # the reader of our output (head, less) has gone: nothing is wrong, and nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status

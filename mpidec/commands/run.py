"""mpidec run: start the ranks of an experiment, or be one of them."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mpidec import __version__
from mpidec.config import Experiment, parse, read_table
from mpidec.errors import AgreedError, InputError, RunError
from mpidec.mpi import launcher
from mpidec.overrides import override
from mpidec.recorder import Recorder, default_folder, now

TERMINAL_VARIABLE = "MPIDEC_TERMINAL"
DIVERGED, NOT_WRITTEN, INTERRUPTED = 3, 4, 130


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "run",
        help="run an experiment file on real ranks",
        description="Run an experiment. Started plainly, it starts its own ranks; under mpiexec or srun it is a rank.",
    )
    parser.add_argument("experiment", type=Path, metavar="EXPERIMENT.toml")
    parser.add_argument("-n", type=int, metavar="RANKS", help="number of ranks, instead of the file's")
    parser.add_argument("--set", action="append", default=[], metavar="KEY.PATH=VALUE", help="change a setting; repeatable")
    parser.add_argument("--out", type=Path, metavar="DIR", help="new folder for the results (default runs/NAME-DATE-TIME)")
    parser.add_argument("--seed", type=int, help="the experiment's seed, instead of the file's")
    parser.add_argument("--dry-run", action="store_true", help="show what would run and the traffic it would cause")
    parser.add_argument(
        "--library-bytes",
        action="store_true",
        help="record Open MPI's own byte counts beside the ledger (slower start)",
    )
    parser.set_defaults(main=main)


def main(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    if launcher.promised() is not None:
        return _be_a_rank(arguments)
    experiment, notes = load(arguments)
    for note in notes:
        print(f"mpidec: note: {note}", file=sys.stderr)
    if arguments.dry_run:
        from mpidec.commands.dry_run import show

        return show(experiment)
    return _start_ranks(arguments, experiment)


def load(arguments: argparse.Namespace) -> tuple[Experiment, list[str]]:
    """The experiment that the command line describes, and notes on settings left out."""
    table, notes = changed_table(arguments)
    return parse(table, arguments.experiment.resolve().parent, arguments.experiment.name), notes


def changed_table(arguments: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """The experiment file's tables with the command line's changes."""
    settings = list(arguments.set)
    if arguments.n is not None:
        settings.append(f"ranks={arguments.n}")
    if arguments.seed is not None:
        settings.append(f"seed={arguments.seed}")
    return override(read_table(arguments.experiment), settings)


# -- the process that starts the ranks --------------------------------------------------------------------------------


def _start_ranks(arguments: argparse.Namespace, experiment: Experiment) -> int:
    folder = arguments.out or default_folder(experiment.name)
    if folder.exists():
        raise InputError(f"the output folder {folder} exists and is never overwritten: give another --out")
    library = launcher.family(launcher.library_version())
    found = launcher.find_launcher(library)
    program = [sys.executable, "-m", "mpidec", "run", str(arguments.experiment), "--out", str(folder)]
    for setting in arguments.set:
        program += ["--set", setting]
    program += ["-n", str(experiment.ranks), "--seed", str(experiment.seed)]
    program += ["--library-bytes"] if arguments.library_bytes else []
    command = launcher.command(found, experiment.ranks, program, arguments.library_bytes)
    environment = launcher.environment(found, experiment.ranks)
    if sys.stdout.isatty():
        environment[TERMINAL_VARIABLE] = str(os.get_terminal_size().columns)
    with tempfile.TemporaryDirectory(prefix="mpidec-") as scratch:
        told = Path(scratch) / "status"
        environment[launcher.STATUS_VARIABLE] = str(told)
        status, interrupted = run_and_forward_signals(command, environment)
        if status == 0 and told.exists():
            return int(told.read_text())
    if interrupted:
        _settle(folder, "interrupted", ("running",))
        kept = f"; what was recorded is in {folder}" if folder.exists() else ""
        print(f"mpidec: interrupted{kept}", file=sys.stderr)
        return INTERRUPTED
    if status != 0:
        # when another rank fails, rank 0 only learns that it is being ended, and takes that for an interruption
        _settle(folder, "failed", ("running", "interrupted"), reason=f"the ranks ended with status {status}")
        kept = f"; what was recorded is in {folder}" if folder.exists() else ""
        print(f"mpidec: the ranks ended with status {status}{kept}. Started as: {shlex.join(command)}", file=sys.stderr)
    return status


def _settle(folder: Path, status: str, instead_of: tuple[str, ...], **more: str) -> None:
    """Set the status in run.json right where rank 0 had no time to, or could not know better."""
    path = folder / "run.json"
    try:
        about = json.loads(path.read_text())
        if about["status"] in instead_of:
            path.write_text(json.dumps({**about, "status": status, "end": now(), **more}, indent=2) + "\n")
    except (OSError, ValueError, KeyError):
        return  # there is no such file, or no room for it: the message on the screen says the same


def run_and_forward_signals(command: list[str], environment: dict[str, str]) -> tuple[int, bool]:
    """Run the launcher in a process group of its own; pass Ctrl-C and SIGTERM on to it, once. (status, interrupted)."""
    try:
        child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        raise InputError(f"cannot start {command[0]}: {error.strerror}; mpidec doctor tells more") from None
    interrupted = threading.Event()

    def forward(number: int, _: Any) -> None:
        if not interrupted.is_set():
            interrupted.set()
            child.send_signal(signal.SIGTERM)
        elif number == signal.SIGINT:
            os.killpg(child.pid, signal.SIGKILL)  # the user insists

    before = {s: signal.signal(s, forward) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        status = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return (status if status >= 0 else 128 - status), interrupted.is_set()


# -- a rank -----------------------------------------------------------------------------------------------------------


def _be_a_rank(arguments: argparse.Namespace) -> int:
    interruption = _Interruption()
    from mpidec.mpi.world import World  # starts MPI

    world = World()
    try:
        status = _run_rank(world, arguments, interruption)
    except (AgreedError, RunError) as error:
        # raised on every rank alike, so that all leave together; one of them tells
        bad_input = isinstance(error, AgreedError)
        if world.rank == 0 and launcher.promised_rank() == 0:
            interruption.finish("failed", reason=str(error))
            sys.stdout.flush()
            print(f"mpidec: {error}", file=sys.stderr, flush=True)
        world.barrier()
        return _leave(world, 2 if bad_input else NOT_WRITTEN)
    except BaseException:
        # a fault on this rank alone: the others wait for it in an exchange and would for ever
        interruption.finish("failed", reason=f"rank {world.rank} raised an exception")
        text = "".join(f"[rank {world.rank}] {line}\n" for line in traceback.format_exc().splitlines())
        print(text, file=sys.stderr, flush=True)
        world.abort(1)
        raise
    world.close()
    return _leave(world, status)


def _table_for_ranks(arguments: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    if arguments.dry_run:
        raise InputError("--dry-run needs no ranks: call it without mpiexec")
    return changed_table(arguments)


def _leave(world: Any, status: int) -> int:
    """This rank's exit status: 0 where the process that started the ranks learns the real one from rank 0's file."""
    told = os.environ.get(launcher.STATUS_VARIABLE)
    if told is None:
        return status
    if world.rank == 0:
        Path(told).write_text(str(status))
    return 0


def _run_rank(world: Any, arguments: argparse.Namespace, interruption: _Interruption) -> int:
    from mpidec.experiment import run_experiment

    world.together(lambda: launcher.check_promise(world.size))
    table, _ = world.first(lambda: _table_for_ranks(arguments))
    where = world.first(lambda: arguments.experiment.resolve().parent)
    experiment = world.together(lambda: parse(table, where, arguments.experiment.name))
    folder = world.share(arguments.out or default_folder(experiment.name))
    about = world.first(lambda: _about(world))
    progress = None
    if world.rank == 0:
        from mpidec.report import Progress

        progress = Progress(os.environ.get(TERMINAL_VARIABLE))
    diverged = run_experiment(
        world,
        experiment,
        folder,
        about,
        library_bytes=arguments.library_bytes,
        progress=progress,
        on_recorder=interruption.watch,
    )
    if world.rank == 0 and progress is not None:
        progress.close()
        interruption.finish("diverged" if diverged else "finished", diverged=diverged)
        try:
            _show(folder, diverged)
        except OSError as error:
            # the other ranks are done: this one leaves as they do, with a status of its own
            print(f"mpidec: cannot draw the pictures in {folder}: {error.strerror}", file=sys.stderr, flush=True)
            return NOT_WRITTEN
    return DIVERGED if diverged else 0


def _show(folder: Path, diverged: list[str]) -> None:
    from mpidec.plots import save_figures
    from mpidec.report import print_table

    print_table(folder, save_figures(folder), os.environ.get(TERMINAL_VARIABLE))
    for sentence in diverged:
        print(f"mpidec: {sentence}", file=sys.stderr, flush=True)


def _about(world: Any) -> dict[str, Any]:
    packages = ("mpi4py", "numpy", "scipy", "networkx")
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        state = subprocess.run(git, capture_output=True, text=True, timeout=10, check=False).stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        state = None
    return {
        "command": shlex.join(["mpidec", *sys.argv[1:]]),
        "versions": {
            "mpidec": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
        "mpi_library": world.library(),
        "ranks": world.size,
        "cores": launcher.cores(),
        "blas_threads": os.environ.get("OMP_NUM_THREADS"),
        "platform": platform.platform(),
        "git": state,
    }


class _Interruption:
    """Ends this rank on Ctrl-C or SIGTERM with the run folder in order, even while it waits inside MPI.

    Python's own handlers wait for MPI to return, which it may not once other ranks are gone. So the signals are blocked
    before MPI starts threads, and a thread waits for them; rank 0's thread closes run.json.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self._recorder: Recorder | None = None
        signal.pthread_sigmask(signal.SIG_BLOCK, self.SIGNALS)
        threading.Thread(target=self._wait, daemon=True).start()

    def watch(self, recorder: Recorder) -> None:
        """Close this recorder's run when interrupted."""
        self._recorder = recorder

    def finish(self, status: str, **more: Any) -> None:
        """Write the run's end, if it is not there yet and can be written."""
        if self._recorder is not None:
            try:
                self._recorder.finish(status, **more)
            except OSError as error:
                if status != "failed":  # whose reason is told anyhow, and may well be the same full disk
                    print(f"mpidec: cannot write run.json: {error}", file=sys.stderr, flush=True)

    def _wait(self) -> None:
        signal.sigwait(self.SIGNALS)
        self.finish("interrupted")
        os._exit(INTERRUPTED)

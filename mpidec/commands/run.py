"""mpidec run: start the ranks of an experiment, or be one of them."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpidec import __version__
from mpidec.commands.asking import add_options, changed_table, commands, each_run, folder_of, load
from mpidec.commands.handover import Facts, Handover
from mpidec.commands.interruption import Interruption
from mpidec.config import parse
from mpidec.errors import BAD_INPUT, DIVERGED, NOT_WRITTEN, REQUEUE, AgreedError, InputError, RunError
from mpidec.mpi import launcher
from mpidec.recorder import Recorder
from mpidec.run_folder import NEXT


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "run",
        help="run an experiment file on real ranks",
        description="Run an experiment. Started plainly, it starts its own ranks; under mpiexec or srun it is a rank.",
    )
    add_options(parser)
    parser.set_defaults(main=main)


def main(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    runs = each_run(arguments)
    if launcher.promised() is not None:
        return _be_a_rank(runs)
    experiments, notes = load(runs)
    for note in notes:
        print(f"mpidec: note: {note}", file=sys.stderr)
    if arguments.dry_run:
        from mpidec.commands.dry_run import show

        return max(show(experiment) for experiment in experiments)
    from mpidec.commands.start import start_ranks

    return start_ranks(experiments, runs)


# -- a rank -----------------------------------------------------------------------------------------------------------


def _be_a_rank(runs: Sequence[argparse.Namespace]) -> int:
    handover = Handover.received()
    interruption = Interruption(handover)
    from mpidec.mpi.world import World  # starts MPI

    world = World()
    status = 0
    if len(runs) > 1:
        os.dup2(2, 1)  # launchers forward the two apart: only one keeps what is said of each run in order
    try:
        if handover is None and len(runs) > 1:
            world.first(lambda: load(runs)[1])  # as whoever starts ranks does, lest the first run be made and the last refused
        facts = handover.facts() if handover is not None and world.rank == 0 else None
        repeating = facts.commands if facts is not None else commands(runs)
        for number, (each, command) in enumerate(zip(runs, repeating, strict=True)):
            if number:
                _begin_next(world, each)
            status = max(status, _run_rank(world, each, command, facts, interruption, handover))
    except (AgreedError, RunError) as error:
        # raised on every rank alike, so that all leave together; one of them tells
        bad_input = isinstance(error, AgreedError)
        if world.rank == 0 and launcher.promised_rank() == 0:
            interruption.finish("failed", reason=str(error))
            sys.stdout.flush()
            print(f"mpidec: {error}", file=sys.stderr, flush=True)
        world.barrier()
        return _leave(world, BAD_INPUT if bad_input else NOT_WRITTEN, handover)
    except BaseException:
        # a fault on this rank alone: the others wait for it in an exchange and would for ever
        interruption.finish("failed", reason=f"rank {world.rank} raised an exception")
        text = "".join(f"[rank {world.rank}] {line}\n" for line in traceback.format_exc().splitlines())
        print(text, file=sys.stderr, flush=True)
        world.abort(1)
        raise
    world.close()
    return _leave(world, status, handover)


def _table_for_ranks(arguments: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    if arguments.dry_run:
        raise InputError("--dry-run needs no ranks: call it without mpiexec")
    return changed_table(arguments)


def _leave(world: Any, status: int, handover: Handover | None) -> int:
    """This rank's exit status: 0 where the process that started the ranks learns the real one from rank 0.

    A launcher whose ranks exit with statuses of their own talks of a crash.
    """
    if handover is None:
        return status
    if world.rank == 0:
        handover.answer("status", str(status))
    return 0


def _begin_next(world: Any, arguments: argparse.Namespace) -> None:
    """Between two runs: a ledger of its own, and a line that says which is next."""
    world.new_books()
    if world.rank == 0:
        sys.stdout.flush()
        print(f"{NEXT}{arguments.out}", file=sys.stderr, flush=True)


def _run_rank(
    world: Any,
    arguments: argparse.Namespace,
    command: str,
    facts: Facts | None,
    interruption: Interruption,
    handover: Handover | None,
) -> int:
    from mpidec.experiment import run_experiment

    world.together(lambda: launcher.check_promise(world.size))
    table, _ = world.first(lambda: _table_for_ranks(arguments))
    where = world.first(lambda: folder_of(arguments.experiment))
    experiment = world.together(lambda: parse(table, where, arguments.experiment.name))
    interruption.wait_for_a_checkpoint(experiment.checkpoint is not None)
    about = world.first(lambda: _about(world, command))
    progress = None
    if world.rank == 0:
        from mpidec.screen import Progress

        progress = Progress(facts.bar if facts else None)

    def on_recorder(recorder: Recorder) -> None:
        interruption.watch(recorder)
        if handover is not None:
            handover.answer("folder", str(recorder.folder))

    diverged, stopped = run_experiment(
        world,
        experiment,
        arguments.out,
        about,
        library_bytes=arguments.library_bytes,
        resume=arguments.resume,
        progress=progress,
        on_recorder=on_recorder,
        asked=interruption.asked.is_set,
    )
    if world.rank == 0 and progress is not None and interruption.recorder is not None:
        progress.close()
        if stopped is not None:
            interruption.finish("interrupted", reason=stopped)
            print(f"mpidec: {stopped}; go on with --resume --out={interruption.recorder.folder}", file=sys.stderr, flush=True)
            return REQUEUE
        interruption.finish("diverged" if diverged else "finished", diverged=diverged)
        try:
            _show(interruption.recorder.folder, diverged, facts.table if facts else None, not arguments.no_picture)
        except OSError as error:
            # the other ranks are done: this one leaves as they do, with a status of its own
            print(f"mpidec: cannot show the results: {error}", file=sys.stderr, flush=True)
            return NOT_WRITTEN
    return REQUEUE if stopped is not None else DIVERGED if diverged else 0


def _show(folder: Path, diverged: list[str], columns: int | None, picture: bool) -> None:
    from mpidec.screen import print_table

    print_table(folder, columns)
    if picture:
        from mpidec.plots import save_figures

        for figure in save_figures(folder):
            print(f"picture: {figure}", flush=True)
    for sentence in diverged:
        print(f"mpidec: {sentence}", file=sys.stderr, flush=True)


def _about(world: Any, command: str) -> dict[str, Any]:
    from importlib.metadata import version

    packages = (launcher.BINDING, "numpy", "scipy", "networkx")
    return {
        "command": command,
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
        "git": _git_state(),
    }


def _git_state() -> str | None:
    """The commit of the repository that this package's own files are in, if they are in one."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        for arguments in (
            ["ls-files", "--error-unmatch", Path(__file__).name],
            ["describe", "--always", "--dirty", "--abbrev=12"],
        ):
            done = subprocess.run([*git, *arguments], capture_output=True, text=True, timeout=10, check=False)
            if done.returncode != 0:
                return None  # no repository, or that of something the package is installed in
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None

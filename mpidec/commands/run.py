"""mpidec run: start the ranks of an experiment, or be one of them."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from mpidec import __version__
from mpidec.commands.handover import Handover
from mpidec.commands.interruption import Interruption
from mpidec.config import Experiment, parse, read_table
from mpidec.errors import BAD_INPUT, DIVERGED, NOT_WRITTEN, REQUEUE, AgreedError, InputError, RunError
from mpidec.mpi import launcher
from mpidec.overrides import override
from mpidec.recorder import Recorder
from mpidec.run_folder import NEXT


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
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with what is in --out, from the newest checkpoint; start where there is nothing yet",
    )
    parser.add_argument("--seed", type=int, help="the experiment's seed, instead of the file's")
    parser.add_argument(
        "--next",
        action="append",
        default=[],
        type=_seed_and_folder,
        metavar="SEED=DIR",
        help="then the same with this seed, by the same ranks, into this folder; repeatable",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would run and the traffic it would cause")
    parser.add_argument(
        "--library-bytes",
        action="store_true",
        help="record Open MPI's own byte counts beside the ledger (slower start)",
    )
    parser.add_argument("--no-picture", action="store_true", help="draw nothing at the end; mpidec report draws it later")
    parser.add_argument("--place", action="store_true", help="in a Slurm job: neighbors on the same host where they can be")
    parser.set_defaults(main=main)


def main(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    if arguments.resume and arguments.out is None:
        raise InputError("--resume goes on with the run in a folder: name it with --out")
    if arguments.next and (arguments.resume or arguments.out is None):
        raise InputError("--next names the folder of each run, none of which is there yet: give --out, and no --resume")
    if launcher.promised() is not None:
        return _be_a_rank(arguments)
    experiment, notes = load(arguments)
    for note in notes:
        print(f"mpidec: note: {note}", file=sys.stderr)
    if arguments.dry_run:
        from mpidec.commands.dry_run import show

        return show(experiment)
    from mpidec.commands.start import start_ranks

    return start_ranks(experiment, arguments)


def _seed_and_folder(text: str) -> tuple[int, Path]:
    seed, _, folder = text.partition("=")
    if not (folder and seed.isdecimal()):
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted SEED=DIR, with a whole number of 0 or more")
    return int(seed), Path(folder)


def each_run(arguments: argparse.Namespace) -> list[argparse.Namespace]:
    """The runs that the command line asks for, each by itself: the one of --seed and --out, and those of --next."""
    own = {**vars(arguments), "next": []}
    return [argparse.Namespace(**{**own, **more}) for more in ({}, *({"seed": s, "out": d} for s, d in arguments.next))]


def load(arguments: argparse.Namespace) -> tuple[Experiment, list[str]]:
    """The experiment that the command line describes, and notes on settings left out."""
    table, notes = changed_table(arguments)
    return parse(table, folder_of(arguments.experiment), arguments.experiment.name), notes


def folder_of(experiment: Path) -> Path:
    """Where relative paths in an experiment file start: its folder, or the current one for what is piped in."""
    return experiment.resolve().parent if experiment.is_file() else Path.cwd()


def changed_table(arguments: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """The experiment file's tables with the command line's changes."""
    settings = list(arguments.set)
    if arguments.n is not None:
        settings.append(f"ranks={arguments.n}")
    if arguments.seed is not None:
        settings.append(f"seed={arguments.seed}")
    return override(read_table(arguments.experiment), settings)


# -- a rank -----------------------------------------------------------------------------------------------------------


def _be_a_rank(arguments: argparse.Namespace) -> int:
    handover = Handover.received()
    interruption = Interruption(handover)
    from mpidec.mpi.world import World  # starts MPI

    world = World()
    status = 0
    if arguments.next:
        os.dup2(2, 1)  # launchers forward the two apart: only one keeps what is said of each run in order
    try:
        for number, each in enumerate(each_run(arguments)):
            status = max(status, _run_rank(world, each, number, interruption, handover))
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


def _run_rank(
    world: Any, arguments: argparse.Namespace, number: int, interruption: Interruption, handover: Handover | None
) -> int:
    from mpidec.experiment import run_experiment

    if number:
        world.new_books()
        if world.rank == 0:
            sys.stdout.flush()
            print(f"{NEXT}{arguments.out}", file=sys.stderr, flush=True)
    world.together(lambda: launcher.check_promise(world.size))
    table, _ = world.first(lambda: _table_for_ranks(arguments))
    where = world.first(lambda: folder_of(arguments.experiment))
    experiment = world.together(lambda: parse(table, where, arguments.experiment.name))
    interruption.wait_for_a_checkpoint(experiment.checkpoint is not None)
    facts = handover.facts() if handover is not None and world.rank == 0 else None
    typed = shlex.join(["mpidec", *sys.argv[1:]])
    about = world.first(lambda: _about(world, facts.commands[number] if facts else typed))
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

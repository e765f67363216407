"""What a command line of `mpidec run` asks for: its options, the further runs of --next, and the experiment of each."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from mpidec.config import Experiment, parse, read_table
from mpidec.errors import InputError
from mpidec.overrides import override

_OF_ALL = {
    "resume": "--resume",
    "next": "--next",
    "dry_run": "--dry-run",
    "place": "--place",
    "library_bytes": "--library-bytes",
}
"""Options that a further run cannot have of its own."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add all that `mpidec run` takes."""
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
        metavar="ARGUMENTS",
        help="then another run by the same ranks: an experiment of as many ranks with --out and what else it takes, quoted as "
        "one, as in --next 'EXPERIMENT.toml --seed 2 --out DIR'; repeatable",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would run and the traffic it would cause")
    parser.add_argument(
        "--library-bytes",
        action="store_true",
        help="record Open MPI's own byte counts beside the ledger (slower start)",
    )
    parser.add_argument("--no-picture", action="store_true", help="draw nothing at the end; mpidec report draws it later")
    parser.add_argument("--place", action="store_true", help="in a Slurm job: neighbors on the same host where they can be")


class _Further(argparse.ArgumentParser):
    """Takes the arguments of a further run. What is wrong in them is told as all bad input is."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError."""
        raise InputError(message)


def each_run(arguments: argparse.Namespace) -> list[argparse.Namespace]:
    """The runs that the command line asks for, each by itself: its own, and those of --next.

    Raises InputError in one sentence for what cannot be read of them, or does not go together.
    """
    if arguments.resume and arguments.out is None:
        raise InputError("--resume goes on with the run in a folder: name it with --out")
    if arguments.next and (arguments.resume or arguments.out is None):
        raise InputError("--next names the folder of each run, none of which is there yet: give --out, and no --resume")
    runs = [argparse.Namespace(**{**vars(arguments), "next": []})]
    for text in arguments.next:
        try:
            each = _further(text)
        except ValueError as error:  # an InputError is one, and so is a quotation that does not end
            raise InputError(
                f"--next {text!r}: {error}; wanted EXPERIMENT.toml --out=DIR and what else the run takes"
            ) from None
        each.library_bytes = arguments.library_bytes
        runs.append(each)
    return runs


def _further(text: str) -> argparse.Namespace:
    parser = _Further(add_help=False)
    add_options(parser)
    each = parser.parse_args(shlex.split(text))
    if given := [option for name, option in _OF_ALL.items() if getattr(each, name)]:
        raise InputError(f"{given[0]} is no option of a further run")
    if each.out is None:
        raise InputError("--out is missing")
    return each


def commands(runs: Sequence[argparse.Namespace]) -> list[str]:
    """A command that repeats each run by itself: what was typed, but where several were asked for."""
    return [shlex.join(["mpidec", *sys.argv[1:]])] if len(runs) == 1 else [_command(each) for each in runs]


def _command(each: argparse.Namespace) -> str:
    settings = [*each.set, *([] if each.n is None else [f"ranks={each.n}"])]
    words = ["mpidec", "run", str(each.experiment), *(f"--set={setting}" for setting in settings)]
    words += ([] if each.seed is None else [f"--seed={each.seed}"]) + [f"--out={each.out}"]
    return shlex.join(words + ["--no-picture"] * each.no_picture + ["--library-bytes"] * each.library_bytes)


# -- their experiments ------------------------------------------------------------------------------------------------


def load(runs: Sequence[argparse.Namespace]) -> tuple[list[Experiment], list[str]]:
    """The experiments of runs of the same ranks, and notes on settings left out. Raises InputError."""
    experiments, notes = [], dict[str, None]()
    for each in runs:
        table, told = changed_table(each)
        experiments.append(parse(table, folder_of(each.experiment), each.experiment.name))
        notes |= dict.fromkeys(told)
    _check_alike(runs, experiments)
    return experiments, list(notes)


def _check_alike(runs: Sequence[argparse.Namespace], experiments: Sequence[Experiment]) -> None:
    """Raise InputError where the same ranks cannot make all of the runs."""
    first = experiments[0]
    for each, experiment in zip(runs, experiments, strict=True):
        if experiment.ranks != first.ranks:
            raise InputError(
                f"--next: the run in {each.out} is for {experiment.ranks} ranks and the first for {first.ranks}, and the same "
                "ranks make all: give them as many, or make it by itself"
            )
        if len(runs) > 1 and experiment.checkpoint is not None:
            raise InputError(
                f"--next: a run that keeps checkpoints, as that in {each.out}, is made by itself: leave out --next, or the "
                "table [checkpoint]"
            )


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

"""mpidec submit: an experiment, or the runs of a sweep, as a Slurm job."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from mpidec.commands.asking import changed_table, folder_of
from mpidec.commands.sweep import refuse_ranks
from mpidec.config import Experiment, parse
from mpidec.errors import InputError
from mpidec.run_folder import check_new, default_folder, now
from mpidec.slurm import estimate, queue
from mpidec.slurm.jobs import SUFFIX, Job
from mpidec.slurm.script import fill, limit_seconds, output
from mpidec.sweep import read_sweep


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "submit",
        help="submit an experiment or a sweep to Slurm",
        description="Write a batch script for an experiment, or with --array for the runs of a sweep, check it, and submit it.",
    )
    parser.add_argument("file", type=Path, metavar="EXPERIMENT.toml")
    parser.add_argument("--array", action="store_true", help="the file is a sweep's: a job array, a task a run")
    parser.add_argument("--nodes", type=int, default=1, metavar="N", help="hosts (default 1)")
    parser.add_argument("--ntasks", type=int, metavar="R", help="ranks, instead of the file's")
    parser.add_argument("--time", required=True, metavar="T", help="limit as sbatch takes it: minutes, HH:MM:SS, D-HH")
    parser.add_argument("--partition", metavar="P", help="Slurm's partition (default: the cluster's)")
    parser.add_argument("--sbatch", action="append", default=[], metavar="OPTION", help="more for sbatch: --sbatch=--account=A")
    parser.add_argument("--set", action="append", default=[], metavar="KEY.PATH=VALUE", help="change a setting; repeatable")
    parser.add_argument("--seed", type=int, help="the experiment's seed, instead of the file's")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the run or sweep (default in runs)")
    parser.add_argument("--place", action="store_true", help="neighbors on the same host where they can be")
    parser.add_argument("--calibration", type=Path, metavar="FILE", help="what messages cost here, by hpc/bench/network.py")
    parser.add_argument("--dry-run", action="store_true", help="print the script and the checks, and submit nothing")
    parser.set_defaults(main=main)


@dataclass(frozen=True)
class _Plan:
    """What is to be submitted: its name, its experiments and their run folders, and the template with its arguments.

    `settings` is a resolved experiment to keep beside the script, under the name that the arguments begin with.
    """

    name: str
    experiments: Sequence[Experiment]
    folders: Sequence[Path]
    template: str
    arguments: Sequence[str]
    options: Sequence[str] = ()
    settings: dict[str, Any] | None = None


def main(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    refuse_ranks("mpidec submit")
    limit = limit_seconds(arguments.time)
    job_folder, plan = _of_sweep(arguments) if arguments.array else _of_experiment(arguments)
    ranks = max(experiment.ranks for experiment in plan.experiments)
    if arguments.array and arguments.ntasks is not None:
        if arguments.ntasks < ranks:
            raise InputError(f"--ntasks: got {arguments.ntasks}, wanted at least {ranks}, which a run of the sweep has")
        ranks = arguments.ntasks
    if not 1 <= arguments.nodes <= ranks:
        raise InputError(f"--nodes: got {arguments.nodes}, wanted 1 to {ranks}, the number of ranks")
    _check_resources(plan.experiments, arguments, limit)
    options = [
        f"--job-name={plan.name}",
        output(job_folder, "task-%a.log" if arguments.array else "job.log"),
    ]
    options += [f"--nodes={arguments.nodes}", f"--ntasks={ranks}", f"--ntasks-per-node={math.ceil(ranks / arguments.nodes)}"]
    options += [f"--time={arguments.time}", *([f"--partition={arguments.partition}"] if arguments.partition else [])]
    text = fill(plan.template, [*options, *plan.options, *arguments.sbatch], plan.arguments)
    if arguments.dry_run:
        print(text, end="")
        return 0
    script = job_folder / plan.template
    try:
        job_folder.mkdir(parents=True)
        script.write_text(text)
        if plan.settings is not None:
            Path(plan.arguments[0]).write_text(tomli_w.dumps(plan.settings))
    except OSError as error:
        raise InputError(f"cannot write into {job_folder}: {error.strerror}; give another --out") from None
    try:
        number = queue.submit(script)
    except InputError:
        for path in job_folder.iterdir():
            path.unlink()
        job_folder.rmdir()
        raise
    Job(number, arguments.array, [str(f) for f in plan.folders], ranks, now()).write(job_folder)
    runs = "a run" if len(plan.folders) == 1 else f"{len(plan.folders)} runs"
    print(f"job {number}: {runs} of {ranks} ranks; script and output in {job_folder}")
    return 0


def _of_experiment(arguments: argparse.Namespace) -> tuple[Path, _Plan]:
    arguments.n, arguments.experiment = arguments.ntasks, arguments.file
    table, notes = changed_table(arguments)
    _tell(notes)
    experiment = parse(table, folder_of(arguments.file), arguments.file.name)
    experiment.topology.check(experiment.ranks)
    experiment.problem.check(experiment.ranks)
    out = (arguments.out or default_folder(experiment.name)).absolute()
    job_folder = out.with_name(out.name + SUFFIX)
    for folder in (out, job_folder):
        check_new(folder)
    copy = job_folder / f"{experiment.name}.toml"
    given = [str(copy), f"--out={out}", *(["--place"] if arguments.place else [])]
    plan = _Plan(experiment.name, [experiment], [out], "run.sbatch", given, settings=experiment.resolved)
    return job_folder, plan


def _of_sweep(arguments: argparse.Namespace) -> tuple[Path, _Plan]:
    if arguments.seed is not None:
        raise InputError("--seed is an experiment's; a sweep file lists its seeds")
    if arguments.place:
        raise InputError("--place is for one experiment; leave it out with --array")
    sweep = read_sweep(arguments.file, arguments.set)
    _tell(sweep.notes)
    out = (arguments.out or Path("runs") / sweep.name).absolute()
    job_folder = default_folder(sweep.name).absolute()
    job_folder = out.parent / (job_folder.name + SUFFIX)
    check_new(job_folder)
    given = [str(arguments.file.absolute()), f"--out={out}", *(f"--set={setting}" for setting in arguments.set)]
    experiments, folders = [run.experiment for run in sweep.runs], [run.folder(out) for run in sweep.runs]
    return job_folder, _Plan(sweep.name, experiments, folders, "array.sbatch", given, [f"--array=0-{len(sweep.runs) - 1}"])


def _tell(notes: Sequence[str]) -> None:
    for note in notes:
        print(f"mpidec: note: {note}", file=sys.stderr)


def _check_resources(experiments: Sequence[Experiment], arguments: argparse.Namespace, limit: int) -> None:
    """Refuse what does not fit into a node's memory; tell what may not end in time, which a target may still save."""
    there = queue.node_memory(arguments.partition)
    needs = [estimate.node_nbytes(experiment, arguments.nodes) for experiment in experiments]
    needed = max((n for n in needs if n is not None), default=None)
    if needed is None:
        _tell(["the problem does not tell its size: memory is not checked"])
    elif there is not None and needed > there:
        raise InputError(
            f"a node needs up to {needed / 2**30:.3g} GiB for its ranks and their data, and those of the partition have "
            f"{there / 2**30:.3g} GiB; give more --nodes or another --partition"
        )
    calibration = estimate.Calibration() if arguments.calibration is None else estimate.Calibration.read(arguments.calibration)
    longest = max(estimate.seconds(experiment, calibration) for experiment in experiments)
    told = f"the longest of {len(experiments)} runs" if arguments.array else "the run"
    size = "" if needed is None else f", {needed / 2**20:,.0f} MiB a node"
    print(f"{told} takes up to about {longest:.0f} s of the {limit} s allowed{size}", file=sys.stderr)
    if longest > limit:
        _tell([f"the time limit may come first: give a longer --time than {arguments.time}, or a target at which to stop"])

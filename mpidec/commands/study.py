"""mpidec study: tune every method at every point of a study, compare them over seeds, and say who is ahead where."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from mpidec.commands.sweep import in_order, make, refuse_ranks
from mpidec.errors import FAILED, InputError
from mpidec.sweep import Sweep, states


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "study",
        help="compare methods, each with a step size tuned for every setting",
        description="Make the runs of a study that are not done yet: step sizes by successive halving at every point, a heat "
        "of all points at a time, then every method with its best one over the seeds. Writes study.html, study.json, "
        "results.csv and tuning.csv.",
    )
    parser.add_argument("study", type=Path, metavar="STUDY.toml")
    parser.add_argument("--quick", action="store_true", help="the short form in the file's table [quick]")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="runs at a time, each with its own ranks (default 1)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the results (default runs/NAME, runs/NAME-quick)")
    parser.set_defaults(main=main)


def main(arguments: argparse.Namespace) -> int:
    """Run the verb; 0 where all was measured, whether laws hold or not, 1 where a run failed."""
    refuse_ranks("a study")
    if arguments.jobs < 1:
        raise InputError(f"--jobs: got {arguments.jobs}, wanted at least 1")
    from mpidec.study.file import read_study, with_steps
    from mpidec.study.judging import judge_law, results, summary
    from mpidec.study.targets import reached
    from mpidec.study.thresholds import judge_thresholds, thresholds
    from mpidec.study.tuning import HeatFailedError, tune
    from mpidec.study.writing import Outcome, read_runs, write
    from mpidec.sweep.planned import FILES, Plan, joined

    study = read_study(arguments.study, quick=arguments.quick)
    out = arguments.out or Path("runs") / (study.file.name + ("-quick" if arguments.quick else ""))
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is no folder: give another --out")

    def made(sweep: Sweep, folder: Path) -> int:
        print(f"{sweep.name}: {len(sweep.runs)} runs in {folder}", flush=True)
        return make(sweep, sweep.runs, folder, arguments.jobs)

    def measure() -> int:
        try:
            tuned = tune(study, out, made)
        except HeatFailedError as error:
            print(f"mpidec: {error}", file=sys.stderr)
            return FAILED
        sweeps = {}
        for point in study.points:
            steps = [(label, step, label) for label, step in tuned[point.name].step_sizes.items()]
            table = with_steps(point.table, steps, point.iterations, point.table["observe"])
            sweeps[point.name] = Plan(point.name, table, study.file.seeds).write(out / FILES)
        last = joined("final runs", sweeps)
        made(last, out)
        if not all(state.done for state in states(last, out)):
            return FAILED
        runs = {name: read_runs([run.folder(out / name) for run in sweep.runs]) for name, sweep in sweeps.items()}
        found = results(study, tuned, runs)
        command = shlex.join(["mpidec", "study", str(arguments.study), *(["--quick"] if arguments.quick else [])])
        verdicts = [verdict for law in study.file.law for verdict in judge_law(study, law, found, command)]
        limits = thresholds(study, found, runs)
        verdicts += judge_thresholds(study, limits, command)
        files = write(study, out, Outcome(found, tuned, runs, verdicts, reached(study, runs), limits))
        _show(study, found)
        for verdict in verdicts:
            print(f"{verdict.outcome}: {verdict.claim}: {verdict.measured} ({verdict.interval}). {verdict.note}")
        for sentence in summary(study, found):
            print(sentence)
        for path in files:
            print(path)
        return 0

    try:
        (out / FILES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write into {out}: {error.strerror}; give another --out") from None
    return in_order(measure, out)


def _show(study: Any, found: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for name in (*study.keys, "method", "step size"):
        table.add_column(name, overflow="fold")
    for name in (study.file.metric, "interval", "bytes", "seconds"):
        table.add_column(name, justify="right")
    for result in found:
        own = result.estimate
        step = f"{result.step_size:g}" + (" (end of the grid)" if result.at_end else "")
        cells = [
            f"{own.mean:.3g}",
            own.told(),
            f"{result.bytes_max:,.0f}",
            "" if result.seconds is None else f"{result.seconds:.3g}",
        ]
        table.add_row(*map(str, result.point.varied.values()), result.method, step, *cells)
    console = Console(width=None if sys.stdout.isatty() else 160, markup=False, highlight=False)
    console.print(table)

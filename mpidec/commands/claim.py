"""mpidec claim: measure the communication claim, judge it, and write a page of the verdicts."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from mpidec.commands.sweep import in_order, make, refuse_ranks
from mpidec.errors import InputError
from mpidec.sweep import Sweep, states


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "claim",
        help="measure the communication claim and judge it",
        description="Run the sweeps that the communication claim is judged by, those that are not done yet, and write the "
        "verdicts: claim.json, verdicts.csv, claim.html. The sweep files are kept in DIR/sweeps for mpidec sweep.",
    )
    parser.add_argument("--quick", action="store_true", help="8 ranks at most, one seed: minutes, and less decided")
    parser.add_argument("--only", metavar="PART[,PART…]", help="some statements: bytes, accuracy, graphs, traffic, off_path")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="runs at a time, each with its own ranks (default 1)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the results (default runs/claim, runs/claim-quick)")
    parser.add_argument("--list", action="store_true", help="show the runs with their states and an estimate, and run nothing")
    parser.set_defaults(main=main)


def main(arguments: argparse.Namespace) -> int:
    """Run the verb; 0 where all was measured, whether it holds or not, 1 where a run failed."""
    refuse_ranks("the claim")
    if arguments.jobs < 1:
        raise InputError(f"--jobs: got {arguments.jobs}, wanted at least 1")
    from mpidec.claim import PARTS  # loads matplotlib and scipy
    from mpidec.claim.judging import judge, plans, rows, write
    from mpidec.sweep.planned import FILES

    parts = list(dict.fromkeys(arguments.only.split(","))) if arguments.only is not None else list(PARTS)
    if unknown := [part for part in parts if part not in PARTS]:
        raise InputError(f"--only: got {unknown[0]!r}, wanted some of {', '.join(PARTS)}, joined by commas")
    out = arguments.out or Path("runs") / ("claim-quick" if arguments.quick else "claim")
    planned = plans(parts, arguments.quick)
    if arguments.list:
        with tempfile.TemporaryDirectory(prefix="mpidec-") as scratch:
            return _list({name: plan.write(Path(scratch)) for name, plan in planned.items()}, out)
    try:
        sweeps = {name: plan.write(out / FILES) for name, plan in planned.items()}
    except OSError as error:
        raise InputError(f"cannot write the sweep files into {out / FILES}: {error.strerror}; give another --out") from None

    def measure() -> int:
        statuses = []
        for name, sweep in sweeps.items():
            print(f"{name}: {len(sweep.runs)} runs in {out / name}", flush=True)
            statuses.append(make(sweep, sweep.runs, out / name, arguments.jobs))
        judgment = judge(parts, arguments.quick, sweeps, out)
        files = write(judgment, out)
        _show(rows(judgment))
        for path in files:
            print(path)
        return max(statuses, default=0)

    return in_order(measure, out)


def _list(sweeps: Mapping[str, Sweep], out: Path) -> int:
    """Every run with its state and the seconds it may take on two quiet cores; what is left in all."""
    from mpidec.claim.plan import seconds
    from mpidec.sweep.running import share_ranks

    left = count = 0.0
    for name, sweep in sweeps.items():
        made = sorted(sweep.runs, key=lambda each: each.experiment.ranks)  # as they are, so that ranks are shared
        shared = {each.index for before, each in pairwise(made) if share_ranks(before, each)}
        for each, state in zip(sweep.runs, states(sweep, out / name), strict=True):
            lasts = seconds(each.experiment, starts=each.index not in shared)
            print(f"{state.status:11}  {lasts:5.0f} s  {name}/{each.id}" + (f"  ({state.reason})" if state.reason else ""))
            left, count = left + lasts * (not state.done), count + (not state.done)
    print(f"{count:.0f} runs to make, at most about {left / 60:.0f} minutes on two quiet cores")
    return 0


def _show(table: list[dict[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table(show_lines=True)
    for name in ("claim", "predicted", "measured", "interval", "verdict"):
        shown.add_column(name, overflow="fold")
    for row in table:
        shown.add_row(row["claim"], row["predicted"], row["measured"], row["interval"], row["verdict"])
    console = Console(width=None if sys.stdout.isatty() else 160, markup=False, highlight=False)
    console.print(shown)
    for row in table:
        if row["note"]:
            console.print(f"{row['claim']}: {row['note']}", soft_wrap=True)

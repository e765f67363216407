"""mpidec status: submitted jobs, with state, step, error and time left."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpidec.errors import InputError
from mpidec.slurm.jobs import Progress, progress, read_jobs
from mpidec.slurm.queue import Queued, queue


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "status",
        help="list what mpidec submit has submitted",
        description="List submitted runs, a line each: job, state, step, error, time left, and the run folder.",
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs"), metavar="DIR", help="of the runs (default runs)")
    parser.set_defaults(main=main)


def main(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    if not arguments.folder.is_dir():
        raise InputError(f"there is no folder {arguments.folder}: name the one that holds the runs that were submitted")
    known = queue()
    rows: list[tuple[str, ...]] = [("job", "state", "step", "error", "left", "folder")]
    for job in read_jobs(arguments.folder):
        rows += [row(number, known, progress(folder), folder) for number, folder in job.tasks()]
    if len(rows) == 1:
        print(f"no job was submitted from {arguments.folder}")
        return 0
    widths = [max(len(each[i]) for each in rows) for i in range(len(rows[0]))]
    for each in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(each, widths, strict=True)).rstrip())
    return 0


def row(number: str, known: Mapping[str, Queued], run: Progress, folder: Path) -> tuple[str, ...]:
    """The cells of one run. Slurm knows best whether it waits, runs or was ended; the run folder knows how it ended itself."""
    job = known.get(number)
    if job is not None and not job.ended:
        state = f"{job.state.lower()} ({job.reason})" if job.reason else job.state.lower()
    elif job is not None and job.state not in ("COMPLETED", "FAILED"):
        state = job.state.lower()
    elif run.status in ("", "running"):
        # it has ended, and could not write so
        state = "killed" if run.status else "failed"
    else:
        state = f"{run.status} ({run.reason})" if run.reason else run.status
    step = "" if run.step is None else f"{run.method} {run.step}" + ("" if run.steps is None else f"/{run.steps}")
    error = "" if run.error is None else f"{run.error[0]} {run.error[1]:.3g}"
    left = job.left if job is not None and job.state == "RUNNING" else ""
    return (number, state, step, error, left, str(folder))

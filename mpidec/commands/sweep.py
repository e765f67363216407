"""mpidec sweep: an experiment for many settings and seeds, a run folder each, and one table of all."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mpidec.errors import DIVERGED, FAILED, INTERRUPTED, NOT_WRITTEN, REQUEUE, InputError, RunError, Stopped
from mpidec.mpi import launcher
from mpidec.sweep import Run, State, Sweep, read_sweep, run, states, write_table
from mpidec.sweep.running import Hear


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "sweep",
        help="run an experiment for many settings and seeds",
        description="Make the runs of a sweep file that are not done yet, each in a folder of its own, and a table of all.",
    )
    parser.add_argument("sweep", type=Path, metavar="SWEEP.toml")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="runs at a time, each with its own ranks (default 1)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the runs and of runs.csv (default runs/NAME)")
    parser.add_argument("--list", action="store_true", help="show the runs with number and state, and run nothing")
    parser.add_argument("--index", type=int, metavar="I", help="only this run, counted from 0, as in a job array")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY.PATH=VALUE", help="change a setting of all runs; repeatable"
    )
    parser.set_defaults(main=main)


def main(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    refuse_ranks("a sweep")
    if arguments.jobs < 1:
        raise InputError(f"--jobs: got {arguments.jobs}, wanted at least 1")
    sweep = read_sweep(arguments.sweep, arguments.set)
    runs = sweep.runs
    if arguments.index is not None:
        if not 0 <= arguments.index < len(runs):
            raise InputError(f"--index: got {arguments.index}, wanted 0 to {len(runs) - 1}; --list shows them")
        runs = (runs[arguments.index],)
    out = arguments.out or Path("runs") / sweep.name
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is no folder: give another --out")
    if arguments.list:
        return _list(sweep, runs, out)
    for note in sweep.notes:
        print(f"mpidec: note: {note}", file=sys.stderr)
    return in_order(lambda: make(sweep, runs, out, arguments.jobs), out)


def in_order(work: Callable[[], int], out: Path) -> int:
    """The exit status of `work`, which makes runs in `out`, or of its end by a full disk or an interruption."""
    try:
        return work()
    except RunError as error:
        print(f"mpidec: {error}", file=sys.stderr)
        return NOT_WRITTEN
    except KeyboardInterrupt as how:
        with suppress(OSError):  # of a terminal that was closed
            print(f"mpidec: interrupted; what is done is in {out}, and the same command does the rest", file=sys.stderr)
        return REQUEUE if isinstance(how, Stopped) else INTERRUPTED


def make(sweep: Sweep, runs: Sequence[Run], out: Path, jobs: int) -> int:
    """Make the runs that are not done, tell of each and of how all stand; the exit status."""
    with _showing(runs, out) as hear:
        found = run(sweep, out, runs=runs, jobs=jobs, hear=hear)
    return _close(runs, found, out, out / ("*/runs.csv" if sweep.parts else "runs.csv"))


def refuse_ranks(what: str) -> None:
    """Raise InputError where this process is itself a rank: it could start none."""
    if (promise := launcher.promised()) is not None:
        raise InputError(
            f"{what} starts the ranks of its runs itself, but {promise[0]} is set: call it without mpiexec and srun"
        )


def _list(sweep: Sweep, runs: Sequence[Run], out: Path) -> int:
    try:
        found = states(sweep, out)
        for each in runs:
            state = found[each.index]
            print(f"{each.index:4}  {state.status:11}  {each.id}" + (f"  ({state.reason})" if state.reason else ""))
    except BrokenPipeError:
        raise  # the listing's reader has gone
    except OSError as error:
        print(f"mpidec: cannot go on with {error.filename or out}: {error.strerror}", file=sys.stderr)
        return NOT_WRITTEN
    try:
        if any(state.status != "to do" for state in found):
            write_table(sweep, out)
    except OSError as error:  # as where the sweep lies in an archive
        print(f"mpidec: note: {out / 'runs.csv'} stays as it is: {error.strerror}", file=sys.stderr)
    return 0


def _close(runs: Sequence[Run], found: Sequence[State], out: Path, table: Path) -> int:
    """Tell how the runs stand, and why those that failed did; the exit status."""
    counts = Counter(state.status for state in found)
    told = ", ".join(f"{n} {status}" for status, n in counts.items())
    print(f"{len(runs)} runs: {told}; table: {table}", flush=True)
    for each, state in zip(runs, found, strict=True):
        if state.status == "running":
            print(f"mpidec: note: {each.id} is being run by another process", file=sys.stderr)
        elif state.status != "finished":
            why = f"{state.status}: {state.reason}" if state.reason else state.status
            print(f"mpidec: {each.id} {why} (log: {each.log(out)})", file=sys.stderr)
    if set(counts) <= {"finished", "running"}:
        return 0
    return DIVERGED if set(counts) <= {"finished", "running", "diverged"} else FAILED


@contextmanager
def _showing(runs: Sequence[Run], out: Path) -> Iterator[Hear]:
    """What to tell of runs that start and end: one line that lives on a terminal, a line each elsewhere."""
    began: dict[str, float] = {}
    number = {each.id: f"{i}/{len(runs)}" for i, each in enumerate(runs, 1)}
    if not sys.stderr.isatty():

        def line(each: Run, state: State) -> None:
            if state.status == "running":
                began[each.id] = time.monotonic()
                print(f"{number[each.id]}  {each.id}: started", flush=True)
            elif each.id in began:  # others were done before
                seconds = time.monotonic() - began[each.id]
                print(f"{number[each.id]}  {each.id}: {state.status} after {seconds:.1f} s", flush=True)

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    count = TextColumn("{task.completed}/{task.total}")
    news = TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis"))
    bar = Progress(BarColumn(20), count, TimeElapsedColumn(), news, console=Console(stderr=True))
    ended: Counter[str] = Counter()
    task = bar.add_task("", total=len(runs))

    def redraw(each: Run, state: State) -> None:
        if state.status == "running":
            began[each.id] = time.monotonic()
        else:
            began.pop(each.id, None)
            ended[state.status] += 1
        told = [f"{n} {status}" for status, n in ended.items() if status != "finished"]
        bar.update(task, completed=ended.total(), description=", ".join([*began, *told]))

    bar.start()
    try:
        yield redraw
    finally:
        with suppress(OSError):  # of a terminal that was closed
            bar.stop()

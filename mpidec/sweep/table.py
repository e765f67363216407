"""runs.csv: the last row of every method of every run of a sweep, gathered from the run folders."""

from __future__ import annotations

import csv
import fcntl
import io
import os
from functools import cache
from pathlib import Path
from typing import Any

from mpidec.overrides import literal
from mpidec.sweep.folders import run_json, states
from mpidec.sweep.plan import Run, Sweep

Row = dict[str, Any]


def write_tables(sweep: Sweep, out: Path, of: Run | None = None) -> None:
    """Write runs.csv, of a sweep that joins several that of each; only the one in which the run `of` stands, if it is given.

    Raises OSError where it cannot.
    """
    for folder, part in (sweep.parts or {"": sweep}).items():
        if of is None or of.folder(out).parent == out / folder:
            write_table(part, out / folder)


def write_table(sweep: Sweep, out: Path) -> Path:
    """Write `out`/runs.csv from the folders alone, whole or not at all; its path. Raises OSError where it cannot.

    A row a run and method: the run, its varied settings by key path, its seed and status, the method and how it ended, and
    the columns of the last row of its trace, as far as it got; empty where there are none. Runs to do are left out. The
    lock `out`/.lock keeps sweeps that share the folder from writing an older state over a newer one.
    """
    path, partial = out / "runs.csv", out / "runs.csv.partial"
    with (out / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = table(sweep, out)
        columns = list(dict.fromkeys(["run", *sweep.keys, "seed", "status", "method", "ending", *(k for r in rows for k in r)]))
        try:
            with partial.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
            os.replace(partial, path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
    return path


def table(sweep: Sweep, out: Path) -> list[Row]:
    """The rows of runs.csv, values as text."""
    rows: list[Row] = []
    for run, state in zip(sweep.runs, states(sweep, out), strict=True):
        if state.status == "to do":
            continue
        varied = {key: value if isinstance(value, str) else literal(value) for key, value in run.varied.items()}
        head = {"run": run.id, **varied, "seed": run.seed, "status": state.status}
        # what a run has got so far, or what another run has got, is no result of this one
        methods = [] if state.status in ("running", "blocked") else _methods(run, out)
        rows += [{**head, **method} for method in methods] or [head]
    return rows


def _methods(run: Run, out: Path) -> list[Row]:
    """Method, ending and the last row of the trace for each method that the run has come to."""
    folder = run.folder(out)
    try:
        last = last_rows(folder / "trace.csv")
    except FileNotFoundError:
        return []
    endings = run_json(folder).get("methods", {})
    return [{"method": m, "ending": endings.get(m, {}).get("ending", ""), **row} for m, row in last.items()]


def last_rows(trace: Path) -> dict[str, dict[str, str]]:
    """The last whole row of a trace.csv by method, values as text, the newest method last."""
    return _last_rows(trace, trace.stat().st_mtime_ns)


@cache
def _last_rows(trace: Path, changed: int) -> dict[str, dict[str, str]]:
    """The last row by method; kept, since the table is written after each run. `changed` is the file's time."""
    del changed
    text = trace.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]  # a run that was killed may have left a part of a line
    # and a host that lost its power lines of nothing
    rows = [row for row in csv.DictReader(io.StringIO(whole)) if row.get("method") and None not in row]
    return {row["method"]: {name: value for name, value in row.items() if name != "method"} for row in rows}

"""What a run shows on the screen: progress on the way, a table at the end. Rank 0 only."""

from __future__ import annotations

import csv
import json
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from mpidec.engine import Row
from mpidec.metrics import METRICS, leading

_LINE_EVERY = 10.0  # seconds between two lines in a log
_DRAW_EVERY = 0.1  # seconds between two drawings of the bar


class Progress:
    """A live bar on a terminal of `terminal` columns, else a line now and then. Draws only when told of a row."""

    def __init__(self, terminal: str | None) -> None:
        self._last = -1e9
        self._label, self._steps = "", 0
        self._bar: Bar | None = None
        if terminal is not None:
            console = Console(force_terminal=True, width=int(terminal), file=sys.stderr)
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total}  {task.fields[news]}"),
                TimeElapsedColumn(),
                console=console,
                auto_refresh=False,  # a thread that draws would take time from the rank it lives on
            )
            self._bar.start()

    def begin(self, label: str, steps: int) -> None:
        """A method starts."""
        self._label, self._steps, self._last = label, steps, time.monotonic() - _LINE_EVERY / 2
        if self._bar is not None:
            self._task = self._bar.add_task(label, total=steps, news="")

    def row(self, row: Row) -> None:
        """An observation is there."""
        news = ", ".join(f"{name} {row[name]:.4g}" for name in leading(row))
        step = int(row["step"])
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, completed=step, news=news)
            if now - self._last > _DRAW_EVERY or step == self._steps:
                self._bar.refresh()
                self._last = now
        elif now - self._last > _LINE_EVERY:
            print(f"{self._label}: step {step} of {self._steps}, {news}, {row['seconds']:.1f} s", flush=True)
            self._last = now

    def close(self) -> None:
        """Leave the screen in order."""
        if self._bar is not None:
            self._bar.stop()


def read_trace(folder: Path) -> dict[str, list[dict[str, float]]]:
    """The rows of trace.csv by method, in order; numbers as floats."""
    methods: dict[str, list[dict[str, float]]] = {}
    with (folder / "trace.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            methods.setdefault(row.pop("method"), []).append({k: float(v) for k, v in row.items() if v})
    return methods


def modeled_methods(folder: Path) -> set[str]:
    """The methods with bytes that are modeled rather than counted."""
    with (folder / "ledger.csv").open(newline="") as file:
        charged = ("init", "iterate")
        return {r["method"] for r in csv.DictReader(file) if r["basis"] == "modeled" and r["account"] in charged}


def print_table(folder: Path, figures: list[Path], terminal: str | None) -> None:
    """The closing table of a run, from its folder, and where the pictures lie; `terminal` as for Progress."""
    trace, modeled = read_trace(folder), modeled_methods(folder)
    about: dict[str, Any] = json.loads((folder / "run.json").read_text())
    shown = leading(next(iter(trace.values()))[-1])
    library = "library_bytes_max" in next(iter(trace.values()))[-1]
    table = Table(title=f"{about['ranks']} nodes, {folder}", title_justify="left")
    table.add_column("method", no_wrap=True)
    names = ["iterations", *(f"final\n{n.replace('_', ' ')}" for n in shown), "rounds", "bytes of the\nbusiest node"]
    names += ["bytes\nin all", *(["library's count\nin all"] if library else []), "seconds"]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for label, rows in trace.items():
        last = rows[-1]
        mark = "~" if label in modeled else ""
        cells = [label, f"{last['step']:.0f}"]
        cells += [f"{last[n]:.4f}" if METRICS[n].higher_is_better else f"{last[n]:.2e}" for n in shown]
        cells += [f"{last['rounds']:.0f}", f"{mark}{last['bytes_max']:,.0f}", f"{mark}{last['bytes_total']:,.0f}"]
        cells += [f"{last['library_bytes_total']:,.0f}"] if library else []
        table.add_row(*cells, f"{last['seconds']:.2f}")
    # some launchers give a rank a terminal of their own, of no known width: what counts is the user's
    console = Console(
        force_terminal=terminal is not None,
        width=int(terminal) if terminal else 150,
        color_system="auto" if terminal is not None else None,
        highlight=False,
    )
    console.print(table)
    if modeled:
        console.print("~ modeled: 2 (L-1)/L of the payload a node; --library-bytes counts what the library sends")
    for name, value in about.get("references", {}).items():
        console.print(f"{name.replace('_', ' ')}: {value:.4f}")
    for figure in figures:
        console.print(f"picture: {figure}", soft_wrap=True)

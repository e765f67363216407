"""What a run shows on the screen: progress on the way, a table at the end. Rank 0 only."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from mpidec.engine import Row
from mpidec.metrics import METRICS, leading
from mpidec.reader import Trace, read_about, read_trace, read_traffic

_LINE_EVERY = 10.0  # seconds between two lines in a log
_DRAW_EVERY = 0.1  # seconds between two drawings of the bar


class Progress:
    """A live bar on a terminal of `columns` columns, else a line now and then. Draws only when told of a row."""

    def __init__(self, columns: int | None) -> None:
        self._last = -1e9
        self._label, self._steps = "", 0
        self._bar: Bar | None = None
        if columns is not None:
            console = Console(force_terminal=True, width=columns, file=sys.stderr)
            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.completed}/{task.total}  {task.fields[news]}", markup=False),
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


def print_table(folder: Path, columns: int | None) -> None:
    """The closing table of a run, from its folder, on a terminal of `columns` columns or in a log; rank 0 only.

    Where it is too wide for the terminal, each method's figures stand one below the other.
    """
    about, trace = read_about(folder), read_trace(folder)
    modeled = {method for method, traffic in read_traffic(folder).items() if traffic.collective}
    between = {label: own.bytes_between_hosts for label, own in about.methods.items()} if len(about.hosts) > 1 else None
    names, rows = _closing_rows(trace, modeled, between)
    # some launchers give a rank a terminal of its own, of no known width: what counts is the user's
    console = Console(
        force_terminal=columns is not None,
        width=columns or 200,
        color_system="auto" if columns is not None else None,
        highlight=False,
        markup=False,
    )
    table = Table(title=Text(f"{about.ranks} nodes, {folder}"), title_justify="left")
    for i, name in enumerate(names):
        table.add_column(Text(name), justify="right" if i else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    if Measurement.get(console, console.options.update(width=10_000), table).maximum <= console.width:
        console.print(table)
    else:
        console.print(f"{about.ranks} nodes, {folder}", soft_wrap=True)
        for row in rows:
            console.print(f"\n{row[0]}", soft_wrap=True)
            for name, cell in zip(names[1:], row[1:], strict=True):
                console.print(f"  {' '.join(name.split()):30}  {cell}", soft_wrap=True)
    if modeled:
        console.print("~ modeled: 2 (L-1)/L of the payload a node; --library-bytes counts what the library sends")
    if about.abreast:
        console.print("methods went abreast: seconds are those of all together")
    for name, value in about.references.items():
        console.print(f"{name.replace('_', ' ')}: {value:.4f}")
    for name, value in about.problem.items():
        shown = f"{value:.6g}" if isinstance(value, float) else value
        console.print(f"{name.replace('_', ' ')}: {shown}")


def _closing_rows(trace: Trace, modeled: set[str], between: Mapping[str, int] | None) -> tuple[list[str], list[list[str]]]:
    """The closing table's columns and cells, from each method's last observation; bytes between hosts where there are some."""
    newest = next(iter(trace.values()))[-1]
    shown, library = leading(newest), "library_bytes_max" in newest
    names = ["method", "iterations", *(f"final\n{n.replace('_', ' ')}" for n in shown), "rounds", "bytes of the\nbusiest node"]
    names += [
        "bytes\nin all",
        *(["bytes\nbetween hosts"] if between is not None else []),
        *(["library's count\nin all"] if library else []),
        "seconds",
    ]
    rows = []
    for label, observed in trace.items():
        last = observed[-1]
        mark = "~" if label in modeled else ""
        cells = [label, f"{last['step']:.0f}"]
        cells += [METRICS[n].shown(last[n]) for n in shown]
        cells += [f"{last['rounds']:.0f}", f"{mark}{last['bytes_max']:,.0f}", f"{mark}{last['bytes_total']:,.0f}"]
        if between is not None:
            cells.append("" if label in modeled else f"{between.get(label, 0):,}")
        cells += [f"{last['library_bytes_total']:,.0f}"] if library else []
        rows.append([*cells, f"{last['seconds']:.2f}"])
    return names, rows

"""What the page is made of: tables, pictures with their numbers, and numbers in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mpidec.html.series import Spread


@dataclass(frozen=True)
class Shown:
    """A number that is shown in a form of its own, and its range where it has one."""

    value: float
    text: str
    range: str = ""


Cell = str | int | float | Shown | None

ROWS = 60
"""Rows of a table for each series: beyond it nobody reads on, and the run's own file has them all."""


@dataclass(frozen=True)
class Table:
    """A table with a heading for each column; the first cell of a row is its heading."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def numeric(self, column: int) -> bool:
        """Whether the column holds nothing but numbers, which are then aligned to the right."""
        return not any(isinstance(row[column], str) for row in self.rows)


@dataclass(frozen=True)
class Picture:
    """A figure, what it shows in a sentence, and its numbers."""

    svg: Markup
    caption: str
    table: Table


@dataclass(frozen=True)
class Verdict:
    """A claim held against the measurement: what it says, what was measured, and whether it holds (None: not decided).

    `interval` is what is measured over seeds, `note` says in words what a reader must know, `command` measures it again.
    """

    claim: str
    predicted: str
    measured: str
    holds: bool | None
    interval: str = ""
    note: str = ""
    command: str = ""

    @property
    def outcome(self) -> str:
        """The verdict in words."""
        return "not decided" if self.holds is None else "holds" if self.holds else "does not hold"


def cell(value: Cell) -> Markup:
    """A number as people read it, with all its digits for machines; text as it is."""
    if value is None:
        return Markup("—")
    if isinstance(value, str):
        return Markup.escape(value)
    if isinstance(value, Shown):
        over = Markup(' <span class="range">({})</span>').format(value.range) if value.range else ""
        return Markup('<data value="{}">{}</data>{}').format(repr(value.value), value.text, over)
    if isinstance(value, float) and math.isfinite(value) and value == round(value) and abs(value) < 1e15:
        value = int(value)
    text = f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
    return Markup('<data value="{}">{}</data>').format(repr(value), text)


def value_cell(value: Any) -> Cell:
    """A setting, as TOML or JSON has it, for a table."""
    if value is None or (isinstance(value, int | float | str) and not isinstance(value, bool)):
        return value
    return str(value)


def many(count: int, what: str) -> str:
    """2 runs, 1 run."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def ranged(spread: Spread, show: Callable[[float], str] = "{:,.6g}".format) -> Shown:
    """A median, with the range where there is one."""
    middle, low, high = (float(x) for x in (spread.median, spread.low, spread.high))
    return Shown(middle, show(middle), "" if low == high else f"{show(low)} to {show(high)}")

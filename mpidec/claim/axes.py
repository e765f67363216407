"""Logarithmic axes of small whole numbers, with the numbers as people write them."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

_MANY = 8


def mark(axis: Axis, values: Iterable[float]) -> None:
    """Ticks at the values themselves, thinned evenly where they are many."""
    ticks = sorted(set(values))
    axis.set_major_locator(FixedLocator(ticks[:: -(-len(ticks) // _MANY)]))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())

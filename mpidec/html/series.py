"""Runs to series: a method with its settings, over the runs that differ only by the seed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpidec.html.collect import Run, Settings
from mpidec.plots import AXES, Curve

UNTOLD = ("seed", "name")
"""Settings in which the runs of one series may differ."""


@dataclass(frozen=True)
class Spread:
    """A number over the runs of a series: median, smallest and largest, as numpy has them; each () or (points,)."""

    median: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, values: Sequence[Sequence[float]] | Sequence[float]) -> Spread:
        """Over the first axis."""
        array = np.asarray(values, dtype=np.float64)
        return cls(np.median(array, axis=0), array.min(axis=0), array.max(axis=0))


@dataclass(frozen=True)
class Series:
    """One method with one choice of settings: `runs` differ by the seed alone, and have observations of it."""

    label: str
    method: str
    runs: tuple[Run, ...]

    @property
    def modeled(self) -> bool:
        """Whether some of its bytes are modeled rather than counted."""
        return any(run.traffic[self.method].collective for run in self.runs if self.method in run.traffic)

    def steps(self) -> list[float]:
        """The iterations at which all its runs were observed."""
        common = set.intersection(*({row["step"] for row in run.trace[self.method]} for run in self.runs))
        return sorted(common)

    def spread(self, column: str) -> Spread:
        """A column of trace.csv at the common iterations; what a row does not have is not a number."""
        steps = set(self.steps())
        rows = [[r.get(column, np.nan) for r in run.trace[self.method] if r["step"] in steps] for run in self.runs]
        return Spread.of(rows)

    def last(self, column: str) -> Spread:
        """A column in each run's last row."""
        return Spread.of([run.trace[self.method][-1].get(column, np.nan) for run in self.runs])

    def curve(self, metric: str) -> Curve:
        """Medians of costs and metric over the runs, and the metric's range where there are several."""
        spread = self.spread(metric)
        band = np.stack([spread.low, spread.high]) if len(self.runs) > 1 else None
        label = self.label + (" (bytes modeled)" if self.modeled else "")
        return Curve(label, {key: self.spread(key).median for key in AXES}, spread.median, band)


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys whose values are not the same in all, in the order they come."""
    keys = dict.fromkeys(key for one in settings for key in one)
    return [key for key in keys if any(one.get(key) != settings[0].get(key) for one in settings)]


def series(runs: Sequence[Run]) -> list[Series]:
    """The series of all runs. A label tells the settings in which runs, and methods of one label, differ."""
    groups: dict[Hashable, tuple[str, Settings, Settings, list[Run]]] = {}
    for run in runs:
        around = {key: value for key, value in run.settings.items() if key not in UNTOLD}
        for method, own in run.methods.items():
            if method in run.trace:
                key = method, repr(sorted(around.items())), repr(sorted(own.items()))
                groups.setdefault(key, (method, around, own, []))[3].append(run)
    outside = differing([around for _, around, _, _ in groups.values()])
    found = []
    for method, around, own, members in groups.values():
        inside = differing([other for name, _, other, _ in groups.values() if name == method])
        told = [f"{key} {around.get(key, 'none')}" for key in outside] + [f"{key} {own.get(key, 'none')}" for key in inside]
        found.append(Series(", ".join([method, *told]), method, tuple(members)))
    return found

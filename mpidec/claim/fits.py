"""What the claim reads off the measurements: intervals over seeds, slopes, rounds that an accuracy takes, plateaus."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
"""Confidence of the intervals: Student's t over seeds, each seed one independent draw of graph, data and start."""

METRIC = "subspace_distance"
SLACK = 1.3
"""A method keeps up with the centralized one where it takes at most so many times its iterations."""

FEWEST_SEEDS = 3
"""For an interval: of two seeds it is plus or minus nine times their distance, which tells nothing."""
_SETTLED = 1.5  # an error that falls by less in the last fifth of a run has stalled

Rows = Sequence[Mapping[str, float]]
"""A method's observations, as `reader.read_trace` gives them."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, and its interval, which fewer than three seeds do not have (not a number)."""

    mean: float
    low: float
    high: float
    seeds: int

    def inside(self, low: float, high: float) -> bool | None:
        """Whether the quantity lies in [low, high]: by its interval, None where that reaches over an end; else by its mean."""
        if math.isnan(self.mean):
            return None
        if math.isnan(self.low):
            return low <= self.mean <= high
        if low <= self.low and self.high <= high:
            return True
        return False if self.high < low or self.low > high else None

    def say(self, text: str) -> str:
        """The mean put into `text`, or that it is not known."""
        return "not known" if math.isnan(self.mean) else text.format(self.mean)

    def told(self, digits: int = 3) -> str:
        """The interval in words."""
        if math.isnan(self.low):
            return f"none: {self.seeds} seed{'' if self.seeds == 1 else 's'}"
        return f"{self.low:.{digits}g} to {self.high:.{digits}g} ({self.seeds} seeds)"


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and t-interval of one finite value a seed; all not a number where there is none."""
    from scipy.stats import t

    x = np.asarray(values, dtype=np.float64)
    if not len(x):
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean = float(x.mean())
    if len(x) < FEWEST_SEEDS:
        return Estimate(mean, math.nan, math.nan, len(x))
    half = float(t.ppf((1 + LEVEL) / 2, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x)))
    return Estimate(mean, mean - half, mean + half, len(x))


@dataclass(frozen=True)
class Line:
    """y = slope x + intercept by least squares; r2 is the share of y's variance that it explains."""

    slope: float
    intercept: float
    r2: float

    def at(self, x: float) -> float:
        """Its y at x."""
        return self.slope * x + self.intercept


def fit(x: Sequence[float], y: Sequence[float]) -> Line:
    """The line through points (n,), n >= 2, of at least two different x. A constant y has r2 = 1."""
    from scipy.stats import linregress

    if np.ptp(y) == 0.0:
        return Line(0.0, float(y[0]), 1.0)
    found = linregress(x, y)
    return Line(float(found.slope), float(found.intercept), float(found.rvalue) ** 2)


def power(x: Sequence[float], y: Sequence[float]) -> float:
    """The exponent p of y ~ x^p: the slope of log y against log x."""
    return fit(np.log(x).tolist(), np.log(y).tolist()).slope


def reaching(rows: Rows, eps: float) -> Mapping[str, float] | None:
    """The first observation whose error is at most eps; None where there is none."""
    return next((row for row in rows if row[METRIC] <= eps), None)


def fewest(ladder: Mapping[int, Rows], central: Rows, eps: float) -> int | None:
    """The fewest rounds an iteration, of those in the ladder, that reach eps within `SLACK` times the centralized iterations.

    None where no rung does, or the centralized method itself does not.
    """
    goal = reaching(central, eps)
    if goal is None:
        return None
    for rounds in sorted(ladder):
        row = reaching(ladder[rounds], eps)
        if row is not None and row["step"] <= SLACK * goal["step"]:
            return rounds
    return None


def plateaus(ladder: Mapping[int, Rows], floor: float, ceiling: float) -> dict[int, float]:
    """Where the error stalls, by rounds: of the runs whose last fifth neither reached `floor` nor gained a factor of 1.5.

    The level is the geometric mean of that fifth; one above `ceiling` is no accuracy, and left out.
    """
    found = {}
    for rounds, rows in sorted(ladder.items()):
        errors = np.array([row[METRIC] for row in rows])
        last = errors[-max(2, len(errors) // 5) :]
        if len(errors) > 2 and last.min() > floor and last[0] < _SETTLED * last[-1]:
            found[rounds] = float(np.exp(np.log(last).mean()))
    return {rounds: level for rounds, level in found.items() if level <= ceiling}


def fall(levels: Mapping[int, float]) -> float | None:
    """The factor by which a plateau falls with each added round, by a fit of its logarithm; None for fewer than two."""
    if len(levels) < 2:
        return None
    return math.exp(fit(list(levels), np.log(list(levels.values())).tolist()).slope)

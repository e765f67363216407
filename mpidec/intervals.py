"""Means over seeds with their intervals, and what they decide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
"""Confidence of the intervals: Student's t over seeds, each seed one independent draw of graph, data and start."""

FEWEST_SEEDS = 3
"""For an interval: of two seeds it is plus or minus nine times their distance, which tells nothing."""


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

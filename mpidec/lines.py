"""Straight lines through measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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

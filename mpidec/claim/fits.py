"""What the claim reads off the measurements: rounds that an accuracy takes, plateaus."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mpidec.lines import fit

METRIC = "subspace_distance"
SLACK = 1.3
"""A method keeps up with the centralized one where it takes at most so many times its iterations."""

_SETTLED = 1.5  # an error that falls by less in the last fifth of a run has stalled

Rows = Sequence[Mapping[str, float]]
"""A method's observations, as `reader.read_trace` gives them."""


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

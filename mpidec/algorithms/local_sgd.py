"""Local SGD over a graph: D-SGD that mixes every H-th step (arXiv 1808.07576; with exact averages arXiv 1805.09767).

    x'      = x_t - eta grad f_i(x_t, z_t)
    x_{t+1} = sum_j P_ij x'_j   if H divides t + 1,   else x'

| paper | code | shape |
|---|---|---|
| x_t | state.x | (d,) |
| eta, H | step_size, period | |

Travels: one message of d numbers to every neighbor in every H-th step, nothing in the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from mpidec.algorithms.stepping import Point, Stepping
from mpidec.network import Network
from mpidec.options import Meta
from mpidec.problems import Smooth
from mpidec.problems.base import Vector


@dataclass(frozen=True, kw_only=True)
class LocalSGD(Stepping):
    """Local SGD: steps along the own stochastic gradient, and one gossip round every `period` steps."""

    period: Annotated[int, Meta(ge=1, description="H, steps from one gossip round to the next")] = 10

    def traffic_class(self, k: int) -> int:
        """1 for steps that mix."""
        return int(k % self.period == 0)

    def init(self, net: Network, problem: Smooth, x0: Vector) -> Point:
        """At x0."""
        return Point(x0.copy())

    def step(self, net: Network, problem: Smooth, state: Point, k: int) -> Point:
        """Adapt, and now and then combine."""
        x = state.x - self.step_size * problem.grad(state.x, k)
        return Point(net.mix(x) if k % self.period == 0 else x)

"""D-SGD: decentralized stochastic gradient descent, adapt then combine (arXiv 1705.09056).

    x_{t+1} = sum_j P_ij (x_j - eta grad f_j(x_j, z_j))

| paper | code | shape |
|---|---|---|
| x_t | state.x | (d,) |
| eta | step_size | |
| P | net.self_weight, net.weights | |

Travels per step: one message of d numbers to every neighbor. Departs from the paper: the step comes before the mixing, as
in arXiv 2506.00961, not beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from mpidec.algorithms.stepping import Point, Stepping
from mpidec.network import Network
from mpidec.problems import Smooth
from mpidec.problems.base import Vector


@dataclass(frozen=True, kw_only=True)
class DSGD(Stepping):
    """D-SGD: a step along the own stochastic gradient, then one gossip round."""

    def init(self, net: Network, problem: Smooth, x0: Vector) -> Point:
        """At x0."""
        return Point(x0.copy())

    def step(self, net: Network, problem: Smooth, state: Point, k: int) -> Point:
        """Adapt, combine."""
        return Point(net.mix(state.x - self.step_size * problem.grad(state.x, k)))

"""Stochastic gradient tracking, in the form that one message a round serves (arXiv 1805.11454).

    x_{t+1} = sum_j P_ij (x_j - eta y_j)
    y_{t+1} = sum_j P_ij y_j + g_{t+1} - g_t,   g_t = grad f_i(x_t, z_t),  y_0 = g_0

| paper | code | shape |
|---|---|---|
| x_t | state.x | (d,) |
| y_t | state.y, which tracks the mean gradient | (d,) |
| g_t | state.g | (d,) |
| eta | step_size | |

Travels per step: one message of 2 d numbers to every neighbor. Departs from the paper, which mixes y after the gradients are
added and needs a second exchange, since g_{t+1} is taken at the x just received (choice). T steps draw T + 1 gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from mpidec.algorithms.stepping import Stepping
from mpidec.network import Network
from mpidec.problems import Smooth
from mpidec.problems.base import Vector


class TrackingState(NamedTuple):
    """x (d,), the iterate; y (d,), the tracked gradient; g (d,), the node's own gradient at x."""

    x: Vector
    y: Vector
    g: Vector


@dataclass(frozen=True, kw_only=True)
class GradientTracking(Stepping):
    """Gradient tracking: steps along an estimate of the network's mean gradient, mixed with the iterate in one message."""

    def init(self, net: Network, problem: Smooth, x0: Vector) -> TrackingState:
        """At x0, with the gradient of step 0."""
        g = problem.grad(x0, 0)
        return TrackingState(x0.copy(), g, g)

    def step(self, net: Network, problem: Smooth, state: TrackingState, k: int) -> TrackingState:
        """Step and mix, then follow the change of the own gradient."""
        x, y = net.mix(state.x - self.step_size * state.y, state.y)
        g = problem.grad(x, k)
        return TrackingState(x, y + g - state.g, g)

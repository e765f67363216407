"""D-SGD with momentum, each node's own (arXiv 1905.03817).

    m_{t+1} = beta m_t + grad f_i(x_t, z_t)
    x_{t+1} = sum_j P_ij (x_j - eta m_j)                                    m of t + 1

| paper | code | shape |
|---|---|---|
| x_t | state.x | (d,) |
| m_t, m_0 = 0 | state.m | (d,) |
| eta, beta | step_size, momentum | |

Travels per step: one message of d numbers to every neighbor. Departs from the paper: momenta are not averaged (choice), so
that traffic is that of D-SGD.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np

from mpidec.algorithms.stepping import Stepping
from mpidec.network import Network
from mpidec.options import Meta
from mpidec.problems import Smooth
from mpidec.problems.base import Vector


class HeavyState(NamedTuple):
    """x (d,), the iterate; m (d,), the momentum."""

    x: Vector
    m: Vector


@dataclass(frozen=True, kw_only=True)
class DSGDMomentum(Stepping):
    """D-SGD with momentum: D-SGD along a decaying sum of the own gradients."""

    momentum: Annotated[float, Meta(ge=0, lt=1, description="beta, what a step keeps of the sum of gradients")] = 0.9

    def init(self, net: Network, problem: Smooth, x0: Vector) -> HeavyState:
        """At x0 and at rest."""
        return HeavyState(x0.copy(), np.zeros_like(x0))

    def step(self, net: Network, problem: Smooth, state: HeavyState, k: int) -> HeavyState:
        """Add the gradient to the momentum, step, combine."""
        m = self.momentum * state.m + problem.grad(state.x, k)
        return HeavyState(net.mix(state.x - self.step_size * m), m)

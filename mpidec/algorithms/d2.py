"""D²: decentralized training over decentralized data, free of the nodes' heterogeneity (arXiv 1803.07068).

    x_{t+1} = sum_j P_ij (2 x_j,t - x_j,t-1 - eta (g_j,t - g_j,t-1)),   g_t = grad f_j(x_t, z_t)

| paper | code | shape |
|---|---|---|
| x_t, x_{t-1} | state.x, state.before | (d,) |
| g_{t-1} | state.g | (d,) |
| eta | step_size | |

Travels per step: one message of d numbers to every neighbor. The first step is D-SGD's: it starts as if x_{-1} = x_0 and
g_{-1} = 0. P must have no eigenvalue of -1/3 or less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from mpidec.algorithms.stepping import Stepping
from mpidec.errors import InputError
from mpidec.graph.facts import GraphFacts
from mpidec.network import Network
from mpidec.problems import Smooth
from mpidec.problems.base import Vector

# An even ring under Metropolis weights has -1/3 itself, which rounding may lift a little.
_LEAST = -1 / 3 + 1e-9


class D2State(NamedTuple):
    """x (d,), the iterate; before (d,), the one before it; g (d,), the gradient there."""

    x: Vector
    before: Vector
    g: Vector


@dataclass(frozen=True, kw_only=True)
class D2(Stepping):
    """D²: steps along differences of iterates and gradients, which cancels what the nodes' data differ by."""

    def bind(self, facts: GraphFacts) -> Self:
        """Raises InputError for a mixing matrix with an eigenvalue at which D² diverges."""
        if facts.lambda_min <= _LEAST:
            raise InputError(
                f"D² needs mixing weights whose eigenvalues are all above -1/3, and here the least is {facts.lambda_min:.6f}; "
                'use the lazy weights: graph.mixing = "lazy_metropolis" (or "lazy_max_degree")'
            )
        return self

    def init(self, net: Network, problem: Smooth, x0: Vector) -> D2State:
        """At x0, without a gradient."""
        return D2State(x0.copy(), x0.copy(), np.zeros_like(x0))

    def step(self, net: Network, problem: Smooth, state: D2State, k: int) -> D2State:
        """Extrapolate, correct by the change of the gradient, mix."""
        g = problem.grad(state.x, k)
        x = net.mix(2.0 * state.x - state.before - self.step_size * (g - state.g))
        return D2State(x, state.x, g)

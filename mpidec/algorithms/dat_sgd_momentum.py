"""DAT-SGD with a fixed momentum in place of growing weights, for non-convex models (arXiv 2506.00961, section 5).

    g_t      = grad f_i(x_t, z_t)
    w'       = w_t - eta g_t
    x'       = c w' + (1 - c) x_t
    w_{t+1}  = sum_j P_ij w'_j,   x_{t+1} = sum_j P_ij x'_j

| paper | code | shape |
|---|---|---|
| x_t | state.x, the estimate | (d,) |
| w_t | state.w | (d,) |
| eta, c | step_size, momentum | |

Travels per step: one message of 2 d numbers to every neighbor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

from mpidec.algorithms.stepping import Stepping
from mpidec.network import Network
from mpidec.options import Meta
from mpidec.problems import Smooth
from mpidec.problems.base import Vector


class MomentumState(NamedTuple):
    """x (d,), the query point; w (d,), the iterate."""

    x: Vector
    w: Vector


@dataclass(frozen=True, kw_only=True)
class DatSGDMomentum(Stepping):
    """DAT-SGD with fixed momentum: the query point moves to the iterate by the share c, for non-convex models."""

    momentum: Annotated[float, Meta(gt=0, le=1, description="c, the iterate's share in the next query point")] = 0.1

    def init(self, net: Network, problem: Smooth, x0: Vector) -> MomentumState:
        """Both at x0."""
        return MomentumState(x0.copy(), x0.copy())

    def step(self, net: Network, problem: Smooth, state: MomentumState, k: int) -> MomentumState:
        """Draw at the query point, move the iterate, average, mix."""
        c = self.momentum
        g = problem.grad(state.x, k)
        w = state.w - self.step_size * g
        x = c * w + (1.0 - c) * state.x
        w, x = net.mix(w, x)
        return MomentumState(x, w)

    def iterate(self, state: MomentumState) -> Vector:
        """w."""
        return state.w

"""DAT-SGD: decentralized anytime SGD, with gradients at the average of the iterates (arXiv 2506.00961, algorithm 1).

    g_t      = grad f_i(x_t, z_t)                                           at the query point, not at the iterate
    w'       = w_t - eta alpha_t g_t
    x'       = (A_{t-1}/A_t) x_t + (alpha_t/A_t) w'
    w_{t+1}  = sum_j P_ij w'_j,   x_{t+1} = sum_j P_ij x'_j

| paper | code | shape |
|---|---|---|
| x_t | state.x, the estimate | (d,) |
| w_t | state.w | (d,) |
| A_{t-1}, A_0 = 0 | state.weight | () |
| eta | state.step_size, a setting or theorem 4.1's | () |
| alpha_t = t | k^growth, `growth` 1 (others: choice) | |
| P | net.self_weight, net.weights | |

Travels per step: one message of 2 d numbers to every neighbor, twice that of D-SGD.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpidec.algorithms.anytime import Anytime, AnytimeState
from mpidec.network import Network
from mpidec.problems import Smooth


@dataclass(frozen=True, kw_only=True)
class DatSGD(Anytime):
    """DAT-SGD: gradients at the weighted average of the iterates; one gossip round on both in one message."""

    def step(self, net: Network, problem: Smooth, state: AnytimeState, k: int) -> AnytimeState:
        """Draw at the query point, move the iterate, average, mix."""
        eta, alpha = float(state.step_size), float(k) ** self.growth
        A = float(state.weight) + alpha
        g = problem.grad(state.x, k)
        w = state.w - eta * alpha * g
        x = (float(state.weight) / A) * state.x + (alpha / A) * w
        w, x = net.mix(w, x)
        return AnytimeState(x, w, np.array(A), state.step_size)

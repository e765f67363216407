"""The ablation of DAT-SGD: gradients at the iterate w, not at the query point x (arXiv 2506.00961).

    g_t      = grad f_i(w_t, z_t)                                           all else as in `dat_sgd.py`
    w'       = w_t - eta alpha_t g_t
    x'       = (A_{t-1}/A_t) x_t + (alpha_t/A_t) w'
    w_{t+1}  = sum_j P_ij w'_j,   x_{t+1} = sum_j P_ij x'_j

Symbols and traffic are those of `dat_sgd.py`. w is what D-SGD with the step size eta alpha_t would make, and x its weighted
average, which no gradient is taken at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpidec.algorithms.anytime import Anytime, AnytimeState
from mpidec.network import Network
from mpidec.problems import Smooth


@dataclass(frozen=True, kw_only=True)
class DatSGDAtIterate(Anytime):
    """DAT-SGD's ablation: gradients at the iterate, so that the average is of D-SGD's iterates."""

    def step(self, net: Network, problem: Smooth, state: AnytimeState, k: int) -> AnytimeState:
        """Draw at the iterate, move it, average, mix."""
        eta, alpha = float(state.step_size), float(k) ** self.growth
        A = float(state.weight) + alpha
        g = problem.grad(state.w, k)
        w = state.w - eta * alpha * g
        x = (float(state.weight) / A) * state.x + (alpha / A) * w
        w, x = net.mix(w, x)
        return AnytimeState(x, w, np.array(A), state.step_size)

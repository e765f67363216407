"""Decentralized AMSGrad: adaptive steps whose scales the nodes agree on by tracking (arXiv 2109.03194, algorithm 3).

    m_t     = beta1 m_{t-1} + (1 - beta1) g_t,   v_t = beta2 v_{t-1} + (1 - beta2) g_t^2,   vh_t = max(vh_{t-1}, v_t)
    u_t     = max(sum_j P_ij uh_j,t-1, eps)
    x_{t+1} = sum_j P_ij x_j,t - eta m_t / sqrt(u_t)
    uh_t    = sum_j P_ij uh_j,t-1 - vh_{t-1} + vh_t,   uh_0 = vh_0 = eps,  m_0 = v_0 = 0

| paper | code | shape |
|---|---|---|
| x_t | state.x | (d,) |
| m_t, v_t, vh_t | state.m, state.v, state.peak | (d,) |
| uh_t (u tilde at t + 1/2) | state.scale, which tracks the mean of the vh | (d,) |
| eta, beta1, beta2, eps | step_size, beta1, beta2, floor | |

Travels per step: one message of 2 d numbers to every neighbor. All operations on vectors are element by element. Without the
tracking each node would scale its gradients on its own, and the network would converge to another point than the optimum.
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


class AMSGradState(NamedTuple):
    """x (d,), the iterate; m, v, peak, scale (d,): momentum, second moment, its peak, and the tracked mean of the peaks."""

    x: Vector
    m: Vector
    v: Vector
    peak: Vector
    scale: Vector


@dataclass(frozen=True, kw_only=True)
class DAMSGrad(Stepping):
    """Decentralized AMSGrad: adaptive step sizes, agreed on by tracking; the practical rival."""

    beta1: Annotated[float, Meta(ge=0, lt=1, description="what a step keeps of the mean gradient")] = 0.9
    beta2: Annotated[float, Meta(ge=0, lt=1, description="what a step keeps of the mean square gradient")] = 0.999
    floor: Annotated[float, Meta(gt=0, description="eps, the least square gradient to scale by")] = 1e-6

    def init(self, net: Network, problem: Smooth, x0: Vector) -> AMSGradState:
        """At x0 and at rest."""
        zero, eps = np.zeros_like(x0), np.full_like(x0, self.floor)
        return AMSGradState(x0.copy(), zero, zero, eps, eps)

    def step(self, net: Network, problem: Smooth, state: AMSGradState, k: int) -> AMSGradState:
        """Moments of the own gradient, one exchange of iterate and scale, a scaled step, tracking."""
        g = problem.grad(state.x, k)
        m = self.beta1 * state.m + (1.0 - self.beta1) * g
        v = self.beta2 * state.v + (1.0 - self.beta2) * g * g
        peak = np.maximum(state.peak, v)
        mixed, scale = net.mix(state.x, state.scale)
        x = mixed - self.step_size * m / np.sqrt(np.maximum(scale, self.floor))
        return AMSGradState(x, m, v, peak, scale - state.peak + peak)

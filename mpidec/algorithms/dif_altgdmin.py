"""Dif-AltGDmin: diffusion-based alternating gradient descent and minimization (arXiv 2512.22675, 2512.23161).

    B_g    = argmin_b ||y_t - X_t U_g b||,  grad_g = sum_t X_t^T (X_t U_g b_t - y_t) b_t^T     (t in S_g)
    V_g    = U_g - eta L grad_g                                                               adapt
    V_g   <- AGREE(V, rounds)                                                                 combine
    U_g    = QR(V_g)

| paper | code | shape |
|---|---|---|
| U_g | state.U | (d, r) |
| eta | state.step_size, against the sum of all gradients | () |
| L | nodes | |
| T_con | rounds | |

Travels per iteration: `rounds` messages of d r numbers to every neighbor. The iteration is the
paper's; the step size follows from the initialization, whose departures stand in `spectral.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from numpy.typing import NDArray

from mpidec.algorithms.gossip_start import GossipStart
from mpidec.algorithms.spectral import SpectralState, orthonormalize
from mpidec.network import Network
from mpidec.options import Meta
from mpidec.problems import TwoBlock


@dataclass(frozen=True, kw_only=True)
class DifAltGDmin(GossipStart):
    """Dif-AltGDmin: a local gradient step, then gossip on the estimates of U (adapt, then combine)."""

    rounds: Annotated[int, Meta(ge=1, description="gossip rounds an iteration")] = 10

    def init(self, net: Network, problem: TwoBlock, x0: NDArray[Any]) -> SpectralState:
        """Spectral initialization by gossip."""
        return self.start_by_gossip(net, problem, x0)

    def step(self, net: Network, problem: TwoBlock, state: SpectralState, k: int) -> SpectralState:
        """Adapt, combine, orthonormalize."""
        grad, _ = problem.grad(state.U)
        V = state.U - state.step_size * self.nodes * grad
        V = net.mix(V, rounds=self.rounds)
        return SpectralState(orthonormalize(V)[0], state.step_size)

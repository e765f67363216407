"""Dec-AltGDmin: alternating gradient descent and minimization with consensus on the gradients (arXiv 2204.08117).

    B_g    = argmin_b ||y_t - X_t U_g b||,  grad_g = sum_t X_t^T (X_t U_g b_t - y_t) b_t^T     (t in S_g)
    D_g    = L AGREE(grad, rounds)
    U_g    = QR(U_g - eta D_g)

| paper | code | shape |
|---|---|---|
| U_g | state.U | (d, r) |
| eta | state.step_size, against the sum of all gradients | () |
| L | nodes | |
| T_con | rounds | |

Travels per iteration: `rounds` messages of d r numbers to every neighbor. U itself is never mixed: what nodes disagree on
after the initialization stays, and what AGREE leaves of the gradients adds to it, so that the error stalls near
gamma^rounds. The initialization, whose departures stand in `spectral.py`, therefore takes at least `rounds` rounds a sum
by default (choice). The rounds that an accuracy takes, as the theory has them, are those of `dec_altgdmin_falling`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from numpy.typing import NDArray

from mpidec.algorithms.gossip_start import GossipStart
from mpidec.algorithms.spectral import SpectralState, orthonormalize
from mpidec.graph.facts import GraphFacts
from mpidec.network import Network
from mpidec.options import Meta
from mpidec.problems import TwoBlock


@dataclass(frozen=True, kw_only=True)
class DecAltGDmin(GossipStart):
    """Dec-AltGDmin: gossip on the gradients, then a step; its accuracy ends where the gossip's does."""

    rounds: Annotated[int, Meta(ge=1, description="gossip rounds an iteration")] = 10

    def default_rounds_init(self, facts: GraphFacts) -> int:
        """Those of `GossipStart`, or `rounds` where that is more, lest the initialization be what the error stalls at."""
        return max(super().default_rounds_init(facts), self.rounds)

    def init(self, net: Network, problem: TwoBlock, x0: NDArray[Any]) -> SpectralState:
        """Spectral initialization by gossip."""
        return self.start_by_gossip(net, problem, x0)

    def step(self, net: Network, problem: TwoBlock, state: SpectralState, k: int) -> SpectralState:
        """Gradients agreed on, then the same step at every node."""
        grad, _ = problem.grad(state.U)
        D = self.nodes * net.mix(grad, rounds=self.rounds)
        return SpectralState(orthonormalize(state.U - state.step_size * D)[0], state.step_size)

"""DGD: decentralized gradient descent on U (arXiv 1310.7063), b_t minimized as in arXiv 2512.22675.

    B_g    = argmin_b ||y_t - X_t U_g b||,  grad_g = sum_t X_t^T (X_t U_g b_t - y_t) b_t^T     (t in S_g)
    U_g    = QR(sum_j W_gj U_j - eta grad_g)

| paper | code | shape |
|---|---|---|
| U_g | state.U | (d, r) |
| eta | state.step_size, against the sum of all gradients | () |
| W | net.self_weight, net.weights | |

Travels per iteration: one message of d r numbers to every neighbor. The network as a whole steps by eta / L along the sum
of the gradients, and a constant step leaves an error of its own, so this is slow and stalls: a yardstick. Departs from the
paper: QR, since U is orthonormal, and the spectral initialization with its step size (choice, see `spectral.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from mpidec.algorithms.gossip_start import GossipStart
from mpidec.algorithms.spectral import SpectralState, orthonormalize
from mpidec.network import Network
from mpidec.problems import TwoBlock


@dataclass(frozen=True, kw_only=True)
class DGD(GossipStart):
    """DGD: one gossip round on the estimates of U, and a step along the own gradient alone."""

    def init(self, net: Network, problem: TwoBlock, x0: NDArray[Any]) -> SpectralState:
        """Spectral initialization by gossip."""
        return self.start_by_gossip(net, problem, x0)

    def step(self, net: Network, problem: TwoBlock, state: SpectralState, k: int) -> SpectralState:
        """Combine, and adapt at the estimate before."""
        grad, _ = problem.grad(state.U)
        V = net.mix(state.U) - state.step_size * grad
        return SpectralState(orthonormalize(V)[0], state.step_size)

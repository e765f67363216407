"""AltGDmin, centralized: the yardsticks, over a fusion center and over all-reduce (arXiv 2102.10217).

    B      = argmin_b ||y_t - X_t U b||,  grad_g = sum_t X_t^T (X_t U b_t - y_t) b_t^T     (t in S_g)
    U     <- QR(U - eta sum_g grad_g)

| paper | code | shape |
|---|---|---|
| U | state.U | (d, r) |
| eta | state.step_size | () |

Travels per iteration, fusion center: d r numbers up and d r down per leaf; the hub, a node with tasks of its own, receives
and sends (L-1) d r. All-reduce: by a model 2 d r (L-1)/L per node, and what the library makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

from mpidec.algorithms.base import NetworkKind
from mpidec.algorithms.spectral import SpectralStart, SpectralState, orthonormalize
from mpidec.network import AllReduce, FusionCenter
from mpidec.problems import TwoBlock


@dataclass(frozen=True, kw_only=True)
class FusionAltGDmin(SpectralStart):
    """AltGDmin with a fusion center: rank 0 adds up all gradients, steps, and sends U back."""

    network: ClassVar[NetworkKind] = "fusion_center"

    def init(self, net: FusionCenter, problem: TwoBlock, x0: NDArray[Any]) -> SpectralState:
        """Spectral initialization with exact sums at the hub."""
        return self.start(net, problem, x0)

    def step(self, net: FusionCenter, problem: TwoBlock, state: SpectralState, k: int) -> SpectralState:
        """Gradients up, the new U down."""
        grad, _ = problem.grad(state.U)
        U = net.at_hub(grad, lambda total: orthonormalize(state.U - state.step_size * total)[0])
        return SpectralState(U, state.step_size)


@dataclass(frozen=True, kw_only=True)
class AllReduceAltGDmin(SpectralStart):
    """AltGDmin over MPI_Allreduce: no server, the honest MPI yardstick; its bytes are modeled."""

    network: ClassVar[NetworkKind] = "all_reduce"

    def init(self, net: AllReduce, problem: TwoBlock, x0: NDArray[Any]) -> SpectralState:
        """Spectral initialization with exact sums."""
        return self.start(net, problem, x0)

    def step(self, net: AllReduce, problem: TwoBlock, state: SpectralState, k: int) -> SpectralState:
        """Gradients added up everywhere, the same step everywhere."""
        grad, _ = problem.grad(state.U)
        total = net.total(grad)
        return SpectralState(orthonormalize(state.U - state.step_size * total)[0], state.step_size)

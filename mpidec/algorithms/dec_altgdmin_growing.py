"""Dec-AltGDmin with as many rounds as the accuracy reached asks for (arXiv 2204.08117).

    grad_g  as in `dec_altgdmin.py`
    D_g    = L AGREE(grad, rounds_k),  rounds_k = min(most, rounds + floor(growth k))
    U_g    = QR(U_g - eta D_g)

| paper | code | shape |
|---|---|---|
| U_g | state.U | (d, r) |
| eta | state.step_size, against the sum of all gradients | () |
| L | nodes | |
| T_con = O(log(1/eps) / log(1/gamma)) at accuracy eps | rounds_k | |

Travels at iteration k: rounds_k messages of d r numbers to every neighbor. Departs from the paper: its T_con is that of
the final accuracy from the first iteration on; here it grows with k, which costs about half as much (choice). `growth`
keeps up with the fastest progress there is: at condition number 1 the error falls to 0.88 an iteration, so log(1/0.88) /
log(1/gamma) rounds are added each time (choice); where progress is slower, give less. `most` and `rounds_init` bring a
disagreement down to `accuracy`, the latter with the factor L that its sums begin with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

from numpy.typing import NDArray

from mpidec.algorithms.gossip_start import GossipStart
from mpidec.algorithms.spectral import SpectralState, orthonormalize
from mpidec.graph.facts import GraphFacts
from mpidec.network import Network
from mpidec.options import Meta
from mpidec.problems import TwoBlock


@dataclass(frozen=True, kw_only=True)
class GrowingDecAltGDmin(GossipStart):
    """Dec-AltGDmin whose gossip rounds grow with the iteration, up to those that a final accuracy takes."""

    rounds: Annotated[int, Meta(ge=1, description="gossip rounds to begin with")] = 10
    growth: (
        Annotated[float, Meta(ge=0, description="rounds more an iteration; none: log(1/0.88) over what a round gains")] | None
    ) = None
    most: Annotated[int, Meta(ge=1, description="rounds at most; none: from accuracy")] | None = None
    accuracy: Annotated[float, Meta(gt=0, lt=1, description="what gossip may leave of a disagreement at the end")] = 1e-14

    def bind(self, facts: GraphFacts) -> Self:
        """Fill also `growth` and `most`."""
        most = self.rounds_to(1 / self.accuracy, facts) if self.most is None else self.most
        growth = -math.log(0.88) / self.rate(facts) if self.growth is None else self.growth
        return replace(super().bind(facts), growth=growth, most=most)

    def default_rounds_init(self, facts: GraphFacts) -> int:
        """Those that leave `accuracy` of the sums, or the diameter."""
        return max(facts.diameter_high, self.rounds_to(facts.nodes / self.accuracy, facts))

    def traffic_class(self, k: int) -> int:
        """The gossip rounds of step k. Raises ValueError when not bound."""
        if self.growth is None or self.most is None:
            raise ValueError(f"{type(self).__name__} needs growth and most: give both, or bind it to a graph's facts")
        return min(self.most, self.rounds + math.floor(self.growth * k))

    def init(self, net: Network, problem: TwoBlock, x0: NDArray[Any]) -> SpectralState:
        """Spectral initialization by gossip."""
        return self.start_by_gossip(net, problem, x0)

    def step(self, net: Network, problem: TwoBlock, state: SpectralState, k: int) -> SpectralState:
        """Gradients agreed on, then the same step at every node."""
        grad, _ = problem.grad(state.U)
        D = self.nodes * net.mix(grad, rounds=self.traffic_class(k))
        return SpectralState(orthonormalize(state.U - state.step_size * D)[0], state.step_size)

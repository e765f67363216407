"""Dec-AltGDmin at a given accuracy, with fewer rounds as the gradients shrink (arXiv 2204.08117).

    grad_g  as in `dec_altgdmin.py`
    D_g    = L AGREE(grad, rounds_k),  rounds_k = max(least, most - floor(fall (k - 1)))
    U_g    = QR(U_g - eta D_g)

| paper | code | shape |
|---|---|---|
| U_g | state.U | (d, r) |
| eta | state.step_size, against the sum of all gradients | () |
| L | nodes | |
| T_con = O(log(1/eps) / log(1/gamma)) for the accuracy eps | most | |

Travels at iteration k: rounds_k messages of d r numbers to every neighbor. U is never mixed, so a disagreement stays for
good, and the largest gradients, the first, need the most rounds: rounds that grow with the accuracy reached (`fall` < 0)
stall where the first ones leave them. Departs from the paper, whose rounds are `fall` = 0 (choice): a node's own gradient
shrinks with the error, at condition number 1 to 0.8 to 0.91 an iteration (0.92 is taken), and gossip need not shrink what
is gone. That halves the rounds of a run to 1e-14. It wants labels without noise, which keeps a node's own gradient from
vanishing though the sum does, and a condition number near 1: else give a smaller `fall`, or 0. Too few rounds for long are
no option either: what they leave of D_g, x of a disagreement, lets it grow by a factor of about 1 + eta lambda x an
iteration wherever gossip turns its sign. Hence `least`, by default the rounds that shrink to 1/L^2 (choice).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

from numpy.typing import NDArray

from mpidec.algorithms.gossip_start import GossipStart
from mpidec.algorithms.spectral import SpectralState, orthonormalize
from mpidec.errors import InputError
from mpidec.graph.facts import GraphFacts
from mpidec.network import Network
from mpidec.options import Meta
from mpidec.problems import TwoBlock


@dataclass(frozen=True, kw_only=True)
class FallingDecAltGDmin(GossipStart):
    """Dec-AltGDmin with the gossip rounds that an accuracy takes, fewer as the gradients shrink (no label noise)."""

    accuracy: Annotated[float, Meta(ge=1e-300, lt=1, description="what gossip may leave of a disagreement")] = 1e-14
    most: Annotated[int, Meta(ge=1, description="gossip rounds of the first iteration; none: from accuracy")] | None = None
    fall: (
        Annotated[
            float,
            Meta(ge=-1e3, le=1e3, description="rounds fewer an iteration, < 0: more; none: log(1/0.92) over a round's gain"),
        ]
        | None
    ) = None
    least: Annotated[int, Meta(ge=1, description="rounds at least; none: those that shrink to 1/L^2")] | None = None

    def bind(self, facts: GraphFacts) -> Self:
        """Fill also `most`, `fall` and `least`."""
        most = self.rounds_to(1 / self.accuracy, facts) if self.most is None else self.most
        fall = -math.log(0.92) / self.rate(facts) if self.fall is None else self.fall
        least = min(most, self.rounds_to(facts.nodes**2, facts)) if self.least is None else self.least
        if least > most:
            raise InputError(f"least = {least} is above most = {most}, the rounds of the first iteration: give a smaller least")
        return replace(super().bind(facts), most=most, fall=fall, least=least)

    def default_rounds_init(self, facts: GraphFacts) -> int:
        """The rounds that leave `accuracy` of the initialization's sums, which begin with a factor L."""
        return max(facts.diameter_high, self.rounds_to(facts.nodes / self.accuracy, facts))

    def traffic_class(self, k: int) -> int:
        """The gossip rounds of step k. Raises ValueError when not bound."""
        if self.most is None or self.fall is None or self.least is None:
            raise ValueError(f"{type(self).__name__} needs most, fall and least: give all, or bind it to a graph's facts")
        return max(self.least, self.most - math.floor(self.fall * (k - 1)))

    def init(self, net: Network, problem: TwoBlock, x0: NDArray[Any]) -> SpectralState:
        """Spectral initialization by gossip."""
        return self.start_by_gossip(net, problem, x0)

    def step(self, net: Network, problem: TwoBlock, state: SpectralState, k: int) -> SpectralState:
        """Gradients agreed on, then the same step at every node."""
        grad, _ = problem.grad(state.U)
        D = self.nodes * net.mix(grad, rounds=self.traffic_class(k))
        return SpectralState(orthonormalize(state.U - state.step_size * D)[0], state.step_size)

"""The spectral initialization by gossip alone (arXiv 2512.22675).

    total(x) = L AGREE(x, rounds_init)
    agree(Q) = QR(total(Q at node 0, 0 elsewhere))              re-synchronization: nearly node 0's basis at every node

| paper | code |
|---|---|
| L | nodes, the network's size, a setting filled from the graph (choice) |
| T_con of the initialization | rounds_init, by default max(diameter, ceil(log L / log(1/gamma))), or with Chebyshev's
  acceleration max(diameter, ceil(acosh L / acosh(1/gamma))) (choice) |
| gossip of the initialization | gossip_init, by default as in the iterations (choice) |

Travels: rounds_init messages to every neighbor for each of 1 + 2 power_iterations sums, in all
rounds_init (8 + 16 power_iterations d r) bytes a neighbor, and rounds_init 8 more where the step follows from the curvature,
and as many where the rank is estimated: node 0's estimate floods the network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from mpidec.algorithms.gossiping import Gossiping
from mpidec.algorithms.spectral import SpectralStart, SpectralState, orthonormalize
from mpidec.errors import InputError
from mpidec.graph.facts import GraphFacts
from mpidec.network import Network
from mpidec.options import Meta
from mpidec.problems import TwoBlock

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class GossipStart(SpectralStart, Gossiping):
    """The same by gossip alone, with the settings that gossip needs."""

    rounds_init: (
        Annotated[
            int,
            Meta(ge=1, description="gossip rounds a consensus of the initialization; none: max(diameter, mixing time)"),
        ]
        | None
    ) = None
    gossip_init: (
        Annotated[Literal["plain", "chebyshev"], Meta(description="gossip of the initialization alone; none: as `gossip`")]
        | None
    ) = None
    nodes: Annotated[int, Meta(ge=1, description="network size L in the formulas; none: the graph's")] | None = None
    gamma: Annotated[float, Meta(ge=0, le=1, description='for gossip_init = "chebyshev"; none: the graph\'s')] | None = None

    def bind(self, facts: GraphFacts) -> Self:
        """Fill `nodes`, `gamma` and `rounds_init`.

        Raises InputError for fewer rounds than the diameter: some nodes would keep zeros.
        """
        rounds = self.rounds_init
        if rounds is None:
            starting = self if self.gossip_init is None else replace(self, gossip=self.gossip_init)
            rounds = starting.default_rounds_init(facts)
        elif rounds < facts.diameter_low:
            raise InputError(
                f"rounds_init = {rounds} is below the graph's diameter {facts.diameter_low}: what one node starts with "
                f"would not reach every other; give at least {facts.diameter_high}, or leave it out"
            )
        gamma = facts.gamma if self.gamma is None else self.gamma
        return replace(self, nodes=self.nodes or facts.nodes, gamma=gamma, rounds_init=rounds)

    def default_rounds_init(self, facts: GraphFacts) -> int:
        """max(diameter, the rounds that shrink a disagreement to 1/L): what `rounds_init` is where it is not given."""
        return max(facts.diameter_high, self.rounds_to(facts.nodes, facts))

    def start_by_gossip(self, net: Network, problem: TwoBlock, x0: Array) -> SpectralState:
        """The spectral initialization with `rounds_init` rounds of gossip for each sum. Raises ValueError when not bound."""
        if self.nodes is None or self.rounds_init is None:
            raise ValueError(f"{type(self).__name__} needs nodes and rounds_init: give both, or bind it to a graph's facts")
        if self.gossip_init == "chebyshev" and self.gamma is None:
            raise ValueError(
                f"{type(self).__name__} needs gamma for its initialization: give it, or bind it to a graph's facts"
            )
        if self.gossip_init is not None:
            net = net.with_gamma(self.gamma if self.gossip_init == "chebyshev" else None)
        return self.start(_Gossip(net, self.nodes, self.rounds_init), problem, x0)


class _Gossip:
    """Sums and agreement by gossip."""

    def __init__(self, net: Network, nodes: int, rounds: int) -> None:
        self._net, self._nodes, self._rounds = net, nodes, rounds

    def total(self, x: Array) -> Array:
        result: Array = self._nodes * self._net.mix(x, rounds=self._rounds)
        return result

    def agree(self, x: Array) -> Array:
        # the other nodes put zeros, so that the sum is node 0's basis, nearly, at every node
        return orthonormalize(self.total(x if self._net.rank == 0 else np.zeros_like(x)))[0]

    def adopt(self, x: Array) -> Array:
        # flooding, since a mean is only nearly the same everywhere; there are at least as many rounds as the diameter
        known = x if self._net.rank == 0 else np.zeros_like(x)
        for _ in range(self._rounds):
            known = np.maximum(known, self._net.exchange(known).max(axis=0, initial=0.0))
        return known

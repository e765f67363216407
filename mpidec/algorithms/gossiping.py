"""The option that every method over gossip shares: plain or Chebyshev-accelerated, and the rounds that either needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from mpidec.algorithms.base import Algorithm
from mpidec.errors import InputError
from mpidec.graph.facts import GraphFacts
from mpidec.options import Meta


@dataclass(frozen=True, kw_only=True)
class Gossiping(Algorithm):
    """A method that speaks to neighbors alone."""

    gossip: Annotated[
        Literal["plain", "chebyshev"],
        Meta(description="chebyshev: about the square root of the rounds for the same accuracy; takes the graph's gamma"),
    ] = "plain"

    @property
    def accelerated(self) -> bool:
        """See `Algorithm.accelerated`."""
        return self.gossip == "chebyshev"

    def rate(self, facts: GraphFacts) -> float:
        """What a round adds to -log(disagreement), in the long run: log(1/gamma), accelerated acosh(1/gamma).

        Infinite where one round is exact. Raises InputError where gamma is 1 to the last digit.
        """
        if facts.gamma >= 1.0 and facts.nodes > 1:
            raise InputError(
                "the graph's gamma is 1 to the last digit, so that rounds cannot be chosen from it: give them, or another graph"
            )
        if facts.gamma == 0.0 or facts.nodes == 1:
            return math.inf
        return math.acosh(1.0 / facts.gamma) if self.accelerated else -math.log(facts.gamma)

    def rounds_to(self, shrink: float, facts: GraphFacts) -> int:
        """Rounds, at least 1, after which no more than 1/`shrink` of a disagreement is left.

        ceil(log(shrink) / log(1/gamma)), accelerated ceil(acosh(shrink) / acosh(1/gamma)).
        """
        return max(1, math.ceil((math.acosh(shrink) if self.accelerated else math.log(shrink)) / self.rate(facts)))

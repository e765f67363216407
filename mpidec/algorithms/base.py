"""What an algorithm is: options, a starting state, and one step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

from numpy.typing import NDArray

from mpidec.graph.facts import GraphFacts
from mpidec.problems import TwoBlock

NetworkKind = Literal["graph", "fusion_center", "all_reduce"]


@dataclass(frozen=True, kw_only=True)
class Algorithm(ABC):
    """A frozen dataclass whose fields are the options; the first line of its docstring is its line of help.

    `state` is a NamedTuple of arrays, the node's own estimate first. No method may change an array it was given.
    """

    network: ClassVar[NetworkKind] = "graph"
    """What it talks over: `Network` (neighbors alone), `FusionCenter`, or `AllReduce`."""
    requires: ClassVar[type] = TwoBlock
    """The problem protocol it works on."""

    @property
    def accelerated(self) -> bool:
        """Whether gossip over its network is Chebyshev-accelerated, see `Network.mix`."""
        return False

    def bind(self, facts: GraphFacts) -> Self:
        """Fill the settings that follow from the graph. Raises InputError where a given one does not fit it."""
        return self

    def check(self, problem: Any) -> None:
        """Raise InputError where the options do not fit the problem, which is of the kind that is required."""
        del problem  # nothing to object

    @abstractmethod
    def init(self, net: Any, problem: Any, x0: NDArray[Any]) -> NamedTuple:
        """The state before the first step; `x0` is the problem's random start, the same at every node."""

    @abstractmethod
    def step(self, net: Any, problem: Any, state: Any, k: int) -> NamedTuple:
        """The state after step k = 1, 2, …"""

    def traffic_class(self, k: int) -> int:
        """What tells steps of different traffic apart: those of one class send alike, and predictions rehearse one of each.

        One class unless overridden; a method whose messages change with k overrides it.
        """
        del k
        return 0

    def at_largest(self) -> Self:
        """The same with messages as large as the settings allow, for what is known only in a run; itself by default."""
        return self

    def estimate(self, state: Any) -> NDArray[Any]:
        """The node's own estimate, what metrics judge."""
        estimate: NDArray[Any] = state[0]
        return estimate

    def iterate(self, state: Any) -> NDArray[Any]:
        """What the node's steps change, where that is something else than its estimate."""
        return self.estimate(state)

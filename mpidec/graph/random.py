"""Random topologies: drawn as a whole, and drawn again until connected."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from mpidec.errors import InputError
from mpidec.graph.base import Adjacency, Drawn
from mpidec.options import Meta
from mpidec.seeding import generator

if TYPE_CHECKING:
    import networkx as nx

TRIES = 100
"""Draws of a random graph before it counts as one that does not come out connected."""


@dataclass(frozen=True)
class Random(Drawn):
    """A random graph: attempt k at it is a function of the seed and k."""

    def draw(self, nodes: int, seed: int) -> Adjacency:
        self.check(nodes)
        for attempt in range(TRIES):
            graph = self._sample(nodes, generator(seed, "graph", attempt))
            if graph.components().max() == 0:
                return graph
        raise self._disconnected(nodes)

    @abstractmethod
    def _sample(self, nodes: int, rng: np.random.Generator) -> Adjacency:
        """One draw, connected or not."""

    @abstractmethod
    def _remedy(self, nodes: int) -> str:
        """What to change where draws come out disconnected."""

    def _disconnected(self, nodes: int) -> InputError:
        return InputError(f"{self.name}: {TRIES} draws of {nodes} nodes give no connected graph; {self._remedy(nodes)}")


@dataclass(frozen=True)
class ErdosRenyi(Random):
    """Every pair of nodes is joined with probability p, on its own; drawn again until connected."""

    name: ClassVar[str] = "erdos_renyi"

    p: Annotated[float, Meta(gt=0, le=1, description="probability of each edge")] = 0.5

    def check(self, nodes: int) -> None:
        super().check(nodes)
        # The number of nodes without an edge is nearly Poisson: at a mean of 25 all have one in e^-25 of the draws.
        if nodes * (1 - self.p) ** (nodes - 1) > 25:
            raise self._disconnected(nodes)

    def _sample(self, nodes: int, rng: np.random.Generator) -> Adjacency:
        """Jumps from edge to edge through the list of all pairs: time and memory go with the edges, not the pairs.

        Source: Batagelj and Brandes, Efficient generation of large random networks (2005); networkx's own takes about
        a microsecond and 100 bytes an edge more.
        """
        starts = np.arange(nodes, dtype=np.int64)
        starts = starts * (starts - 1) // 2  # of row i in the list of pairs (i, j), j < i
        pairs = nodes * (nodes - 1) // 2
        ample = int(pairs * self.p + 10 * math.sqrt(pairs * self.p) + 10)
        places = np.zeros(0, dtype=np.int64)
        last = -1
        while last < pairs:
            jumps = np.minimum(rng.geometric(self.p, ample), pairs + 1)  # no overflow where p is tiny
            places = np.concatenate([places, last + np.cumsum(jumps)])
            last = int(places[-1])
        places = places[places < pairs]
        rows = np.searchsorted(starts, places, side="right") - 1
        return Adjacency.from_edges(nodes, np.column_stack([rows, places - starts[rows]]))

    def _remedy(self, nodes: int) -> str:
        least = math.log(nodes) / nodes
        return f"p = {self.p:g} is too small, wanted p >= ln n / n = {least:.2g}; try p = {min(1.0, 2 * least):.2g}"


@dataclass(frozen=True)
class WattsStrogatz(Random):
    """Small world: a ring of nodes joined to the `degree` nearest, each edge rewired with probability `rewire`."""

    name: ClassVar[str] = "watts_strogatz"

    degree: Annotated[int, Meta(ge=2, description="neighbors before rewiring, an even number")] = 4
    rewire: Annotated[float, Meta(ge=0, le=1, description="probability that an edge moves its far end")] = 0.1

    def check(self, nodes: int) -> None:
        super().check(nodes)
        if self.degree % 2:
            raise InputError(
                f"{self.name}: got degree = {self.degree}, wanted an even number: half of them on each side; "
                f"use {self.degree - 1} or {self.degree + 1}"
            )
        if nodes == 2:
            raise InputError(f"{self.name}: got 2 nodes, wanted at least 3: a ring of fewer has no degree of 2")
        _below_nodes(self.name, "degree", self.degree, nodes)

    def _sample(self, nodes: int, rng: np.random.Generator) -> Adjacency:
        import networkx as nx

        return _from_networkx(nx.watts_strogatz_graph(nodes, self.degree, self.rewire, seed=_seed(rng)))

    def _remedy(self, nodes: int) -> str:
        return f"degree = {self.degree} is too small for rewire = {self.rewire:g}; try degree = {self.degree + 2}"


@dataclass(frozen=True)
class BarabasiAlbert(Random):
    """Scale free: nodes come one by one and join `attach` earlier ones, those with many neighbors more likely."""

    name: ClassVar[str] = "barabasi_albert"

    attach: Annotated[int, Meta(ge=1, description="edges that each new node brings")] = 2

    def check(self, nodes: int) -> None:
        super().check(nodes)
        _below_nodes(self.name, "attach", self.attach, nodes)

    def _sample(self, nodes: int, rng: np.random.Generator) -> Adjacency:
        import networkx as nx

        return _from_networkx(nx.barabasi_albert_graph(nodes, self.attach, seed=_seed(rng)))

    def _remedy(self, nodes: int) -> str:
        return f"try attach = {self.attach + 1}"


@dataclass(frozen=True)
class RandomRegular(Random):
    """Every node has `degree` neighbors, at random; drawn again until connected."""

    name: ClassVar[str] = "random_regular"

    degree: Annotated[int, Meta(ge=1, description="neighbors of every node")] = 4

    def check(self, nodes: int) -> None:
        super().check(nodes)
        _below_nodes(self.name, "degree", self.degree, nodes)
        if nodes * self.degree % 2:
            raise InputError(
                f"{self.name}: got {nodes} nodes of degree {self.degree}, wanted an even product: every edge has two "
                f"ends; use {nodes - 1} or {nodes + 1} nodes, or degree = {self.degree - 1}"
            )
        if self.degree == 1 and nodes > 2:
            raise InputError(f"{self.name}: got degree = 1, which joins {nodes} nodes in pairs only; use degree = 3 or more")

    def _sample(self, nodes: int, rng: np.random.Generator) -> Adjacency:
        import networkx as nx

        # pairing of free ends gets stuck on dense graphs; the complement of a sparse draw is as likely
        sparse = min(self.degree, nodes - 1 - self.degree)
        graph = nx.random_regular_graph(sparse, nodes, seed=_seed(rng))
        return _from_networkx(graph if sparse == self.degree else nx.complement(graph))

    def _remedy(self, nodes: int) -> str:
        return f"degree = {self.degree} is too small; try degree = {self.degree + 1 + nodes % 2}"


def _below_nodes(name: str, key: str, value: int, nodes: int) -> None:
    if value >= nodes:
        raise InputError(
            f"{name}: got {key} = {value} on {nodes} nodes, wanted {key} < nodes; use at least {value + 1} nodes"
            + (f" or a {key} below {nodes}" if nodes > 1 else "")
        )


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**32))


def _from_networkx(graph: nx.Graph[int]) -> Adjacency:
    ends = np.fromiter(chain.from_iterable(graph.edges()), dtype=np.int64, count=2 * graph.number_of_edges())
    return Adjacency.from_edges(graph.number_of_nodes(), ends.reshape(-1, 2))

"""What a graph is here: adjacency lists, and the two kinds of topology that give them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mpidec.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class Adjacency:
    """An undirected graph without self loops, as sorted adjacency lists one after the other.

    `indices[indptr[i]:indptr[i + 1]]` are the neighbors of node i: indptr (nodes + 1,), indices (2 edges,), both int64.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]

    @classmethod
    def from_edges(cls, nodes: int, edges: ArrayLike) -> Adjacency:
        """The graph of `edges` (m, 2), in any order and direction; duplicates are merged.

        Raises InputError for a self loop or a node outside 0 to nodes - 1.
        """
        pairs = np.asarray(edges, dtype=np.int64).reshape(-1, 2)
        outside = (pairs < 0) | (pairs >= nodes)
        if outside.any():
            raise InputError(f"graph: got node {pairs[outside][0]}, wanted 0 to {nodes - 1}; renumber the edges")
        head, tail = pairs[:, 0], pairs[:, 1]
        if (head == tail).any():
            raise InputError(f"graph: got a self loop at node {head[head == tail][0]}; leave such edges out")
        keys = np.concatenate([head * nodes + tail, tail * nodes + head])
        keys.sort()
        first = np.ones(len(keys), dtype=bool)
        np.not_equal(keys[1:], keys[:-1], out=first[1:])
        rows, indices = np.divmod(keys[first], nodes)
        indptr = np.zeros(nodes + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows, minlength=nodes), out=indptr[1:])
        return cls(indptr, indices)

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.indptr) - 1

    @property
    def degrees(self) -> NDArray[np.int64]:
        """Number of neighbors of each node, (nodes,)."""
        return np.diff(self.indptr)

    def neighbors(self, node: int) -> tuple[int, ...]:
        """Neighbors of a node in ascending order."""
        return tuple(self.indices[self.indptr[node] : self.indptr[node + 1]].tolist())

    def edges(self) -> NDArray[np.int64]:
        """Each edge once, smaller node first, in ascending order, (m, 2)."""
        rows = np.repeat(np.arange(self.nodes), self.degrees)
        once = rows < self.indices
        return np.column_stack([rows[once], self.indices[once]])

    def matrix(self) -> csr_array:
        """The adjacency matrix of ones, (nodes, nodes), float64."""
        from scipy.sparse import csr_array

        return csr_array((np.ones(len(self.indices)), self.indices, self.indptr), shape=(self.nodes, self.nodes))

    def components(self) -> NDArray[np.int64]:
        """The connected component each node is in, counted from 0, (nodes,)."""
        from scipy.sparse.csgraph import connected_components

        return np.asarray(connected_components(self.matrix(), directed=False)[1], dtype=np.int64)

    def require_connected(self, where: str) -> None:
        """Raise InputError, beginning with `where`, when there is more than one connected component."""
        sizes = np.bincount(labels := self.components())
        if len(sizes) > 1:
            small = int(sizes.argmin())
            node = int((labels == small).argmax())
            raise InputError(
                f"{where}: the graph is disconnected, in {len(sizes)} components: node {node} lies in one of "
                f"{sizes[small]} of the {self.nodes} nodes; add edges that join them"
            )


@dataclass(frozen=True)
class Topology(ABC):
    """A family of undirected connected graphs; its fields are the options, the number of nodes comes from the run."""

    name: ClassVar[str]
    """What messages call it: the class's name, unless it sets another."""
    structured: ClassVar[bool]

    def __init_subclass__(cls) -> None:
        cls.name = cls.__dict__.get("name", cls.__name__)

    def check(self, nodes: int) -> None:
        """Raise InputError when there is no such graph on `nodes` nodes."""
        if nodes < 1:
            raise InputError(f"{self.name}: got {nodes} nodes, wanted at least 1")


@dataclass(frozen=True)
class Structured(Topology):
    """A topology in which every node computes its neighbors on its own."""

    structured: ClassVar[bool] = True

    @abstractmethod
    def neighbors(self, node: int, nodes: int) -> tuple[int, ...]:
        """Neighbors of a node in ascending order, without the node itself and without duplicates."""

    @abstractmethod
    def degree_counts(self, nodes: int) -> dict[int, int]:
        """How many nodes there are of each degree that occurs."""

    @abstractmethod
    def diameter(self, nodes: int) -> int:
        """The largest distance between two nodes, in edges."""

    @abstractmethod
    def laplacian_ends(self, nodes: int) -> tuple[float, float]:
        """Second smallest and largest eigenvalue of the graph Laplacian D - A; both 0 for one node."""

    def edge_degrees(self, nodes: int) -> set[tuple[int, int]]:
        """The degrees (smaller, larger) at the two ends of an edge that occur; empty without edges.

        Weights that depend on degrees alone are equal on all edges when they are equal on these.
        """
        if len(counts := self.degree_counts(nodes)) == 1:
            return {(degree, degree) for degree in counts if degree}
        lists = (self.neighbors(i, nodes) for i in range(nodes))
        return {
            (min(pair), max(pair))
            for around in lists
            for pair in ((len(around), len(self.neighbors(j, nodes))) for j in around)
        }


@dataclass(frozen=True)
class Drawn(Topology):
    """A topology that is drawn or read once, as a whole, on one rank."""

    structured: ClassVar[bool] = False

    @abstractmethod
    def draw(self, nodes: int, seed: int) -> Adjacency:
        """The connected graph, a function of the options, `nodes` and `seed` alone.

        Raises InputError, which on a world of ranks happens on the drawing one alone: the caller tells the others.
        """

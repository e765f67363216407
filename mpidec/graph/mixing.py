"""Mixing weights: what a node gives its neighbors' values and its own, from degrees alone.

With W[g, j] the weight that node g gives node j, every W here is symmetric, non-negative and doubly stochastic, and its
self weights are positive, so that gossip over a connected graph reaches the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpidec.graph.base import Adjacency

if TYPE_CHECKING:
    from scipy.sparse import csr_array

EdgeWeights = Callable[[int, NDArray[np.int64], int], NDArray[np.float64]]
"""(a node's degree, its neighbors' degrees, the largest degree of the graph) -> the weights of its neighbors."""


@dataclass(frozen=True)
class Mixing:
    """A rule for the weights. The self weight is what remains to 1."""

    name: str
    help: str
    edge_weights: EdgeWeights
    needs_neighbor_degrees: bool
    """Whether a node must learn its neighbors' degrees first, in one exchange."""
    lazy: bool = False
    """(I + W) / 2 instead of W: no negative eigenvalue, about twice the rounds."""

    def row(
        self, degree: int, neighbor_degrees: Sequence[int] | NDArray[np.int64], max_degree: int
    ) -> tuple[float, NDArray[np.float64]]:
        """A node's self weight and the weights (degree,) of its neighbors, in the order of `neighbor_degrees`.

        Rules that do not need neighbor degrees read only how many there are.
        """
        weights = self.edge_weights(degree, np.asarray(neighbor_degrees, dtype=np.int64), max_degree)
        if self.lazy:
            weights = weights / 2
        return 1.0 - float(weights.sum()), weights


def _metropolis(degree: int, neighbor_degrees: NDArray[np.int64], max_degree: int) -> NDArray[np.float64]:
    # without the 1 + an even ring has the eigenvalue -1 and never agrees
    return 1.0 / (1 + np.maximum(degree, neighbor_degrees))


def _max_degree(degree: int, neighbor_degrees: NDArray[np.int64], max_degree: int) -> NDArray[np.float64]:
    return np.full(len(neighbor_degrees), 1.0 / (1 + max_degree))


_RULES = (
    Mixing("metropolis", "1 / (1 + the larger of the two degrees) for each edge", _metropolis, True),
    Mixing("max_degree", "1 / (1 + the graph's largest degree) for every edge", _max_degree, False),
    Mixing("lazy_metropolis", "(I + W) / 2 of metropolis: no negative eigenvalue", _metropolis, True, lazy=True),
    Mixing("lazy_max_degree", "(I + W) / 2 of max_degree: no negative eigenvalue", _max_degree, False, lazy=True),
)

MIXINGS: dict[str, Mixing] = {rule.name: rule for rule in _RULES}


def mixing_matrix(mixing: Mixing, adjacency: Adjacency) -> csr_array:
    """The mixing matrix W of the whole graph, (nodes, nodes), from the rows that the nodes compute."""
    from scipy.sparse import csr_array, diags_array

    indptr, degrees = adjacency.indptr, adjacency.degrees
    largest = int(degrees.max())
    selves, weights = np.empty(adjacency.nodes), np.empty(len(adjacency.indices))
    around = degrees[adjacency.indices]
    for i, (start, stop) in enumerate(zip(indptr[:-1], indptr[1:], strict=True)):
        selves[i], weights[start:stop] = mixing.row(int(degrees[i]), around[start:stop], largest)
    shape = (adjacency.nodes, adjacency.nodes)
    return csr_array(csr_array((weights, adjacency.indices, indptr), shape=shape) + diags_array(selves))

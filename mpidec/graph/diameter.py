"""Diameter of a graph given by its adjacency lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpidec.graph.base import Adjacency

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_BATCH = 64  # searches at a time, one a bit


def diameter(adjacency: Adjacency, exact_up_to: int = 20_000) -> tuple[int, int]:
    """Lower and upper bound on the diameter of a connected graph, equal up to `exact_up_to` nodes.

    Exact: searches from the nodes farthest from a central one inwards, until what remains is too near the center to
    hold a longer path (Crescenzi et al., On computing the diameter of real-world undirected graphs, 2013).
    """
    if adjacency.nodes == 1:
        return 0, 0
    matrix = adjacency.matrix()
    first = distances(matrix, int(adjacency.degrees.argmax()))
    one = distances(matrix, int(first.argmax()))
    other = distances(matrix, int(one.argmax()))
    center = distances(matrix, int(np.maximum(one, other).argmin()))
    low, radius = int(max(one.max(), other.max())), int(center.max())
    if adjacency.nodes > exact_up_to:
        return low, 2 * radius
    order = np.argsort(-center, kind="stable")
    at = 0
    while low < 2 * (depth := int(center[order[at]])):
        batch = order[at : at + _BATCH]
        batch = batch[center[batch] == depth]
        low = max(low, _largest_eccentricity(adjacency, matrix, batch, radius))
        at += len(batch)
    return low, low


def distances(matrix: csr_array, source: int) -> NDArray[np.int64]:
    """Edges from `source` to each node, (nodes,)."""
    from scipy.sparse.csgraph import breadth_first_order

    order, before = breadth_first_order(matrix, source)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    parents = place[before[order[1:]]]  # ascending, as nodes are visited in the order of their parents
    starts = [0]
    while (start := 1 + int(np.searchsorted(parents, starts[-1]))) < len(order):  # the first with no parent before it
        starts.append(start)
    return np.searchsorted(starts, place, side="right") - 1


def _largest_eccentricity(adjacency: Adjacency, matrix: csr_array, sources: NDArray[np.int64], radius: int) -> int:
    from scipy.sparse.csgraph import breadth_first_order

    if radius < 4 * len(sources):
        return _flood(adjacency, sources)
    largest = 0
    for source in sources.tolist():
        order, before = breadth_first_order(matrix, source)
        chain, steps, node = before.tolist(), 0, int(order[-1])
        while node != source:
            node, steps = chain[node], steps + 1
        largest = max(largest, steps)
    return largest


def _flood(adjacency: Adjacency, sources: NDArray[np.int64]) -> int:
    """The steps after which every one of at most 64 sources has reached every node, all searched at once."""
    reached = np.zeros(adjacency.nodes, dtype=np.uint64)
    reached[sources] = np.left_shift(np.uint64(1), np.arange(len(sources), dtype=np.uint64))
    everything = np.bitwise_or.reduce(reached)
    steps = 0
    while (reached != everything).any():
        reached |= np.bitwise_or.reduceat(reached[adjacency.indices], adjacency.indptr[:-1])
        steps += 1
    return steps

"""What is known of a graph and its mixing matrix: size, degrees, diameter, spectral gap."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mpidec.graph.base import Adjacency, Structured, Topology
from mpidec.graph.diameter import diameter, distances
from mpidec.graph.mixing import Mixing, mixing_matrix
from mpidec.graph.topology import adjacency as whole_graph

if TYPE_CHECKING:
    from scipy.sparse import csr_array

DENSE_UP_TO = 600
"""Nodes up to which all eigenvalues are computed: a third of a second, where the sparse solver may need more."""

_ZERO = 1e-12  # a gamma below this is rounding, and 0


@dataclass(frozen=True)
class GraphFacts:
    """Facts of a connected graph with mixing matrix W; plain numbers, so that one rank can send them to the others.

    `gamma` is the largest modulus of an eigenvalue of W beside the 1 of consensus (0 for one node): a round of gossip
    shrinks the disagreement by it. `lambda_min` is the smallest eigenvalue of W. `residual` is the larger norm of
    W v - lambda v over the two ends of the spectrum, v of length 1: an eigenvalue of W lies as near to each.
    """

    nodes: int
    edges: int
    degree_min: int
    degree_mean: float
    degree_max: int
    diameter_low: int
    diameter_high: int
    gamma: float
    lambda_min: float
    residual: float
    how: str

    @property
    def gap(self) -> float:
        """The spectral gap 1 - gamma."""
        return 1.0 - self.gamma

    @property
    def rounds_to_halve(self) -> float:
        """Gossip rounds that halve the disagreement at the latest."""
        if self.gamma == 0:
            return 0.0
        # gamma rounds to 1 where the gap is below 1e-16
        return math.log(2) / -math.log(self.gamma) if self.gamma < 1 else math.inf


def graph_facts(topology: Topology, mixing: Mixing, nodes: int, seed: int, adjacency: Adjacency | None = None) -> GraphFacts:
    """The facts of a topology on `nodes` nodes; `adjacency` is its graph, where that is there already.

    Structured topologies whose edges all have the same weight w, so that W = I - w L, go by the closed form of the
    eigenvalues of their Laplacian L, without the graph. Others go by all eigenvalues up to `DENSE_UP_TO` nodes, above
    it by Lanczos iteration (ARPACK) for the two ends of the spectrum. Raises InputError where there is no such
    connected graph.
    """
    topology.check(nodes)
    if nodes == 1:
        return GraphFacts(1, 0, 0, 0.0, 0, 0, 0, 0.0, 1.0, 0.0, "closed form")
    ends = None
    if isinstance(topology, Structured):
        counts = topology.degree_counts(nodes)
        low = high = topology.diameter(nodes)
        ends = _closed_form(topology, mixing, nodes, max(counts))
    else:
        adjacency = adjacency or whole_graph(topology, nodes, seed)
        degrees, many = np.unique(adjacency.degrees, return_counts=True)
        counts = dict(zip(degrees.tolist(), many.tolist(), strict=True))
        low, high = diameter(adjacency)
    if ends is None:
        ends = _eigenvalues(mixing, adjacency or whole_graph(topology, nodes, seed))
    total = sum(degree * many for degree, many in counts.items())
    gamma, lambda_min, residual, how = ends
    return GraphFacts(
        nodes,
        total // 2,
        min(counts),
        total / nodes,
        max(counts),
        low,
        high,
        gamma if gamma > _ZERO else 0.0,
        lambda_min,
        residual,
        how,
    )


Ends = tuple[float, float, float, str]
"""gamma, lambda_min, residual, how."""


def _closed_form(topology: Structured, mixing: Mixing, nodes: int, max_degree: int) -> Ends | None:
    """The ends of the spectrum where all edges have one weight, else None."""
    pairs = topology.edge_degrees(nodes)
    weights = {float(mixing.row(a, np.full(a, b), max_degree)[1][0]) for a, b in pairs}
    if len(weights) > 1:
        return None
    weight = weights.pop()
    second, last = (1 - weight * value for value in topology.laplacian_ends(nodes))
    return max(abs(second), abs(last)), last, 0.0, "closed form"


def _eigenvalues(mixing: Mixing, adjacency: Adjacency) -> Ends:
    W = mixing_matrix(mixing, adjacency)
    if adjacency.nodes <= DENSE_UP_TO:
        how = "dense eigenvalues"
        values, V = np.linalg.eigh(W.toarray())
        values, V = values[[-2, 0]], V[:, [-2, 0]]
    else:
        how = "sparse eigensolver"
        values, V = _sparse_ends(W, adjacency)
    residual = np.linalg.norm(W @ V - V * values, axis=0).max()
    return float(np.abs(values).max()), float(values[1]), float(residual), how


def _sparse_ends(W: csr_array, adjacency: Adjacency) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Second largest and smallest eigenvalue (2,) with their vectors (nodes, 2), as near as the solver comes.

    It starts from guesses, which on long graphs save most of the work: slow modes follow the distance from a far node,
    the fastest alternate with it. A share of noise is in them, lest symmetry hide the mode that is sought.
    """
    matrix = adjacency.matrix()
    center = int(adjacency.degrees.argmax())
    far = distances(matrix, int(distances(matrix, center).argmax()))
    noise = 0.3 * np.random.default_rng(0).standard_normal((2, adjacency.nodes))
    slow, fast = (far - far.mean()) / far.std() + noise[0], (-1.0) ** far + noise[1]
    pairs = [
        # the constant vector, whose eigenvalue is 1, is moved to -1
        _one_end(lambda x: W @ x - 2 * x.mean(), "LA", slow),
        _one_end(lambda x: W @ x, "SA", fast),
    ]
    return np.array([value for value, _ in pairs]), np.column_stack([v for _, v in pairs])


def _one_end(
    multiply: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    which: Literal["LA", "SA"],
    start: NDArray[np.float64],
) -> tuple[float, NDArray[np.float64]]:
    """An end of the spectrum of a symmetric operator and its vector, of length 1."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    n = len(start)
    operator = LinearOperator((n, n), matvec=lambda x: multiply(x.ravel()), dtype=np.float64)
    vectors, tolerance, restarts = (40, 1e-9, 300) if n <= 20_000 else (20, 1e-6, 100)  # seconds, on a large graph too
    for loose in (tolerance, 1e-4, 1e-2):
        try:
            values, V = eigsh(operator, k=1, which=which, v0=start, ncv=vectors, tol=loose, maxiter=restarts)
        except ArpackNoConvergence:
            continue  # it keeps back how far it came: ask for less
        return float(values[0]), V[:, 0]
    v = start / np.linalg.norm(start)
    return float(v @ multiply(v)), v

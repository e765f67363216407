"""Mixing weights against their formulas written out over all pairs of nodes."""

import networkx as nx
import numpy as np
import pytest

from mpidec.graph.mixing import MIXINGS, mixing_matrix
from mpidec.graph.topology import TOPOLOGIES, Adjacency, adjacency

GRAPHS = {
    "one node": Adjacency.from_edges(1, []),
    "one edge": adjacency(TOPOLOGIES["ring"](), 2, 0),
    "star of 6": adjacency(TOPOLOGIES["star"](), 6, 0),
    "grid of 3 x 5": adjacency(TOPOLOGIES["grid"](rows=3), 15, 0),
    "erdos_renyi of 23": adjacency(TOPOLOGIES["erdos_renyi"](p=0.3), 23, 1),
}


def pairwise(name, graph):
    """W from one formula a pair, the self weights by a sum over the row."""
    n = graph.nodes
    A = nx.to_numpy_array(nx.Graph(graph.edges().tolist()), range(n)) if n > 1 else np.zeros((1, 1))
    degrees = A.sum(axis=1)
    W = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if A[i, j]:
                W[i, j] = 1 / (1 + (max(degrees[i], degrees[j]) if "metropolis" in name else degrees.max()))
    W += np.diag(1 - W.sum(axis=1))
    return (np.eye(n) + W) / 2 if name.startswith("lazy") else W


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
@pytest.mark.parametrize("name", MIXINGS)
def test_weights_are_the_formula_s(name, graph):
    W = mixing_matrix(MIXINGS[name], graph).toarray()
    np.testing.assert_allclose(W, pairwise(name, graph), rtol=0, atol=1e-15)
    assert np.array_equal(W, W.T)  # bit for bit: both ends of an edge compute it on their own
    assert W.sum(axis=0) == pytest.approx(np.ones(graph.nodes), abs=1e-15)
    assert (W.diagonal() > 0).all()
    values = np.linalg.eigvalsh(W)
    assert values[0] > (-1e-15 if MIXINGS[name].lazy else -1 + 1e-6)


@pytest.mark.parametrize("name", MIXINGS)
def test_a_row_keeps_the_order_of_the_neighbors(name):
    mixing = MIXINGS[name]
    rows = {"metropolis": [1 / 6, 1 / 4, 1 / 8], "max_degree": [1 / 10] * 3}
    expected = np.array(rows[name.removeprefix("lazy_")]) / (2 if mixing.lazy else 1)
    own, weights = mixing.row(3, [5, 1, 7], 9)
    assert weights == pytest.approx(expected, rel=1e-15)
    assert own == pytest.approx(1 - sum(expected), rel=1e-15)
    assert mixing.row(0, [], 0) == (1.0, pytest.approx([]))


@pytest.mark.parametrize("name", MIXINGS)
def test_degrees_are_asked_for_where_they_matter(name):
    mixing = MIXINGS[name]
    changed = not np.array_equal(mixing.row(2, [2, 9], 9)[1], mixing.row(2, [0, 0], 9)[1])
    assert changed == mixing.needs_neighbor_degrees
    assert mixing.name == name
    assert mixing.help


def test_metropolis_of_an_even_ring_reaches_minus_one_third():
    W = mixing_matrix(MIXINGS["metropolis"], adjacency(TOPOLOGIES["ring"](), 8, 0)).toarray()
    assert np.linalg.eigvalsh(W)[0] == pytest.approx(-1 / 3, abs=1e-15)

"""Graph neighbors on the same host: the cut against enumeration, and never above that of the plain order."""

from itertools import permutations

import numpy as np
import pytest

from mpidec.commands.placing import granted
from mpidec.errors import InputError
from mpidec.graph import placement
from mpidec.graph.base import Adjacency
from mpidec.graph.topology import TOPOLOGIES, adjacency


def test_two_cliques_in_mixed_order_are_told_apart():
    """Even and odd nodes form a clique each, and one edge joins them: that edge is the cut."""
    pairs = [(i, j) for i in range(8) for j in range(i) if (i - j) % 2 == 0] + [(0, 1)]
    graph = Adjacency.from_edges(8, pairs)
    hosts = placement.place(graph, [4, 4])
    assert placement.cut(graph, hosts) == 1
    assert len(set(hosts[::2])) == len(set(hosts[1::2])) == 1
    # two of each clique on either host: 2 x 2 x 2 edges; the one between the cliques, of nodes 0 and 1, is inside
    assert placement.cut(graph, placement.plain([4, 4])) == 8


@pytest.mark.parametrize("sizes", [[2, 2, 2], [3, 2, 1], [1, 5]])
@pytest.mark.parametrize("seed", range(4))
def test_small_graphs_against_all_partitions(sizes, seed):
    graph = adjacency(TOPOLOGIES["erdos_renyi"](p=0.5), 6, seed)
    best = min(placement.cut(graph, np.array(each)) for each in set(permutations(placement.plain(sizes).tolist())))
    found = placement.place(graph, sizes)
    assert np.bincount(found, minlength=len(sizes)).tolist() == sizes
    assert best <= placement.cut(graph, found) <= best + 1


@pytest.mark.parametrize(("name", "options"), [("torus", {}), ("erdos_renyi", {"p": 0.1}), ("hypercube", {})])
def test_never_above_the_plain_order(name, options):
    graph = adjacency(TOPOLOGIES[name](**options), 64, 3)
    sizes = [20, 20, 20, 4]
    hosts = placement.place(graph, sizes)
    assert np.bincount(hosts).tolist() == sizes
    edges = [(a, b) for a in range(64) for b in graph.neighbors(a) if a < b]
    assert placement.cut(graph, hosts) == sum(hosts[a] != hosts[b] for a, b in edges)
    assert placement.cut(graph, hosts) <= placement.cut(graph, placement.plain(sizes))


@pytest.mark.parametrize(
    ("text", "hosts", "ranks", "sizes"),
    [("2(x3)", 3, 6, [2, 2, 2]), ("2(x2),1", 3, 5, [2, 2, 1]), ("4,2", 2, 5, [4, 1]), ("4(x2)", 2, 3, [3])],
)
def test_what_slurm_grants(text, hosts, ranks, sizes):
    assert granted({"SLURM_TASKS_PER_NODE": text}, hosts, ranks) == sizes


@pytest.mark.parametrize(("text", "hosts", "ranks"), [("2(x3)", 3, 7), ("2(x3)", 2, 4), ("", 1, 1)])
def test_less_than_that_is_refused(text, hosts, ranks):
    with pytest.raises(InputError, match=f"wanted room for {ranks} ranks"):
        granted({"SLURM_TASKS_PER_NODE": text}, hosts, ranks)

"""Topologies against networkx's generators, the edge-list file, errors, and draws by seed."""

import subprocess
import sys

import networkx as nx
import numpy as np
import pytest

from mpidec.errors import InputError
from mpidec.graph.topology import TOPOLOGIES, Adjacency, Structured, adjacency
from mpidec.options import build, describe


def lattice(rows, cols, periodic):
    graph = nx.Graph(nx.grid_2d_graph(rows, cols, periodic=periodic))
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))  # of a side of 1
    return nx.relabel_nodes(graph, {(r, c): r * cols + c for r in range(rows) for c in range(cols)})


def ring(n):
    return nx.cycle_graph(n) if n > 2 else nx.path_graph(n)  # networkx gives one node a loop to itself


def exponential(n):
    graph = nx.empty_graph(n)
    steps = [2**j for j in range(n) if 2**j < n]
    graph.add_edges_from((i, (i + s) % n) for i in range(n) for s in steps)
    return graph


def hypercube(d):
    graph = nx.hypercube_graph(d) if d else nx.empty_graph(1)  # networkx has no cube of one node
    return nx.convert_node_labels_to_integers(graph, ordering="sorted")


SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 17)
SHAPES = [(1, 1), (1, 2), (2, 1), (2, 2), (1, 5), (5, 1), (2, 3), (3, 2), (3, 3), (2, 7), (3, 4), (5, 7)]
CASES = [
    *((name, {}, n, make(n)) for name, make in {"ring": ring, "path": nx.path_graph}.items() for n in SIZES),
    *((name, {}, n, make(n)) for name, make in {"complete": nx.complete_graph}.items() for n in SIZES),
    *(("star", {}, n, nx.star_graph(n - 1)) for n in SIZES),
    *(("exponential", {}, n, exponential(n)) for n in (*SIZES, 33, 100)),
    *(("hypercube", {}, 2**d, hypercube(d)) for d in range(6)),
    *((name, {"rows": r, "cols": c}, r * c, lattice(r, c, name == "torus")) for name in ("grid", "torus") for r, c in SHAPES),
]


@pytest.mark.parametrize(("name", "options", "n", "expected"), CASES, ids=lambda v: None if isinstance(v, dict) else str(v))
def test_a_structured_graph_is_networkx_s(name, options, n, expected):
    topology = build(TOPOLOGIES[name], options, name)
    topology.check(n)
    assert isinstance(topology, Structured)
    for i in range(n):
        assert topology.neighbors(i, n) == tuple(sorted(expected.adj[i]))
    degrees = [d for _, d in expected.degree()]
    assert topology.degree_counts(n) == {d: degrees.count(d) for d in set(degrees)}
    assert topology.diameter(n) == nx.diameter(expected)
    assert topology.edge_degrees(n) == {tuple(sorted((degrees[i], degrees[j]))) for i, j in expected.edges()}
    assert Structured.edge_degrees(topology, n) == topology.edge_degrees(n)
    laplacian = np.linalg.eigvalsh(nx.laplacian_matrix(expected, nodelist=range(n)).toarray().astype(float))
    ends = (laplacian[1], laplacian[-1]) if n > 1 else (0, 0)
    assert topology.laplacian_ends(n) == pytest.approx(ends, abs=1e-12)
    graph = adjacency(topology, n, 0)
    assert graph.edges().tolist() == sorted(sorted(e) for e in expected.edges())


@pytest.mark.parametrize(("n", "sides"), [(1, (1, 1)), (6, (2, 3)), (7, (1, 7)), (36, (6, 6)), (40, (5, 8))])
def test_rows_and_columns_left_out_make_the_squarest_rectangle(n, sides):
    assert TOPOLOGIES["grid"]().sides(n) == sides
    assert TOPOLOGIES["torus"](rows=sides[0]).sides(n) == sides
    assert TOPOLOGIES["torus"](cols=sides[1]).sides(n) == sides


@pytest.mark.parametrize(
    ("name", "options", "n", "words"),
    [
        ("ring", {}, 0, "got 0 nodes, wanted at least 1"),
        ("torus", {"rows": 3, "cols": 4}, 10, r"3 x 4 = 12; use 12 nodes, or another rectangle such as 2 x 5"),
        ("grid", {"rows": 3}, 10, r"got 10 nodes, wanted a multiple of rows = 3; use 9 or 12 nodes"),
        ("grid", {"cols": 8}, 5, r"multiple of cols = 8; use 8 nodes, or leave cols out"),
        ("hypercube", {}, 12, "got 12 nodes, wanted a power of two; use 8 or 16 nodes"),
        ("random_regular", {"degree": 3}, 9, "even product.*use 8 or 10 nodes, or degree = 2"),
        ("random_regular", {"degree": 4}, 4, "wanted degree < nodes; use at least 5 nodes"),
        ("random_regular", {"degree": 1}, 6, "pairs only; use degree = 3 or more"),
        ("watts_strogatz", {"degree": 6}, 6, "got degree = 6 on 6 nodes.*use at least 7 nodes"),
        ("watts_strogatz", {"degree": 3}, 9, "got degree = 3, wanted an even number.*use 2 or 4"),
        ("barabasi_albert", {"attach": 5}, 5, "got attach = 5 on 5 nodes"),
        ("erdos_renyi", {"p": 0.001}, 100, r"p = 0.001 is too small, wanted p >= ln n / n = 0.046; try p = 0.092"),
    ],
)
def test_a_graph_that_does_not_exist_is_refused_before_it_is_drawn(name, options, n, words):
    with pytest.raises(InputError, match=words):
        build(TOPOLOGIES[name], options, name).check(n)


def test_a_disconnected_random_graph_is_given_up_after_100_draws():
    topology = TOPOLOGIES["erdos_renyi"](p=0.02)
    topology.check(20)
    with pytest.raises(InputError, match=r"100 draws of 20 nodes give no connected graph; .*wanted p >= ln n / n = 0.15"):
        topology.draw(20, 0)
    with pytest.raises(InputError, match="p = 1e-18 is too small"):
        TOPOLOGIES["erdos_renyi"](p=1e-18).draw(23, 0)


RANDOM = [
    ("erdos_renyi", {"p": 0.2}, 20),  # a quarter of the draws is disconnected
    ("erdos_renyi", {"p": 1.0}, 7),
    ("erdos_renyi", {"p": 0.1}, 2),
    ("watts_strogatz", {"degree": 2, "rewire": 0.5}, 11),
    ("barabasi_albert", {"attach": 1}, 2),
    ("barabasi_albert", {"attach": 3}, 23),
    ("random_regular", {"degree": 1}, 2),
    ("random_regular", {"degree": 2}, 15),
    ("random_regular", {"degree": 17}, 20),
    ("random_regular", {"degree": 50}, 101),
]


@pytest.mark.parametrize(("name", "options", "n"), RANDOM)
def test_random_graphs_are_connected_simple_and_a_function_of_the_seed(name, options, n):
    topology = build(TOPOLOGIES[name], options, name)
    drawn = [adjacency(topology, n, seed) for seed in range(6)]
    for seed, graph in enumerate(drawn):
        expected = nx.Graph(graph.edges().tolist())
        assert set(expected) == set(range(n))
        assert nx.is_connected(expected)
        assert nx.number_of_selfloops(expected) == 0
        assert [graph.neighbors(i) for i in range(n)] == [tuple(sorted(expected.adj[i])) for i in range(n)]
        assert np.array_equal(adjacency(topology, n, seed).edges(), graph.edges())
        if name == "random_regular":
            assert set(graph.degrees.tolist()) == {options["degree"]}
    if n > 7:
        assert len({tuple(graph.indices.tolist()) for graph in drawn}) == len(drawn)


def test_one_node_is_a_graph_where_no_option_asks_for_more():
    for name in ("erdos_renyi", *(name for name, cls in TOPOLOGIES.items() if cls.structured)):
        graph = adjacency(TOPOLOGIES[name](), 1, 0)
        assert (graph.nodes, graph.neighbors(0), len(graph.edges())) == (1, (), 0)


def test_edges_of_a_random_graph_are_as_many_and_as_even_as_p_says():
    n, p = 101, 0.3
    counts = sum(nx.to_numpy_array(nx.Graph(adjacency(TOPOLOGIES["erdos_renyi"](p=p), n, s).edges().tolist()), range(n))
                 for s in range(40))  # fmt: skip
    pairs = counts[np.triu_indices(n, 1)]
    assert pairs.mean() / 40 == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / (40 * len(pairs))))
    assert pairs.var() == pytest.approx(40 * p * (1 - p), rel=0.1)  # binomial over the draws, each pair on its own


def test_edges_in_any_order_direction_and_number_make_the_same_graph():
    graph = Adjacency.from_edges(5, [(3, 1), (0, 4), (1, 3), (2, 1), (4, 0), (0, 1)])
    assert graph.indptr.tolist() == [0, 2, 5, 6, 7, 8]
    assert graph.indices.tolist() == [1, 4, 0, 2, 3, 1, 1, 0]
    assert graph.edges().tolist() == [[0, 1], [0, 4], [1, 2], [1, 3]]
    assert graph.degrees.tolist() == [2, 3, 1, 1, 1]
    assert graph.indptr.dtype == graph.indices.dtype == np.int64
    for edges, words in (([(0, 5)], "got node 5, wanted 0 to 4"), ([(2, 2)], "self loop at node 2")):
        with pytest.raises(InputError, match=words):
            Adjacency.from_edges(5, edges)


def edge_list(tmp_path, text, n, seed=0):
    path = tmp_path / "graph.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return adjacency(TOPOLOGIES["edge_list"](path=str(path)), n, seed)


def test_an_edge_list_is_read_with_comments_header_and_duplicates(tmp_path):
    text = "# a triangle with a tail\n# nodes 4\n\n0 1\n1\t2  # here\n  2 0\n1 0\n3 2\n"
    graph = edge_list(tmp_path, text, 4)
    assert graph.edges().tolist() == [[0, 1], [0, 2], [1, 2], [2, 3]]
    assert np.array_equal(edge_list(tmp_path, text, 4, seed=5).indices, graph.indices)
    assert edge_list(tmp_path, "# nobody else\n", 1).nodes == 1


@pytest.mark.parametrize(
    ("text", "n", "words"),
    [
        ("0 1\n1 x\n", 3, r"graph.txt:2: got '1 x', wanted two integers"),
        ("0 1 0.5\n", 2, r"graph.txt:1: got '0 1 0.5', wanted two integers"),
        ("0 1\n\n2 2\n", 3, r"graph.txt:3: got the self loop 2 2"),
        ("0 1\n1 3\n", 3, r"graph.txt:2: got node 3 in a graph of 3 nodes, wanted 0 to 2; use 4 nodes or more"),
        ("0 1\n-1 2\n", 3, r"graph.txt:2: got node -1 .* nodes are counted from 0"),
        ("# nodes 5\n0 1\n", 2, r"graph.txt:1: the file says 5 nodes, got 2; use 5 nodes"),
        (
            "0 1\n1 2\n3 4\n",
            6,
            r"graph.txt: the graph is disconnected, in 3 components: node 5 lies in one of 1 of the 6",
        ),
        ("", 2, r"disconnected, in 2 components"),
        (b"\x89PNG\xff\xfe", 2, r"graph.txt: not a text file"),
    ],
)
def test_a_bad_edge_list_is_refused_by_file_and_line(tmp_path, text, n, words):
    with pytest.raises(InputError, match=words):
        edge_list(tmp_path, text, n)


def test_a_missing_edge_list_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.txt: cannot be read: No such file"):
        adjacency(TOPOLOGIES["edge_list"](path=str(tmp_path / "none.txt")), 3, 0)


def test_every_topology_has_a_line_of_help_and_described_options():
    for name, cls in TOPOLOGIES.items():
        assert cls.name == name
        assert cls.__doc__.splitlines()[0].endswith(".")
        assert all(option.help for option in describe(cls))


def test_a_rank_that_imports_the_graph_modules_loads_no_heavy_library():
    code = "import sys, mpidec.graph.facts, mpidec.graph.draw, mpidec.graph.topology; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & {"scipy", "networkx", "matplotlib", "mpi4py"}

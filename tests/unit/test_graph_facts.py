"""Spectral gap, diameter and degrees against dense eigenvalues and networkx; the topology verb and its pictures."""

import argparse
import dataclasses
import math

import networkx as nx
import numpy as np
import pytest
import scipy.sparse.linalg as sparse_linalg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure

from mpidec.commands import topology as verb
from mpidec.errors import InputError
from mpidec.graph import facts as facts_module
from mpidec.graph.diameter import diameter
from mpidec.graph.draw import draw_graph, save_graph
from mpidec.graph.facts import graph_facts
from mpidec.graph.mixing import MIXINGS, mixing_matrix
from mpidec.graph.topology import TOPOLOGIES, Adjacency, adjacency

SIZES = (1, 2, 3, 4, 5, 6, 7, 9, 12, 16, 35)
CASES = [
    *((name, {}, n) for name in ("ring", "path", "grid", "torus", "exponential", "complete", "star") for n in SIZES),
    *((name, {"rows": r}, n) for name in ("grid", "torus") for r, n in ((1, 9), (2, 4), (2, 10), (3, 9), (6, 12), (5, 35))),
    *(("hypercube", {}, 2**d) for d in range(7)),
    ("erdos_renyi", {"p": 0.3}, 21),
    ("erdos_renyi", {"p": 0.3}, 1),
    ("barabasi_albert", {"attach": 1}, 19),
]


@pytest.mark.parametrize("mixing", MIXINGS.values(), ids=MIXINGS)
@pytest.mark.parametrize(("name", "options", "n"), CASES)
def test_facts_are_those_of_the_dense_matrix(name, options, n, mixing):
    topology = TOPOLOGIES[name](**options)
    graph = adjacency(topology, n, 3)
    facts = graph_facts(topology, mixing, n, 3)
    W = mixing_matrix(mixing, graph).toarray()
    assert facts.gamma == pytest.approx(np.linalg.norm(W - 1 / n, 2), abs=1e-12)
    assert facts.lambda_min == pytest.approx(np.linalg.eigvalsh(W)[0], abs=1e-12)
    expected = nx.Graph(graph.edges().tolist())
    expected.add_nodes_from(range(n))
    assert facts.diameter_low == facts.diameter_high == nx.diameter(expected)
    assert (facts.nodes, facts.edges) == (n, expected.number_of_edges())
    degrees = [d for _, d in expected.degree()]
    assert (facts.degree_min, facts.degree_max) == (min(degrees), max(degrees))
    assert facts.degree_mean == pytest.approx(np.mean(degrees))
    if facts.how == "closed form":
        assert facts.residual == 0
    else:
        assert 0 < facts.residual < 1e-13
    uneven_grid = name == "grid" and min(topology.sides(n)) > 1 and n > 4 and "metropolis" in mixing.name
    assert (facts.how == "closed form") == (n == 1 or (topology.structured and not uneven_grid))
    assert graph_facts(topology, mixing, n, 3, graph) == facts


def test_known_values():
    def of(name, n, mixing="metropolis"):
        return graph_facts(TOPOLOGIES[name](), MIXINGS[mixing], n, 0)

    assert of("ring", 64).lambda_min == pytest.approx(-1 / 3, abs=1e-15)
    assert of("ring", 64).gamma == pytest.approx((1 + 2 * math.cos(2 * math.pi / 64)) / 3, abs=1e-15)
    assert of("complete", 9).gamma == 0
    assert of("complete", 9).rounds_to_halve == 0
    assert of("hypercube", 32).gamma == pytest.approx(4 / 6)
    assert of("star", 10).gap == pytest.approx(1 / 10)
    assert of("ring", 4).gamma == pytest.approx(1 / 3)
    assert of("ring", 4).rounds_to_halve == pytest.approx(math.log(2) / math.log(3))
    assert of("ring", 1).lambda_min == 1


def test_large_structured_graphs_go_by_closed_form():
    ring = graph_facts(TOPOLOGIES["ring"](), MIXINGS["metropolis"], 100_000, 0)
    assert ring.gap == pytest.approx(4 / 3 * math.sin(math.pi / 1e5) ** 2, rel=1e-6)
    assert (ring.diameter_low, ring.edges) == (50_000, 100_000)
    torus = graph_facts(TOPOLOGIES["torus"](), MIXINGS["lazy_metropolis"], 1_000_000, 0)
    assert torus.gap == pytest.approx(2 / 5 * math.sin(math.pi / 1000) ** 2, rel=1e-6)
    assert (torus.diameter_high, torus.edges, torus.degree_mean) == (1000, 2_000_000, 4.0)
    assert ring.how == torus.how == "closed form"


@pytest.mark.parametrize(
    ("name", "options", "n", "mixing"),
    [
        ("torus", {"rows": 25}, 1000, "metropolis"),
        ("torus", {"rows": 25}, 1000, "lazy_max_degree"),
        ("ring", {}, 701, "metropolis"),
        ("ring", {}, 702, "lazy_metropolis"),
        ("hypercube", {}, 1024, "max_degree"),
        ("complete", {}, 601, "metropolis"),
        ("star", {}, 640, "lazy_metropolis"),
    ],
)
def test_the_sparse_solver_finds_the_closed_form(tmp_path, name, options, n, mixing):
    topology = TOPOLOGIES[name](**options)
    closed = graph_facts(topology, MIXINGS[mixing], n, 0)
    file = tmp_path / "same.txt"
    np.savetxt(file, adjacency(topology, n, 0).edges(), fmt="%d")
    facts = graph_facts(TOPOLOGIES["edge_list"](path=str(file)), MIXINGS[mixing], n, 0)
    assert facts.how == "sparse eigensolver"
    assert facts.gamma == pytest.approx(closed.gamma, abs=1e-9)
    assert facts.lambda_min == pytest.approx(closed.lambda_min, abs=1e-9)
    assert facts.residual < 1e-8
    plain = (closed.nodes, closed.edges, closed.degree_min, closed.degree_mean, closed.degree_max, closed.diameter_low)
    assert dataclasses.astuple(facts)[:6] == plain


@pytest.mark.parametrize(
    ("name", "options", "n"),
    [
        ("erdos_renyi", {"p": 0.02}, 700),
        ("watts_strogatz", {}, 777),
        ("grid", {"rows": 20}, 800),
        ("barabasi_albert", {}, 650),
    ],
)
def test_the_sparse_solver_agrees_with_all_eigenvalues(name, options, n):
    topology = TOPOLOGIES[name](**options)
    graph = adjacency(topology, n, 2)
    facts = graph_facts(topology, MIXINGS["metropolis"], n, 2, graph)
    values = np.linalg.eigvalsh(mixing_matrix(MIXINGS["metropolis"], graph).toarray())
    assert facts.how == "sparse eigensolver"
    assert facts.gamma == pytest.approx(max(values[-2], -values[0]), abs=1e-10)
    assert facts.lambda_min == pytest.approx(values[0], abs=1e-10)


def test_a_solver_that_does_not_converge_says_so_by_its_residual(monkeypatch, capsys):
    def stuck(*_, **__):
        raise sparse_linalg.ArpackNoConvergence("%s", np.zeros(0), np.zeros((0, 0)))

    monkeypatch.setattr(sparse_linalg, "eigsh", stuck)
    topology = TOPOLOGIES["grid"](rows=2)
    facts = graph_facts(topology, MIXINGS["metropolis"], 900, 0)
    values = np.linalg.eigvalsh(mixing_matrix(MIXINGS["metropolis"], adjacency(topology, 900, 0)).toarray())
    assert facts.residual > 1e-3
    assert abs(values - facts.gamma).min() <= facts.residual
    assert abs(values - facts.lambda_min).min() <= facts.residual
    assert table(capsys, "grid", "-n", "900", "--rows", "2")["found by"].endswith("gamma may be larger still")


def random_tree(n, seed):
    rng = np.random.default_rng(seed)
    return [(i, int(rng.integers(max(0, i - 6), i))) for i in range(1, n)]


@pytest.mark.parametrize(
    "edges",
    [
        *(random_tree(400, seed) for seed in range(4)),
        *(adjacency(TOPOLOGIES["erdos_renyi"](p=0.02), 400, seed).edges() for seed in range(4)),
        adjacency(TOPOLOGIES["watts_strogatz"](rewire=0.02), 500, 0).edges(),
        adjacency(TOPOLOGIES["ring"](), 301, 0).edges(),
        adjacency(TOPOLOGIES["path"](), 1001, 0).edges(),
        [*((i, (i + 1) % 150) for i in range(150)), *((149 + i, 150 + i) for i in range(40))],  # a ring with a tail
        list(nx.lollipop_graph(70, 50).edges()),
    ],
)
def test_the_diameter_is_exact_and_the_bounds_hold(edges):
    graph = Adjacency.from_edges(1 + int(np.max(edges)), edges)
    expected = nx.diameter(nx.Graph(np.asarray(edges).tolist()))
    assert diameter(graph) == (expected, expected)
    low, high = diameter(graph, exact_up_to=10)
    assert low <= expected <= high <= 2 * low


def test_the_seed_of_the_facts_is_the_seed_of_the_graph():
    topology, mixing = TOPOLOGIES["erdos_renyi"](p=0.4), MIXINGS["metropolis"]
    gammas = [graph_facts(topology, mixing, 17, seed).gamma for seed in range(5)]
    assert gammas == [graph_facts(topology, mixing, 17, seed).gamma for seed in range(5)]
    assert len(set(gammas)) == 5


def parse(*words):
    parser = argparse.ArgumentParser()
    verb.add_parser(parser.add_subparsers(required=True))
    return parser.parse_args(["topology", *words])


def table(capsys, *words):
    arguments = parse(*words)
    assert arguments.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    column = lines[0].index(words[0])
    assert all(line[column - 2 : column] == "  " and line[column] != " " for line in lines)
    return {line[:column].strip(): line[column:] for line in lines}


def test_the_verb_prints_the_facts(capsys):
    shown = table(capsys, "torus", "-n", "12", "--rows", "3")
    assert shown["graph"] == "torus of 3 x 4"
    assert shown["edges"] == "24"
    assert shown["degrees"] == "4 min, 4 mean, 4 max"
    assert shown["diameter"] == "3"
    assert float(shown["gamma"]) == pytest.approx(0.6)
    assert float(shown["spectral gap"]) == pytest.approx(0.4)
    assert float(shown["smallest eigenvalue"]) == pytest.approx(-0.4)
    assert shown["found by"] == "closed form"
    shown = table(capsys, "erdos_renyi", "-n", "20", "--p", "0.3", "--seed", "4", "--mixing", "lazy_metropolis")
    expected = graph_facts(TOPOLOGIES["erdos_renyi"](p=0.3), MIXINGS["lazy_metropolis"], 20, 4)
    assert float(shown["gamma"]) == pytest.approx(expected.gamma, rel=1e-11)
    assert "residual" in shown["found by"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hypercube", "-n", "12"], "use 8 or 16 nodes"),
        (["erdos_renyi", "-n", "9", "--p", "1.5"], r"topology erdos_renyi\.p: got 1\.5"),
        (["ring", "-n", "9", "--mixing", "metropolos"], "did you mean 'metropolis'"),
        (["ring", "-n", "9", "--seed", "-1"], "--seed: got -1"),
        (["ring", "-n", "2001", "--plot", "g.png"], "got 2001 nodes, wanted at most 2000"),
        (["ring", "-n", "9", "--plot", "g.jpeg"], r"got the suffix '\.jpeg', wanted \.png or \.svg"),
        (["ring", "-n", "9", "--plot", "/nowhere/g.png"], "cannot be written: No such file"),
    ],
)
def test_the_verb_refuses_what_cannot_be(words, message):
    arguments = parse(*words)
    with pytest.raises(InputError, match=message):
        arguments.main(arguments)


def test_an_unknown_name_gets_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        parse("rung", "-n", "3")
    told = capsys.readouterr().err
    assert all(name in told for name in TOPOLOGIES)


@pytest.mark.parametrize("n", [1, 2, 3, 30, 130])
def test_a_picture_has_a_mark_for_every_node_and_edge(tmp_path, n):
    topology = TOPOLOGIES["path"]()
    graph, facts = adjacency(topology, n, 0), graph_facts(topology, MIXINGS["metropolis"], n, 0)
    axes = Figure().subplots()
    draw_graph(axes, graph)
    marks = [c.get_offsets() for c in axes.collections if isinstance(c, PathCollection)]
    assert [len(m) for m in marks] == [n]
    assert np.isfinite(marks[0]).all()
    assert sum(len(c.get_segments()) for c in axes.collections if isinstance(c, LineCollection)) == n - 1
    save_graph(tmp_path / "g.svg", graph, facts, "a path")
    assert f"a path: {n} nodes, gamma {facts.gamma:.4g}" in (tmp_path / "g.svg").read_text()
    save_graph(tmp_path / "g.png", graph, facts, "a path")
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")


def test_a_grid_is_drawn_unfolded():
    graph = adjacency(TOPOLOGIES["grid"](rows=4), 20, 0)
    axes = Figure().subplots()
    draw_graph(axes, graph)
    places = next(c.get_offsets() for c in axes.collections if isinstance(c, PathCollection))
    lengths = np.linalg.norm(np.diff(places[graph.edges()], axis=1), axis=2)
    assert lengths.max() < 1.5 * lengths.min()


def test_the_dense_limit_is_where_the_solver_changes():
    limit = facts_module.DENSE_UP_TO
    for n, how in ((limit, "dense eigenvalues"), (limit + 2, "sparse eigensolver")):
        assert graph_facts(TOPOLOGIES["grid"](rows=2), MIXINGS["metropolis"], n, 0).how == how

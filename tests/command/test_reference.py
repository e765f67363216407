"""The committed reference on 20 real ranks: what must come out, beside a dense run of the same graph, weights and data."""

import tomllib
from pathlib import Path

import numpy as np
import oracles
import pytest
from commands import mpidec, rows, write

from mpidec.algorithms import ALGORITHMS
from mpidec.graph.facts import graph_facts
from mpidec.graph.mixing import MIXINGS
from mpidec.graph.topology import TOPOLOGIES, adjacency
from mpidec.problems.partition import split
from mpidec.problems.synthetic import Synthetic

EXPERIMENTS = Path(__file__).resolve().parents[2] / "launch" / "experiments"
L, SEED, ITERATIONS, EVERY = 20, 0, 300, 50
CENTRAL = ("altgdmin_fusion", "altgdmin_allreduce")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    done = mpidec("run", str(EXPERIMENTS / "reference.toml"), "--out", "out", cwd=folder, seconds=540)
    assert done.returncode == 0, done.stderr
    return folder


def traced_errors(folder):
    """method -> {step: worst-node subspace distance}, from the trace of the run."""
    found: dict[str, dict[int, float]] = {}
    for row in rows(folder / "out" / "trace.csv"):
        found.setdefault(row["method"], {})[int(row["step"])] = float(row["subspace_distance"])
    return found


@pytest.fixture(scope="module")
def errors(folder):
    return traced_errors(folder)


@pytest.mark.timeout(600)
def test_what_must_come_out(errors):
    assert errors["dif_altgdmin 10 rounds"][ITERATIONS] <= 1e-13
    assert errors["dif_altgdmin 5 rounds"][ITERATIONS] <= 1e-13
    assert errors["altgdmin_allreduce"][ITERATIONS] <= 1e-13
    assert errors["dif_altgdmin 1 round"][ITERATIONS] >= 1e-3
    assert errors["dif_altgdmin 1 round"][ITERATIONS] >= 0.9 * errors["dif_altgdmin 1 round"][ITERATIONS - EVERY]


@pytest.mark.timeout(600)
def test_fusion_center_and_all_reduce_agree(folder):
    """Every node's final U, to 1e-10 relative."""
    with np.load(folder / "out" / "final.npz") as final:
        fusion, reduced = (final[f"{name}/U"] for name in CENTRAL)
    assert fusion.shape == (L, 600, 4)
    assert np.linalg.norm(fusion - reduced) <= 1e-10 * np.linalg.norm(reduced)


@pytest.fixture(scope="module")
def data():
    problem = Synthetic(d=600, tasks=600, rank=4, samples=30).load(0, 1, SEED, None)
    topology = TOPOLOGIES["edge_list"](path=str(EXPERIMENTS / "reference_graph.txt"))
    graph = adjacency(topology, L, SEED)
    return problem, oracles.metropolis([graph.neighbors(i) for i in range(L)])


def agrees(traced, dense):
    """Within a factor of 2 wherever either lies above 1e-13."""
    for step, U in enumerate(dense):
        if step in traced:
            expected = max(U)
            if max(expected, traced[step]) > 1e-13:
                assert 0.5 <= traced[step] / expected <= 2.0, (step, traced[step], expected)


def distance(U, truth):
    return np.linalg.norm(truth - U @ (U.T @ truth), 2)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rounds", [5, 10])
def test_dif_altgdmin_agrees_with_the_dense_run(errors, data, rounds):
    problem, W = data
    gamma = np.sort(np.abs(np.linalg.eigvalsh(W)))[-2]
    rounds_init = max(3, int(np.ceil(np.log(L) / np.log(1 / gamma))))
    parts = [split(600, L, g) for g in range(L)]
    dense = oracles.dif_altgdmin(
        problem.X,
        problem.y,
        parts,
        W,
        problem.start(SEED),
        rounds=rounds,
        rounds_init=rounds_init,
        power_iterations=15,
        iterations=ITERATIONS,
    )
    agrees(errors[f"dif_altgdmin {rounds} rounds"], ([distance(u, problem.truth) for u in U] for U in dense))


@pytest.mark.timeout(600)
def test_the_central_methods_agree_with_the_dense_run(errors, data):
    problem, _ = data
    dense = oracles.altgdmin(problem.X, problem.y, problem.start(SEED), power_iterations=15, iterations=ITERATIONS)
    found = [[distance(u, problem.truth) for u in U] for U in dense]
    for name in CENTRAL:
        agrees(errors[name], found)


# what else gossips, for fewer iterations: label -> algorithm and options
OTHERS = {
    "dif chebyshev": ("dif_altgdmin", {"rounds": 2, "gossip": "chebyshev"}),
    "dec": ("dec_altgdmin", {"rounds": 10}),
    "dec chebyshev": ("dec_altgdmin", {"rounds": 10, "gossip": "chebyshev"}),
    "falling": ("dec_altgdmin_falling", {"gossip": "chebyshev"}),
    "dgd": ("dgd", {}),
}
SHORT = 60


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """The same for OTHERS, on the same graph, weights and data."""
    folder = tmp_path_factory.mktemp("others")
    table = tomllib.loads((EXPERIMENTS / "reference.toml").read_text())
    table["graph"]["path"] = str(EXPERIMENTS / "reference_graph.txt")
    table["observe"]["every"] = 20
    table["method"] = [
        {"algorithm": name, "label": label, "iterations": SHORT, **options} for label, (name, options) in OTHERS.items()
    ]
    done = mpidec("run", write(folder, table), "--out", "out", cwd=folder, seconds=540)
    assert done.returncode == 0, done.stderr
    return traced_errors(folder)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("label", OTHERS)
def test_every_method_over_gossip_agrees_with_the_dense_run(others, data, label):
    problem, W = data
    name, options = OTHERS[label]
    topology = TOPOLOGIES["edge_list"](path=str(EXPERIMENTS / "reference_graph.txt"))
    facts = graph_facts(topology, MIXINGS["metropolis"], L, SEED, adjacency(topology, L, SEED))
    bound = ALGORITHMS[name](**options).bind(facts)
    known = {
        key: getattr(bound, key) for key in ("rounds_init", "rounds", "most", "fall", "least", "gossip") if hasattr(bound, key)
    }
    parts = [split(600, L, g) for g in range(L)]
    x0 = problem.start(SEED)
    dense = getattr(oracles, name)(problem.X, problem.y, parts, W, x0, **known, power_iterations=15, iterations=SHORT)
    agrees(others[label], ([distance(u, problem.truth) for u in U] for U in dense))
    assert sorted(others[label]) == [0, 20, 40, 60]

"""A rank that is not known: estimated from the initialization, the same at every node, and as good as one that is."""

from dataclasses import replace

import cases
import numpy as np
import oracles
import pytest
from simnet import networks, run_nodes

from mpidec.algorithms import ALGORITHMS
from mpidec.algorithms.spectral import steepest_fall
from mpidec.predict import predict
from mpidec.problems.synthetic import Synthetic

BOUND = Synthetic(d=40, tasks=60, samples=30, rank=7, true_rank=3)


def run(name, nodes, spec, seed, iterations, **options):
    """Every node's last state."""
    graph = cases.graph_of(nodes)
    algorithm = ALGORITHMS[name](**options).bind(cases.facts_of(graph))
    made = networks(algorithm.network, cases.rows_of(graph))

    def node(g):
        problem = spec.load(g, nodes, seed, None)
        state = algorithm.init(made[g][0], problem, problem.start(seed))
        for k in range(1, iterations + 1):
            state = algorithm.step(made[g][0], problem, state, k)
        return state

    return run_nodes(node, nodes)


def singular_values(spec, seed):
    """Those of the truncated moments of all tasks, (min(d, T),), by a dense decomposition."""
    whole = spec.load(0, 1, seed, None)
    alpha = 9 / whole.y.size * np.sum(whole.y**2)
    theta = np.einsum("tnd,tn->dt", whole.X, np.where(whole.y**2 <= alpha, whole.y, 0.0)) / spec.samples
    return np.linalg.svd(theta, compute_uv=False)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("name", "nodes"), [("dif_altgdmin", 5), ("dif_altgdmin", 1), ("altgdmin_fusion", 3)])
def test_the_estimate_is_where_the_singular_values_fall_most(name, nodes, seed):
    values = singular_values(BOUND, seed)[: BOUND.rank]
    expected = 1 + int(np.argmax(values[:-1] / values[1:]))
    states = run(name, nodes, BOUND, seed, 0, estimate_rank=True)
    assert {state.U.shape for state in states} == {(40, expected)}
    assert expected == BOUND.true_rank


@pytest.mark.parametrize("gossip", ["plain", "chebyshev"])
def test_all_nodes_take_the_first_nodes_estimate_where_their_own_would_differ(gossip):
    """Few rounds of gossip on hardly any structure: nodes see other singular values, and must still agree."""
    unclear = Synthetic(d=20, tasks=24, samples=8, rank=6, true_rank=6, noise=3.0)
    graph = cases.graph_of(8)
    algorithm = ALGORITHMS["dif_altgdmin"](estimate_rank=True, rounds_init=3, power_iterations=3, gossip=gossip)
    algorithm = algorithm.bind(cases.facts_of(graph))
    own = []

    def node(g, network, seed):
        problem = unclear.load(g, 8, seed, None)
        return algorithm.init(network, problem, problem.start(seed)).U.shape[1]

    for seed in range(6):
        made = networks("graph", cases.rows_of(graph), cases.facts_of(graph).gamma if algorithm.accelerated else None)
        chosen = run_nodes(lambda g, made=made, seed=seed: node(g, made[g][0], seed), 8)
        assert len(set(chosen)) == 1
        own.append(chosen[0])
    assert len(set(own)) > 1  # it depends on the data


def test_with_the_rank_found_the_error_is_that_of_the_rank_known():
    known = run("dif_altgdmin", 5, replace(BOUND, rank=3, true_rank=None), 1, 120, rounds=12)
    found = run("dif_altgdmin", 5, BOUND, 1, 120, rounds=12, estimate_rank=True)
    truth = BOUND.load(0, 5, 1, None).truth
    errors = [max(oracles.subspace_distance(state.U, truth) for state in states) for states in (known, found)]
    assert errors[0] < 1e-7
    assert errors[1] < 10 * errors[0]


def test_a_rank_too_small_has_distance_one_and_one_too_large_is_not_punished():
    small = run("dif_altgdmin", 2, replace(BOUND, rank=2), 1, 3)
    large = run("dif_altgdmin", 2, BOUND, 1, 30, rounds=6)
    truth = BOUND.load(0, 2, 1, None).truth
    assert oracles.subspace_distance(small[0].U, truth) == pytest.approx(1.0, abs=1e-9)
    assert oracles.subspace_distance(large[0].U, truth) < 0.1


def test_predicted_are_the_initialization_and_steps_at_the_bound():
    graph = cases.graph_of(5)
    facts = cases.facts_of(graph)
    algorithm = ALGORITHMS["dif_altgdmin"](estimate_rank=True, rounds=2).bind(facts)
    degree = int(graph.degrees.max())
    busiest = predict(algorithm, BOUND.rehearsal(), facts, {degree: 1}, 10)[0]
    made = networks("graph", cases.rows_of(graph))

    def node(g):
        problem, (net, ledger) = BOUND.load(g, 5, 0, None), made[g]
        with ledger.charge("init"):
            algorithm.init(net, problem, problem.start(0))
        return ledger.totals("init")

    assert busiest.init == run_nodes(node, 5)[int(np.argmax(graph.degrees))]
    assert busiest.bytes - busiest.init.bytes == 10 * 2 * degree * 40 * 7 * 8


def test_steepest_fall():
    assert steepest_fall(np.array([9.0, 8.0, 1.0, 0.5])) == 2
    assert steepest_fall(np.array([9.0, 8.0, 0.0])) == 2
    assert steepest_fall(np.array([4.0])) == 1

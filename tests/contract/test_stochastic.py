"""What the stochastic methods must satisfy beside the laws of every algorithm, on the simulated network."""

import dataclasses

import cases
import numpy as np
import pytest
from simnet import networks, run_nodes

from mpidec.algorithms import ALGORITHMS
from mpidec.errors import InputError
from mpidec.graph.facts import graph_facts
from mpidec.graph.mixing import MIXINGS
from mpidec.graph.topology import TOPOLOGIES
from mpidec.problems import PROBLEMS

RING = graph_facts(TOPOLOGIES["ring"](), MIXINGS["metropolis"], 4, 0)
# what each is with exact averages; D-SGD with momentum and AMSGrad keep moments of their own, so their step is not linear in g
CENTRAL = {
    "dat_sgd": "anytime_minibatch_sgd",
    "d_sgd": "minibatch_sgd",
    "d2": "minibatch_sgd",
    "gradient_tracking": "minibatch_sgd",
    "local_sgd": "minibatch_sgd",
}


def uniform(L):
    return [(tuple(j for j in range(L) if j != i), 1 / L, np.full(L - 1, 1 / L)) for i in range(L)]


def simulate(algorithm, rows, shards, steps=cases.ITERATIONS, first=1):
    """The last state of every node."""
    made = networks(algorithm.network, rows)

    def node(g):
        state = algorithm.init(made[g][0], shards[g], shards[g].start(0))
        for k in range(first, first + steps):
            state = algorithm.step(made[g][0], shards[g], state, k)
        return state

    return run_nodes(node, len(rows))


def bound(name, L, **options):
    given = cases.SMOOTH[name] | ({"period": 1} if name == "local_sgd" else {}) | options
    return ALGORITHMS[name](**given).bind(graph_facts(TOPOLOGIES["complete"](), MIXINGS["metropolis"], L, 0))


def shards_of(L, **options):
    spec = dataclasses.replace(cases.SMOOTH_SPEC, **options)
    return [spec.load(g, L, cases.SEED, spec.public(cases.SEED, L)) for g in range(L)]


@pytest.mark.parametrize("name", CENTRAL)
def test_exact_averages_and_one_node_make_it_the_centralized_method(name):
    """On W = 11^T/L the means agree for all, and the estimates too where the estimate is what was mixed last."""
    for L in (1, 4):
        shards = shards_of(L)
        # gradient tracking draws G_0 in advance and G_k after its k-th step: its step k is along the draw k - 1
        first = 0 if name == "gradient_tracking" else 1
        got = simulate(bound(name, L), uniform(L), shards)
        central = simulate(bound(CENTRAL[name], L, step_size=cases.SMOOTH[name]["step_size"]), uniform(L), shards, first=first)
        for state, reference in zip(got, central, strict=True):
            np.testing.assert_allclose(state[0], reference[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", cases.SMOOTH_GOSSIPING)
def test_identity_weights_leave_nodes_without_influence(name):
    rows = [(neighbors, 1.0, np.zeros(len(neighbors))) for neighbors, _, _ in cases.rows_of(cases.graph_of(3))]
    algorithm = cases.algorithm_of(name, 3)
    plain, other = shards_of(3), shards_of(3)
    other[2] = shards_of(3, zeta=50.0)[2]
    other[2].constants = plain[2].constants
    one, two = simulate(algorithm, rows, plain), simulate(algorithm, rows, other)
    assert np.array_equal(one[1][0], two[1][0])
    assert not np.array_equal(one[2][0], two[2][0])


@pytest.mark.parametrize("name", cases.SMOOTH_GOSSIPING)
def test_messages_are_of_d_or_2_d_numbers_of_the_problems_type(name):
    vectors = 2 if name.startswith(("dat_sgd", "gradient_tracking", "d_amsgrad")) else 1
    for dtype, size in (("float64", 8), ("float32", 4)):
        spec = dataclasses.replace(cases.SMOOTH_SPEC, dtype=dtype)
        shards = [spec.load(g, 5, 0, spec.public(0, 5)) for g in range(5)]
        graph = cases.graph_of(5)
        made = networks("graph", cases.rows_of(graph))
        algorithm = cases.algorithm_of(name, 5)

        def node(g, shards=shards, made=made, algorithm=algorithm):
            state = algorithm.init(made[g][0], shards[g], shards[g].start(0))
            for k in range(1, 11):
                state = algorithm.step(made[g][0], shards[g], state, k)
            return state

        for g, state in enumerate(run_nodes(node, 5)):
            rounds = 2 if name == "local_sgd" else 10
            totals = made[g][1].totals("setup")
            assert totals.bytes == rounds * len(graph.neighbors(g)) * vectors * 7 * size
            assert totals.messages == rounds * len(graph.neighbors(g))
            assert all(x.dtype == dtype for x in state if np.ndim(x))


def test_single_precision_follows_double_precision():
    for name in ("dat_sgd", "d2", "gradient_tracking", "d_amsgrad"):
        rows = cases.rows_of(cases.graph_of(5))
        states = [simulate(cases.algorithm_of(name, 5), rows, shards_of(5, dtype=t)) for t in ("float32", "float64")]
        for single, double in zip(*states, strict=True):
            np.testing.assert_allclose(single[0], double[0], rtol=0, atol=2e-4)


def test_with_the_whole_momentum_the_query_point_is_the_iterate():
    rows, shards = cases.rows_of(cases.graph_of(5)), shards_of(5)
    whole = simulate(ALGORITHMS["dat_sgd_momentum"](step_size=0.1, momentum=1.0), rows, shards)
    plain = simulate(ALGORITHMS["d_sgd"](step_size=0.1), rows, shards)
    rest = simulate(ALGORITHMS["d_sgd_momentum"](step_size=0.1, momentum=0.0), rows, shards)
    for a, b, c in zip(whole, plain, rest, strict=True):
        assert np.array_equal(a.x, b.x) and np.array_equal(a.w, b.x) and np.array_equal(c.x, b.x)


def test_constant_weights_make_the_query_point_the_mixed_mean_of_the_iterates():
    """On one node: x after T steps is the plain mean of w_2, …, w_{T+1}."""
    (shard,) = shards_of(1)
    algorithm = ALGORITHMS["dat_sgd"](step_size=0.1, growth=0.0).bind(dataclasses.replace(RING, nodes=1))
    net = networks("graph", uniform(1))[0][0]
    state = algorithm.init(net, shard, shard.start(0))
    iterates = []
    for k in range(1, 9):
        state = algorithm.step(net, shard, state, k)
        iterates.append(state.w)
    np.testing.assert_allclose(state.x, np.mean(iterates, axis=0), rtol=1e-12)
    assert algorithm.iterate(state) is state.w and algorithm.estimate(state) is state.x


def test_tracking_and_d2_reach_the_optimum_of_unlike_nodes_where_d_sgd_does_not():
    """Without noise, and with heterogeneity: the error of D-SGD stalls, that of the others does not."""
    L, rows = 4, cases.rows_of(cases.graph_of(4))
    shards = shards_of(L, sigma=0.0, zeta=3.0)
    x = shards[0].optimum
    errors = {}
    for name in ("d_sgd", "d2", "gradient_tracking"):
        states = simulate(ALGORITHMS[name](step_size=0.1), rows, shards, steps=900)
        errors[name] = max(float(np.linalg.norm(s[0] - x)) for s in states)
    assert errors["d_sgd"] > 0.1
    assert errors["d2"] < 1e-8 and errors["gradient_tracking"] < 1e-8


def test_amsgrad_agrees_on_its_scales_and_comes_near_the_optimum():
    """Its scales keep the mean of the nodes' peaks; without noise it ends within its step's reach of the optimum."""
    rows, shards = cases.rows_of(cases.graph_of(3)), shards_of(3, sigma=0.0)
    states = simulate(ALGORITHMS["d_amsgrad"](step_size=0.0125, beta1=0.5), rows, shards, steps=800)
    scale, peak = (np.mean([getattr(s, name) for s in states], axis=0) for name in ("scale", "peak"))
    np.testing.assert_allclose(scale, peak, rtol=1e-9)
    x = shards[0].optimum
    assert np.linalg.norm(np.mean([s.x for s in states], axis=0) - x) < 0.02 * np.linalg.norm(x)


@pytest.mark.parametrize(("topology", "nodes"), [("ring", 4), ("ring", 12), ("torus", 16), ("torus", 36)])
def test_d2_refuses_a_mixing_matrix_at_which_it_diverges(topology, nodes):
    """An even ring has -1/3 itself; on it the iterates do not come to rest, with the lazy weights they do."""
    algorithm = ALGORITHMS["d2"](step_size=0.1)
    with pytest.raises(InputError, match=r"above -1/3, and here the least is -0\.[36].*lazy_metropolis"):
        algorithm.bind(graph_facts(TOPOLOGIES[topology](), MIXINGS["metropolis"], nodes, 0))
    for lazy in ("lazy_metropolis", "lazy_max_degree"):
        assert algorithm.bind(graph_facts(TOPOLOGIES[topology](), MIXINGS[lazy], nodes, 0)) is algorithm


def test_the_bound_of_d2_is_where_its_recursion_loses_stability():
    """On the mode of eigenvalue lambda, without gradients, x'' = lambda (2 x' - x): stable just above -1/3 alone."""
    radii = [max(abs(np.roots([1, -2 * x, x]))) for x in (-1 / 3 + 1e-3, -1 / 3, -1 / 3 - 1e-3)]
    assert radii[0] < 1 and radii[1] == pytest.approx(1) and radii[2] > 1


def test_the_theorys_step_size_is_the_least_of_four():
    """Each of its four bounds in turn, by numbers put into the formula by hand."""
    from mpidec.algorithms.anytime import theory_step_size
    from mpidec.problems import Constants

    assert theory_step_size(Constants(1, 0, 0, 5), 100, 4, 0.9) == pytest.approx(1 / 2400)
    assert theory_step_size(Constants(2, 0, 0, 5), 10, 4, 0.1) == pytest.approx(0.01 / (2 * 71.55417527999327))
    assert theory_step_size(Constants(0.01, 3, 0, 0.5), 400, 9, 1.0) == pytest.approx(0.5 * 3 / (1.7320508075688772 * 3 * 8000))
    expected = (1 / (2 * 0.01 * 71.55417527999327 * 100)) ** 0.5 * 0.5 / 10
    assert theory_step_size(Constants(0.01, 0, 100, 1), 10, 4, 0.5) == pytest.approx(expected)


def test_the_theorys_step_size_wants_a_horizon_a_gap_and_a_problem_that_is_known():
    with pytest.raises(InputError, match="step_size = none, horizon = none"):
        ALGORITHMS["dat_sgd"]().bind(RING)
    with pytest.raises(InputError, match="horizon = 9 on a graph of spectral gap 0"):
        ALGORITHMS["dat_sgd"](horizon=9).bind(dataclasses.replace(RING, gamma=1.0))
    with pytest.raises(InputError, match=r"growth = 0\.5 and no step_size; .* for weights t, growth = 1"):
        ALGORITHMS["dat_sgd"](horizon=9, growth=0.5).bind(RING)
    with pytest.raises(InputError, match="constants that this problem does not know; give step_size"):
        ALGORITHMS["dat_sgd"](horizon=9).bind(RING).check(object())
    with pytest.raises(ValueError, match="has no step size"):
        ALGORITHMS["dat_sgd"](horizon=9).init(None, shards_of(1)[0], np.zeros(7))
    with pytest.raises(ValueError, match="needs nodes"):
        ALGORITHMS["minibatch_sgd"](step_size=0.1).init(None, shards_of(1)[0], np.zeros(7))


def test_dat_sgd_keeps_query_points_together_while_its_iterates_part():
    """Between unlike nodes iterates part as t grows, since their steps do, and their averages do not (arXiv 2506.00961)."""
    L = 6
    spec = PROBLEMS["least_squares"]["decaying"](d=20, zeta=100.0)
    shards = [spec.load(g, L, 0, spec.public(0, L)) for g in range(L)]
    facts = graph_facts(TOPOLOGIES["ring"](), MIXINGS["metropolis"], L, 0)
    rows = [(tuple(sorted({(g - 1) % L, (g + 1) % L})), 1 / 3, np.full(2, 1 / 3)) for g in range(L)]

    def spread(steps):
        states = simulate(ALGORITHMS["dat_sgd"](step_size=2e-4).bind(facts), rows, shards, steps=steps)
        clouds = (np.stack([s.x for s in states]), np.stack([s.w for s in states]))
        return [float(np.sqrt(np.mean(np.sum((Y - Y.mean(axis=0)) ** 2, axis=1)))) for Y in clouds]

    (x_early, w_early), (x_late, w_late) = spread(100), spread(400)
    assert x_late < 1.5 * x_early
    assert w_late > 3 * w_early
    assert x_late < 0.02 * w_late

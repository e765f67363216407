"""What every algorithm in the table must satisfy, on the simulated network (the same Network class, queues for edges)."""

import dataclasses

import cases
import numpy as np
import oracles
import pytest
from simnet import networks, run_nodes

from mpidec.algorithms import ALGORITHMS
from mpidec.algorithms.spectral import SpectralStart, SpectralState, orthonormalize
from mpidec.errors import InputError
from mpidec.graph.facts import graph_facts
from mpidec.graph.mixing import MIXINGS
from mpidec.graph.topology import TOPOLOGIES
from mpidec.network import Network
from mpidec.predict import predict


def simulate(name, rows):
    made = cases.simulated(name, rows)
    return run_nodes(lambda g: cases.run_node(name, made[g][0], g, len(rows)), len(rows)), [ledger for _, ledger in made]


def test_every_algorithm_has_a_case():
    assert {label.split()[0] for label in cases.OPTIONS | cases.SMOOTH} == set(ALGORITHMS)


@pytest.mark.parametrize("nodes", [1, 2, 3, 5])
@pytest.mark.parametrize("name", cases.ALL)
def test_equals_its_dense_oracle(name, nodes):
    rows = cases.rows_of(cases.graph_of(nodes))
    states, _ = simulate(name, rows)
    expected = cases.oracle(name, nodes, cases.dense(rows))
    got = np.stack([state[0] for state in states])
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", cases.SPECTRAL)
def test_nodes_of_unequal_shares_equal_the_dense_oracle(name, monkeypatch):
    monkeypatch.setattr(cases, "SPEC", dataclasses.replace(cases.SPEC, imbalance=4.0))
    rows = cases.rows_of(cases.graph_of(5))
    assert [cases.shard(g, 5).tasks for g in range(5)] == [4, 3, 2, 1, 1]
    states, _ = simulate(name, rows)
    expected = cases.oracle(name, 5, cases.dense(rows))
    np.testing.assert_allclose(np.stack([state.U for state in states]), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", cases.OPTIONS)
def test_one_node_is_the_centralized_method(name):
    states, ledgers = simulate(name, cases.rows_of(cases.graph_of(1)))
    central, _ = simulate("altgdmin_allreduce", cases.rows_of(cases.graph_of(1)))
    np.testing.assert_allclose(states[0].U, central[0].U, rtol=0, atol=1e-10)
    assert ledgers[0].rows() == []


SUMMING = [name for name in cases.GOSSIPING if not name.startswith("dgd")]
"""Methods whose one round over W = 11^T/L adds up all gradients."""


@pytest.mark.parametrize("name", SUMMING)
def test_complete_graph_with_uniform_weights_and_one_round_is_the_all_reduce_method(name):
    L = 4
    rows = [(tuple(j for j in range(L) if j != i), 1 / L, np.full(L - 1, 1 / L)) for i in range(L)]
    facts = graph_facts(TOPOLOGIES["complete"](), MIXINGS["metropolis"], L, 0)
    options = {**cases.OPTIONS[name], "rounds_init": 1}
    options |= {"most": 1, "least": 1} if "most" in options else {"rounds": 1}
    made = cases.simulated(name, rows)

    def node(g):
        algorithm = cases.class_of(name)(**options).bind(facts)
        problem = cases.shard(g, L)
        state = algorithm.init(made[g][0], problem, problem.start(cases.SEED))
        for k in range(cases.ITERATIONS):
            state = algorithm.step(made[g][0], problem, state, k + 1)
        return state.U

    U = run_nodes(node, L)
    central, _ = simulate("altgdmin_allreduce", rows)
    for u in U:
        np.testing.assert_allclose(u, central[0].U, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", cases.GOSSIPING)
def test_identity_weights_leave_nodes_without_influence(name):
    """With W = I what node 1 holds does not depend on node 2's data."""
    L = 3
    rows = [(neighbors, 1.0, np.zeros(len(neighbors))) for neighbors, _, _ in cases.rows_of(cases.graph_of(L))]
    algorithm = cases.algorithm_of(name, L)

    def simulate_with(scale):
        made = networks("graph", rows, 0.5 if algorithm.accelerated else None)

        def node(g):
            problem = cases.shard(g, L)
            if g == 2:
                problem = type(problem)(problem.X, scale * problem.y, rank=2, total_tasks=11, isotropic=True)
            U, _ = orthonormalize(problem.start(cases.SEED))
            state = SpectralState(U, np.array(1e-3))
            for k in range(5):
                state = algorithm.step(made[g][0], problem, state, k + 1)
            return state.U

        return run_nodes(node, L)

    one, two = simulate_with(1.0), simulate_with(5.0)
    assert np.array_equal(one[1], two[1])
    assert not np.array_equal(one[2], two[2])


@pytest.mark.parametrize("name", [*cases.GOSSIPING, *cases.SMOOTH_GOSSIPING])
def test_relabeled_graph_gives_the_relabeled_result(name):
    """Nodes 1 and 3 trade places, data and all; node 0, which leads the spectral initialization, stays."""
    L = 5
    graph = cases.graph_of(L)
    order = np.array([0, 3, 2, 1, 4])
    edges = order[graph.edges()]
    relabeled = type(graph).from_edges(L, np.sort(edges, axis=1))
    plain, _ = simulate(name, cases.rows_of(graph))
    made = cases.simulated(name, cases.rows_of(relabeled))

    def node(g):
        algorithm, problem = cases.algorithm_of(name, L), cases.shard(int(order[g]), L, name)
        state = algorithm.init(made[g][0], problem, problem.start(cases.SEED))
        for k in range(1, cases.ITERATIONS + 1):
            state = algorithm.step(made[g][0], problem, state, k)
        return state

    swapped = run_nodes(node, L)
    for g in range(L):
        np.testing.assert_allclose(swapped[g][0], plain[order[g]][0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", [*cases.OPTIONS, *cases.SMOOTH])
def test_restart_from_a_state_equals_the_unbroken_run_bit_for_bit(name):
    L = 3
    rows = cases.rows_of(cases.graph_of(L))
    unbroken, _ = simulate(name, rows)
    first, second = cases.simulated(name, rows), cases.simulated(name, rows)

    def node(g):
        algorithm, problem = cases.algorithm_of(name, L), cases.shard(g, L, name)
        state = algorithm.init(first[g][0], problem, problem.start(cases.SEED))
        for k in range(1, 6):
            state = algorithm.step(first[g][0], problem, state, k)
        state = type(state)(*(np.array(x) for x in state))  # what a checkpoint keeps: arrays alone
        problem = cases.shard(g, L, name)
        for k in range(6, cases.ITERATIONS + 1):
            state = algorithm.step(second[g][0], problem, state, k)
        return state

    for resumed, whole in zip(run_nodes(node, L), unbroken, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(resumed, whole, strict=True))


@pytest.mark.parametrize("name", [*cases.OPTIONS, *cases.SMOOTH])
def test_step_changes_no_array_it_was_given(name):
    L = 3
    made = cases.simulated(name, cases.rows_of(cases.graph_of(L)))

    def node(g):
        algorithm, problem = cases.algorithm_of(name, L), cases.shard(g, L, name)
        x0 = problem.start(cases.SEED)
        held = [x0, *(value for value in vars(problem).values() if isinstance(value, np.ndarray))]
        kept = [array.copy() for array in held]
        state = algorithm.init(made[g][0], problem, x0)
        assert len(held) >= 3  # the start, and the data
        for k in range(1, 6):  # to a step of local SGD that mixes
            before = [np.array(x) for x in state]
            after = algorithm.step(made[g][0], problem, state, k)
            assert all(np.array_equal(a, b) for a, b in zip(before, state, strict=True))
            state = after
        return all(np.array_equal(a, b) for a, b in zip(kept, held, strict=True))

    assert run_nodes(node, L) == [True] * L


def rounds_of(name, k):
    """Gossip rounds of step k, as the options say."""
    options = cases.OPTIONS[name]
    if name == "dgd":
        return 1
    return max(options["most"] - int(options["fall"] * (k - 1)), options["least"]) if "fall" in options else options["rounds"]


@pytest.mark.parametrize("name", cases.GOSSIPING)
def test_bytes_of_an_iteration_are_rounds_degree_d_r_8(name):
    L, d, r = 5, 12, 2
    graph = cases.graph_of(L)
    made = cases.simulated(name, cases.rows_of(graph))

    def node(g):
        algorithm, problem = cases.algorithm_of(name, L), cases.shard(g, L)
        net, ledger = made[g]
        with ledger.charge("init"):
            state = algorithm.init(net, problem, problem.start(cases.SEED))
        sent = []
        for k in range(1, 8):
            with ledger.charge("iterate"):
                state = algorithm.step(net, problem, state, k)
            sent.append(ledger.totals("iterate").bytes)
        return ledger, np.diff([0, *sent]).tolist()

    for g, (ledger, sent) in enumerate(run_nodes(node, L)):
        degree = len(graph.neighbors(g))
        assert sent == [rounds_of(name, k) * degree * d * r * 8 for k in range(1, 8)]
        # alpha once (8 bytes), then a sum and an agreement of d r numbers for each power iteration
        a_round = degree * (8 + 2 * cases.POWER_ITERATIONS * d * r * 8)
        assert ledger.totals("init").bytes == cases.OPTIONS[name]["rounds_init"] * a_round
        assert {row.neighbor for row in ledger.rows()} == set(graph.neighbors(g))


@pytest.mark.parametrize("nodes", [1, 2, 5])
@pytest.mark.parametrize("name", [*cases.OPTIONS, *cases.SMOOTH])
def test_predicted_traffic_is_what_the_ledgers_count(name, nodes):
    """For every number of iterations up to ITERATIONS, by when falling rounds have reached their least."""
    graph = cases.graph_of(nodes)
    degrees = {int(d): int(n) for d, n in zip(*np.unique(graph.degrees, return_counts=True), strict=True)}
    algorithm = cases.algorithm_of(name, nodes)
    made = cases.simulated(name, cases.rows_of(graph))

    def node(g):
        problem, (net, ledger) = cases.shard(g, nodes, name), made[g]
        state = algorithm.init(net, problem, problem.start(cases.SEED))
        sent = []
        for k in range(1, cases.ITERATIONS + 1):
            state = algorithm.step(net, problem, state, k)
            sent.append((ledger.totals("setup").messages, ledger.totals("setup").bytes))  # all is on one account here
        return sent

    counted = run_nodes(node, nodes)
    for k in range(1, cases.ITERATIONS + 1):
        kinds = predict(algorithm, cases.spec_of(name).rehearsal(), cases.facts_of(graph), degrees, k)
        predicted = sorted((kind.messages, kind.bytes) for kind in kinds for _ in range(kind.nodes))
        assert predicted == sorted(sent[k - 1] for sent in counted)


def test_steps_that_send_other_than_their_class_are_not_predicted():
    class Sly(ALGORITHMS["dec_altgdmin_falling"]):
        def step(self, net, problem, state, k):
            return super().step(net, problem, state, k + 1)

    facts = cases.facts_of(cases.graph_of(3))
    algorithm = Sly(most=9, fall=0.4, rounds_init=3).bind(facts)
    with pytest.raises(InputError, match=r"step 5 sends other than .* override traffic_class"):
        predict(algorithm, cases.SPEC.rehearsal(), facts, {2: 3}, 5)


def test_mixing_refuses_arrays_of_two_dtypes_and_weights_of_another_degree():
    rows = cases.rows_of(cases.graph_of(2))
    net = networks("graph", rows)[0][0]
    with pytest.raises(ValueError, match="share a dtype; got float64, float32"):
        net.mix(np.ones(2), np.ones(2, np.float32))
    with pytest.raises(ValueError, match="1 neighbors want as many weights"):
        Network(net._link, 0.5, np.array([0.2, 0.3]))


@pytest.mark.parametrize("name", [n for n in cases.OPTIONS if issubclass(cases.class_of(n), SpectralStart)])
def test_step_size_of_other_features_is_one_over_the_summed_curvatures(name):
    L = 3
    rows = cases.rows_of(cases.graph_of(L))
    made = cases.simulated(name, rows)
    algorithm = cases.algorithm_of(name, L)

    def node(g):
        own = cases.shard(g, L)
        problem = type(own)(own.X, own.y, rank=2, total_tasks=11, isotropic=False)
        state = algorithm.init(made[g][0], problem, problem.start(cases.SEED))
        return state.step_size, problem.curvature(state.U)

    steps, curvatures = np.array(run_nodes(node, L)).T
    sums = np.ones((L, L))
    if name in cases.GOSSIPING:
        options = cases.OPTIONS[name]
        gossip = options.get("gossip_init", options.get("gossip", "plain"))
        sums = L * oracles.mixer(cases.dense(rows), algorithm.rounds_init, gossip)
    np.testing.assert_allclose(steps, 1 / (sums @ curvatures), rtol=1e-12)


@pytest.mark.parametrize(
    ("topology", "nodes", "rounds", "accelerated"),
    [
        ("ring", 1, 1, 1),
        ("complete", 5, 1, 1),
        ("path", 6, 20, 6),  # log 6 / -log gamma, acosh 6 / acosh(1 / gamma), gamma = 1 - (2 - 2 cos(pi / 6)) / 3
        ("ring", 12, 27, 8),  # gamma = (1 + 2 cos(pi / 6)) / 3
        ("star", 20, 59, 12),  # gamma = 1 - 1/20
        ("path", 40, 1794, 69),
    ],
)
def test_rounds_of_the_initialization_follow_from_gamma_and_the_diameter(topology, nodes, rounds, accelerated):
    facts = graph_facts(TOPOLOGIES[topology](), MIXINGS["metropolis"], nodes, 0)
    for gossip, expected in (("plain", rounds), ("chebyshev", accelerated)):
        bound = ALGORITHMS["dif_altgdmin"](gossip=gossip).bind(facts)
        assert (bound.rounds_init, bound.nodes) == (expected, nodes)
        of_its_own = ALGORITHMS["dif_altgdmin"](gossip_init=gossip).bind(facts)
        assert (of_its_own.rounds_init, of_its_own.gossip, of_its_own.gamma) == (expected, "plain", facts.gamma)


def test_an_accelerated_start_is_never_plain_for_want_of_gamma():
    algorithm = ALGORITHMS["dif_altgdmin"](gossip_init="chebyshev", nodes=2, rounds_init=2)
    with pytest.raises(ValueError, match="needs gamma for its initialization"):
        algorithm.start_by_gossip(None, None, np.ones((2, 1)))


def test_rounds_that_gamma_cannot_tell_are_asked_for():
    facts = dataclasses.replace(graph_facts(TOPOLOGIES["ring"](), MIXINGS["metropolis"], 12, 0), gamma=1.0)
    assert ALGORITHMS["dif_altgdmin"](rounds_init=30).bind(facts).rounds_init == 30
    with pytest.raises(InputError, match="gamma is 1 to the last digit"):
        ALGORITHMS["dif_altgdmin"]().bind(facts)


def test_an_algorithm_that_was_not_bound_says_so():
    net = networks("graph", cases.rows_of(cases.graph_of(1)))[0][0]
    problem = cases.shard(0, 1)
    with pytest.raises(ValueError, match="needs nodes and rounds_init"):
        ALGORITHMS["dif_altgdmin"]().init(net, problem, problem.start(0))


@pytest.mark.parametrize(("gossip", "L"), [("plain", 12), ("chebyshev", 12), ("plain", 1)])
def test_rounds_of_dec_altgdmin_follow_from_the_accuracy(gossip, L):
    """Each is the least number of rounds whose polynomial of the ring's gamma is below the bound."""
    facts = graph_facts(TOPOLOGIES["ring"](), MIXINGS["metropolis"], L, 0)

    def left(rounds):
        if L == 1:
            return 0.0
        x = 3 / (1 + 2 * np.cos(2 * np.pi / L))
        return x**-rounds if gossip == "plain" else 1 / np.polynomial.chebyshev.Chebyshev.basis(rounds)(x)

    def least(bound):
        return next(rounds for rounds in range(1, 2000) if left(rounds) <= bound)

    few, many = (ALGORITHMS["dec_altgdmin"](rounds=rounds, gossip=gossip).bind(facts) for rounds in (3, 60))
    assert few.rounds_init == max(least(1 / L), L // 2, 3)
    assert many.rounds_init == 60
    falling = ALGORITHMS["dec_altgdmin_falling"](gossip=gossip, accuracy=1e-9).bind(facts)
    assert (falling.most, falling.rounds_init, falling.least) == (least(1e-9), least(1e-9 / L), least(1 / L**2))
    # what a round gains in the long run, against what an iteration does
    gained = left(60) / left(61) if L > 1 else np.inf
    assert falling.fall == pytest.approx(np.log(1 / 0.92) / np.log(gained), rel=1e-3)
    given = ALGORITHMS["dec_altgdmin_falling"](gossip=gossip, fall=0.25, most=40, least=2, rounds_init=50).bind(facts)
    assert (given.fall, given.most, given.rounds_init) == (0.25, 40, 50)
    assert [given.traffic_class(k) for k in (1, 4, 5, 152, 153, 500)] == [40, 40, 39, 3, 2, 2]

"""The MPI transport and the network on real ranks."""

import numpy as np
import pytest
from mpi4py import MPI

from mpidec.graph.mixing import MIXINGS
from mpidec.graph.topology import TOPOLOGIES
from mpidec.ledger import Ledger
from mpidec.link import Clock, Link
from mpidec.mpi.transport import GraphTransport
from mpidec.mpi.world import World
from mpidec.network import AllReduce, FusionCenter, Network


@pytest.fixture
def world():
    with World() as world:
        yield world


def network(world, neighbors, self_weight, weights):
    ledger = Ledger(world.local_ranks)
    ledger.account = "iterate"
    return Network(Link(world.transport(neighbors, neighbors), ledger, Clock()), self_weight, weights), ledger


def spied(monkeypatch, owner, name):
    """The arguments of every call of a method from now on."""
    calls, work = [], getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *arguments: (calls.append(arguments), work(*arguments))[1])
    return calls


def ring(world):
    return TOPOLOGIES["ring"]().neighbors(world.rank, world.size)


def test_exchange_brings_each_neighbors_array_in_ascending_order(world):
    neighbors = ring(world)
    net, _ = network(world, neighbors, 1.0, np.zeros(len(neighbors)))
    heard = net.exchange(np.full((2, 3), float(world.rank)))
    assert heard.shape == (len(neighbors), 2, 3)
    assert heard[:, 0, 0].tolist() == [float(j) for j in neighbors]


def test_exchange_result_is_kept_when_the_next_one_comes(world):
    neighbors = ring(world)
    net, _ = network(world, neighbors, 1.0, np.zeros(len(neighbors)))
    first = net.exchange(np.array([1.0 + world.rank]))
    net.exchange(np.array([-1.0]))
    assert first[:, 0].tolist() == [1.0 + j for j in neighbors]


def test_mix_equals_powers_of_the_dense_matrix(world):
    """Weights drawn at random, so that none can stand in for another."""
    rng = np.random.default_rng(5)
    L = world.size
    x = rng.standard_normal((L, 4, 3))
    z = rng.standard_normal((L, 5))
    W = rng.random((L, L))
    neighbors = tuple(j for j in range(L) if j != world.rank)
    net, ledger = network(world, neighbors, W[world.rank, world.rank], W[world.rank, list(neighbors)])
    mixed_x, mixed_z = net.mix(x[world.rank], z[world.rank], rounds=3)
    W3 = np.linalg.matrix_power(W, 3)
    np.testing.assert_allclose(mixed_x, np.tensordot(W3, x, axes=1)[world.rank], rtol=1e-12)
    np.testing.assert_allclose(mixed_z, (W3 @ z)[world.rank], rtol=1e-12)
    sent = ledger.totals("iterate")
    assert (sent.rounds, sent.messages, sent.bytes) == (3, 3 * (L - 1), 3 * (L - 1) * 17 * 8)
    assert (sent.received_messages, sent.received_bytes) == (sent.messages, sent.bytes)


def test_messages_of_several_sizes_and_types_by_turns_do_not_take_one_anothers_place(world):
    """A transport receives into the same memory each time, and messages are summed up in one way or another by their size."""
    L = world.size
    W = np.random.default_rng(5).random((L, L))
    neighbors = tuple(j for j in range(L) if j != world.rank)
    net, _ = network(world, neighbors, W[world.rank, world.rank], W[world.rank, list(neighbors)])
    for turn in range(2):
        for size, dtype in ((3, np.float64), (20_000, np.float64), (3, np.float32), (20_000, np.float32)):
            x = np.random.default_rng([turn, size]).random((L, size)).astype(dtype)
            for _ in range(2):
                mixed = net.mix(x[world.rank])
                assert mixed.dtype == dtype
                np.testing.assert_allclose(mixed, W[world.rank] @ x, rtol=2 * L * np.finfo(dtype).eps)


def test_mix_keeps_the_mean_and_the_arrays_it_was_given(world):
    neighbors = ring(world)
    degrees = np.full(len(neighbors), len(neighbors))
    own, row = MIXINGS["metropolis"].row(len(neighbors), degrees, len(neighbors))
    net, _ = network(world, neighbors, own, row)
    x = np.random.default_rng(world.rank).standard_normal(7)
    before = x.copy()
    mixed = net.mix(x, rounds=4)
    assert np.array_equal(x, before)
    assert mixed is not x
    np.testing.assert_allclose(world.total(mixed), world.total(before), atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_bytes_follow_the_dtype(world, dtype):
    neighbors = ring(world)
    net, ledger = network(world, neighbors, 1.0, np.zeros(len(neighbors)))
    assert net.exchange(np.ones(10, dtype)).dtype == dtype
    assert ledger.totals("iterate").bytes == len(neighbors) * 10 * np.dtype(dtype).itemsize


def test_a_node_without_neighbors_beside_others_that_have_some(world):
    # a path over ranks 0 .. L-2; the last rank is alone
    last = world.size - 1
    alone = world.rank == last
    neighbors = () if alone else tuple(j for j in (world.rank - 1, world.rank + 1) if 0 <= j < last)
    net, ledger = network(world, neighbors, 1.0, np.zeros(len(neighbors)))
    assert net.exchange(np.array([1.0])).shape == (len(neighbors), 1)
    assert np.array_equal(net.mix(np.array([3.0]), rounds=2), [3.0])
    assert ledger.totals("iterate").messages == 3 * len(neighbors)


def test_the_blocking_path_gives_the_same_as_the_persistent_one(world):
    neighbors = ring(world)
    transport = GraphTransport(MPI.COMM_WORLD, neighbors, neighbors)
    x = np.random.default_rng(world.rank).standard_normal(50)
    first = transport.exchange(x).copy()
    transport.close()
    blocking = GraphTransport(MPI.COMM_WORLD, neighbors, neighbors)
    blocking._persistent = False
    assert np.array_equal(blocking.exchange(x), first)
    blocking.close()


def star(world):
    others = tuple(range(1, world.size))
    hub, leaf = (others, ()) if world.rank == 0 else ((), (0,))
    ledger, clock = Ledger(world.local_ranks), Clock()
    ledger.account = "iterate"
    up, down = Link(world.transport(hub, leaf), ledger, clock), Link(world.transport(leaf, hub), ledger, clock)
    return FusionCenter(up, down), ledger


def test_fusion_center_adds_at_the_hub_and_charges_each_direction_once(world):
    center, ledger = star(world)
    x = np.arange(6.0).reshape(2, 3) + world.rank
    result = center.at_hub(x, lambda total: 2 * total)
    L = world.size
    np.testing.assert_array_equal(result, 2 * (L * np.arange(6.0).reshape(2, 3) + L * (L - 1) / 2))
    totals = ledger.totals("iterate")
    peers = L - 1 if world.rank == 0 else 1
    peers = peers if L > 1 else 0
    assert (totals.messages, totals.bytes) == (peers, peers * 48)
    assert (totals.received_messages, totals.received_bytes) == (peers, peers * 48)


def test_all_reduce_sums_and_books_its_model(world):
    ledger = Ledger()
    ledger.account = "iterate"
    total = AllReduce(world.reducer(), world.rank, ledger, Clock()).total(np.full(30, world.rank + 1.0))
    L = world.size
    assert total.tolist() == [L * (L + 1) / 2] * 30
    assert ledger.totals("iterate").bytes == round(2 * 240 * (L - 1) / L)
    assert {row.basis for row in ledger.rows()} == ({"modeled"} if L > 1 else set())


def test_an_error_on_one_rank_is_the_same_input_error_on_all(world):
    from mpidec.errors import InputError

    def work():
        if world.rank == world.size - 1:
            raise InputError("task 7 is not a number")

    with pytest.raises(InputError, match="task 7 is not a number"):
        world.together(work)


def test_share_and_deal(world):
    assert world.share({"a": 1} if world.rank == 0 else None) == {"a": 1}
    assert world.deal([(i, i * i) for i in range(world.size)] if world.rank == 0 else None) == (
        world.rank,
        world.rank**2,
    )


def test_maximum_takes_what_is_not_a_number_as_infinite(world):
    value = np.nan if world.rank == world.size - 1 else float(world.rank)
    assert world.maximum(np.array([value, 1.0])).tolist() == [np.inf, 1.0]


@pytest.mark.parametrize("at_once", [0, 150, 10**6])
def test_stream_hands_over_every_ranks_part_in_order_and_books_it(world, monkeypatch, at_once):
    """Whatever goes at once: nothing, what is small, all."""
    monkeypatch.setattr("mpidec.mpi.world._AT_ONCE", at_once)
    together, alone = spied(monkeypatch, world, "_stream_at_once"), spied(monkeypatch, world, "_stream_one_by_one")
    world.ledger.account = "observe"
    got = []

    def into(what):
        return lambda rank, part: got.append((what, rank, np.asarray(part).tolist()))

    large = np.full(100, float(world.rank))
    world.stream(((1 + world.rank) * "a", into(0)), (large[:3], into(1)), (large, into(2)), ((world.rank, 7), into(3)))
    assert sum(len(values) for (values,) in together) + len(alone) == 4
    assert {0: len(alone) == 4, 150: len(alone) >= 1, 10**6: len(together) == 1}[at_once]
    ranks = range(world.size if world.rank == 0 else 0)
    wanted = (
        [(1 + r) * "a" for r in ranks],
        [[float(r)] * 3 for r in ranks],
        [[float(r)] * 100 for r in ranks],
        [[r, 7] for r in ranks],
    )
    assert got == [(what, r, parts[r]) for what, parts in enumerate(wanted) for r in ranks]
    totals = world.ledger.totals("observe")
    assert totals.messages == (0 if world.rank == 0 else 4)
    assert totals.received_messages == (4 * (world.size - 1) if world.rank == 0 else 0)
    sent, received = (float(world.total(float(n))) for n in (totals.bytes, totals.received_bytes))
    assert sent == received
    assert sent >= 8 * 103 * (world.size - 1)


def test_a_scope_closes_what_was_made_in_it(world):
    """More than the 2,048 communicators that MPICH has, one after the other."""
    neighbors = ring(world)
    for _ in range(2100 if world.size == 2 else 3):
        with world.scope():
            world.transport(neighbors, neighbors)
            world.reducer()
    assert world._closing == []


def test_rounds_below_one_are_refused_before_any_message(world):
    neighbors = ring(world)
    net, ledger = network(world, neighbors, 1.0, np.zeros(len(neighbors)))
    for rounds in (0, -3):
        with pytest.raises(ValueError, match=f"got rounds = {rounds}, wanted at least 1"):
            net.mix(np.ones(3), rounds=rounds)
    assert ledger.totals("iterate").messages == 0


def test_run_refuses_what_an_experiment_file_would(world):
    import mpidec
    from mpidec.errors import InputError
    from mpidec.problems.synthetic import Synthetic

    graph = mpidec.lay_graph(world, TOPOLOGIES["ring"](), MIXINGS["metropolis"], seed=0)
    problem = mpidec.load_problem(world, Synthetic(d=12, tasks=11, rank=2, samples=9), seed=0)
    for options, more, message in (
        ({"rounds": 0}, {}, "rounds: got 0"),
        ({}, {"every": 0}, "every: got 0"),
        ({}, {"target": {"accuracy": 0.9}}, "no 'accuracy'"),
        ({}, {"iterations": 0}, "iterations: got 0"),
    ):
        with pytest.raises(InputError, match=message):
            mpidec.run(world, graph, problem, mpidec.DifAltGDmin(**options), **({"iterations": 3} | more))


def test_a_users_one_sided_graph_is_refused_on_all_ranks(world):
    from dataclasses import dataclass

    import mpidec
    from mpidec.errors import InputError
    from mpidec.graph.topology import Structured

    @dataclass(frozen=True)
    class OneWay(Structured):
        def neighbors(self, node, nodes):
            return ((node + 1) % nodes,)

        def degree_counts(self, nodes):
            return {1: nodes}

        def diameter(self, nodes):
            return nodes - 1

        def laplacian_ends(self, nodes):
            return (1.0, 2.0)

    if world.size == 2:  # where one way is both ways
        assert mpidec.lay_graph(world, OneWay(), MIXINGS["metropolis"], seed=0).neighbors == (1 - world.rank,)
        return
    with pytest.raises(InputError, match="OneWay: node 0 of .* has the neighbors"):
        mpidec.lay_graph(world, OneWay(), MIXINGS["metropolis"], seed=0)

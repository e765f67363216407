"""Gossip on the simulated network: plain as a power of W, accelerated as a Chebyshev polynomial of W, and their laws."""

import cases
import numpy as np
import oracles
import pytest
from simnet import networks, run_nodes

from mpidec.network import combine, weighed

ROUNDS = [1, 2, 3, 7, 30]


def ring(nodes):
    graph = cases.Adjacency.from_edges(nodes, np.array(sorted({tuple(sorted((i, (i + 1) % nodes))) for i in range(nodes)})))
    rows = cases.rows_of(graph)
    return rows, cases.dense(rows)


def values(nodes, shape=(4, 3)):
    return np.random.default_rng(nodes).standard_normal((nodes, *shape))


def mixed(rows, Z, rounds, gamma):
    """Z (L, ...) after so many rounds at every node, and the nodes' ledgers."""
    made = networks("graph", rows, gamma)
    return np.stack(run_nodes(lambda g: made[g][0].mix(Z[g], rounds=rounds), len(rows))), [ledger for _, ledger in made]


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("nodes", [1, 2, 3, 5, 8])
def test_gossip_is_the_polynomial_of_the_dense_matrix(nodes, rounds):
    rows = cases.rows_of(cases.graph_of(nodes))
    W, Z = cases.dense(rows), values(nodes)
    gamma = oracles.gamma_of(W)
    for given, M in ((None, np.linalg.matrix_power(W, rounds)), (gamma, oracles.chebyshev(W, rounds, gamma))):
        got, _ = mixed(rows, Z, rounds, given)
        np.testing.assert_allclose(got, oracles.mix(M, Z), rtol=0, atol=1e-13)


@pytest.mark.parametrize("gamma", [0.3, 0.99, 1.0])
def test_a_gamma_that_is_only_an_estimate_gives_its_own_polynomial(gamma):
    """Too small, too large, and 1: T_k(W / g) / T_k(1 / g), which shrinks every mode but the mean or leaves its size."""
    rows, W = ring(9)
    Z = values(9)
    got, _ = mixed(rows, Z, 12, gamma)
    M = oracles.chebyshev(W, 12, gamma)
    np.testing.assert_allclose(got, oracles.mix(M, Z), rtol=0, atol=1e-12)
    assert np.sort(np.abs(np.linalg.eigvalsh(M)))[-2] <= 1.0


def test_one_round_and_gamma_zero_are_plain_gossip_bit_for_bit():
    rows, _ = ring(6)
    Z = values(6)
    assert np.array_equal(mixed(rows, Z, 1, 0.8)[0], mixed(rows, Z, 1, None)[0])
    assert np.array_equal(mixed(rows, Z, 9, 0.0)[0], mixed(rows, Z, 9, None)[0])


def test_the_mean_is_kept_and_traffic_is_that_of_plain_gossip():
    rows = cases.rows_of(cases.graph_of(7))
    Z = values(7)
    plain, plain_ledgers = mixed(rows, Z, 20, None)
    fast, fast_ledgers = mixed(rows, Z, 20, oracles.gamma_of(cases.dense(rows)))
    np.testing.assert_allclose(fast.mean(axis=0), Z.mean(axis=0), rtol=0, atol=1e-14)
    assert [ledger.rows() for ledger in fast_ledgers] == [ledger.rows() for ledger in plain_ledgers]
    assert fast_ledgers[0].totals("setup").bytes == 20 * len(rows[0][0]) * 12 * 8
    assert not np.array_equal(plain, fast)


def test_several_arrays_travel_in_one_message_and_come_back_apart():
    rows, W = ring(5)
    A, B = values(5, (2, 3)), values(5, (4,))
    gamma = oracles.gamma_of(W)
    made = networks("graph", rows, gamma)
    results = run_nodes(lambda g: made[g][0].mix(A[g], B[g], rounds=6), 5)
    M = oracles.chebyshev(W, 6, gamma)
    np.testing.assert_allclose(np.stack([a for a, _ in results]), oracles.mix(M, A), rtol=0, atol=1e-14)
    np.testing.assert_allclose(np.stack([b for _, b in results]), oracles.mix(M, B), rtol=0, atol=1e-14)
    assert made[0][1].totals("setup").messages == 6 * 2


@pytest.mark.parametrize("rounds", ROUNDS)
def test_disagreement_shrinks_to_one_over_the_chebyshev_polynomial(rounds):
    """T_k(1 / gamma) = cosh(k acosh(1 / gamma)); reached by the slowest mode, no mode beyond."""
    rows, W = ring(12)
    gamma = oracles.gamma_of(W)
    bound = 1 / np.cosh(rounds * np.arccosh(1 / gamma))
    Z = values(12)
    before, after = Z - Z.mean(axis=0), mixed(rows, Z, rounds, gamma)[0] - Z.mean(axis=0)
    assert np.linalg.norm(after) <= bound * np.linalg.norm(before)
    slow = np.cos(2 * np.pi * np.arange(12) / 12)
    np.testing.assert_allclose(mixed(rows, slow, rounds, gamma)[0], bound * slow, rtol=0, atol=1e-13)


def test_rounds_to_an_accuracy_grow_with_the_square_root():
    """On a ring of twice the nodes the gap is a fourth: plain gossip takes 4 times the rounds, accelerated gossip twice."""
    needed = {}
    for nodes in (10, 20):
        rows, W = ring(nodes)
        gamma = oracles.gamma_of(W)
        slow = np.cos(2 * np.pi * np.arange(nodes) / nodes)
        for given in (None, gamma):
            rate = -np.log(gamma) if given is None else np.arccosh(1 / gamma)
            few = int(np.log(1e6) / rate)
            left = np.abs(mixed(rows, slow, few, given)[0]).max()
            # what the last rounds did not reach, at the rate that they reached the rest
            needed[nodes, given is None] = few * np.log(1e-6) / np.log(left)
    assert needed[20, True] / needed[10, True] == pytest.approx(4, rel=0.1)
    assert needed[20, False] / needed[10, False] == pytest.approx(2, rel=0.1)
    assert needed[20, False] < 0.16 * needed[20, True]


def test_rounds_below_one_are_refused():
    rows, _ = ring(3)
    with pytest.raises(ValueError, match="rounds = 0, wanted at least 1"):
        networks("graph", rows, 0.5)[0][0].mix(np.ones(2), rounds=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 7, 5_000, 40_000])  # messages that are added up at once, and one at a time
@pytest.mark.parametrize("degree", [0, 1, 2, 9])
def test_a_round_is_the_weighted_sum_of_what_came(degree, size, dtype):
    """Within the rounding of degree + 1 additions in the messages' own type; x itself may be the place of the result."""
    rng = np.random.default_rng(degree)
    x, received, weights = rng.random(size, dtype), rng.random((degree, size), dtype), rng.random(degree)
    exact = 0.3 * x.astype(np.longdouble) + weights.astype(np.longdouble) @ received.astype(np.longdouble)
    combine(x, weighed(received, weights), 0.3, x)
    assert x.dtype == dtype
    assert np.abs(x - exact).max() <= 2 * (degree + 2) * np.finfo(dtype).eps * exact.max()


@pytest.mark.parametrize("nodes", [2, 5])
def test_long_messages_are_mixed_as_short_ones(nodes):
    rows, W = ring(nodes)
    Z = values(nodes, (100, 200))
    out, _ = mixed(rows, Z, 3, None)
    assert np.allclose(out, np.einsum("ij,jkl->ikl", np.linalg.matrix_power(W, 3), Z), rtol=0, atol=1e-14)

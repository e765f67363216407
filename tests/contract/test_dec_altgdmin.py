"""Where consensus on gradients ends: the laws of Dec-AltGDmin's error, beside Dif-AltGDmin's, on a simulated ring."""

import numpy as np
import oracles
import pytest
from simnet import networks, run_nodes

from mpidec.algorithms import ALGORITHMS
from mpidec.graph.facts import graph_facts
from mpidec.graph.mixing import MIXINGS
from mpidec.graph.topology import TOPOLOGIES
from mpidec.problems.synthetic import Synthetic

L = 8
GAMMA = (1 + np.sqrt(2)) / 3  # of a ring of 8
SPEC = Synthetic(d=20, tasks=48, rank=2, samples=20)
FACTS = graph_facts(TOPOLOGIES["ring"](), MIXINGS["metropolis"], L, 0)


def final_errors(name, iterations, spec=SPEC, **options):
    """Worst-node distance after the last iterations of a method, and the gossip rounds it made in all iterations."""
    algorithm = ALGORITHMS[name](**options).bind(FACTS)
    rows = [(tuple(sorted({(g - 1) % L, (g + 1) % L})), 1 / 3, np.full(2, 1 / 3)) for g in range(L)]
    made = networks("graph", rows, FACTS.gamma if algorithm.accelerated else None)

    def node(g):
        net, ledger = made[g]
        problem = spec.load(g, L, 1, None)
        with ledger.charge("init"):
            state = algorithm.init(net, problem, problem.start(1))
        errors = []
        with ledger.charge("iterate"):
            for k in range(1, iterations + 1):
                state = algorithm.step(net, problem, state, k)
                errors.append(oracles.subspace_distance(state.U, problem.truth))
        return errors, ledger.totals("iterate").rounds

    results = run_nodes(node, L)
    return np.max([errors for errors, _ in results], axis=0), results[0][1]


def test_the_ring_has_the_gamma_that_the_laws_use():
    assert pytest.approx(GAMMA, rel=1e-12) == FACTS.gamma


def test_the_plateau_falls_by_gamma_a_round():
    """Within 20 % a round; and a plateau it is."""
    plateaus = []
    for rounds in (20, 30, 40):
        errors, _ = final_errors("dec_altgdmin", 110, rounds=rounds)
        assert errors[-1] >= 0.7 * errors[-20]
        plateaus.append(errors[-1])
    for more, fewer in zip(plateaus[1:], plateaus, strict=False):
        assert (more / fewer) ** 0.1 == pytest.approx(GAMMA, rel=0.2)


def test_chebyshevs_plateau_is_that_of_its_polynomial():
    """10 accelerated rounds leave 1 / T_10(1 / gamma), as much as 28 plain ones."""
    left = 1 / np.cosh(10 * np.arccosh(1 / GAMMA))
    plain, _ = final_errors("dec_altgdmin", 110, rounds=round(np.log(left) / np.log(GAMMA)))
    fast, _ = final_errors("dec_altgdmin", 110, rounds=10, gossip="chebyshev")
    assert 0.1 < fast[-1] / plain[-1] < 10


def test_the_rounds_of_an_accuracy_reach_it_and_falling_ones_for_less():
    fixed, many = final_errors("dec_altgdmin_falling", 250, fall=0.0, accuracy=1e-12, gossip="chebyshev")
    falling, fewer = final_errors("dec_altgdmin_falling", 250, accuracy=1e-12, gossip="chebyshev")
    assert fixed[-1] < 1e-11
    assert falling[-1] < 1e-11
    assert fewer < 0.7 * many


def test_rounds_that_grow_stall_where_the_first_ones_leave_them():
    """From 20 rounds to 50: no better than 20 all along, since what the first iterations leave is never mixed."""
    growing, many = final_errors("dec_altgdmin_falling", 110, most=20, fall=-0.3)
    fixed, fewer = final_errors("dec_altgdmin", 110, rounds=20)
    falling, _ = final_errors("dec_altgdmin_falling", 110, most=50, fall=0.3, least=18)
    assert many == sum(20 - int(np.floor(-0.3 * k)) for k in range(110))
    assert many > 1.5 * fewer
    assert 0.1 < growing[-1] / fixed[-1] < 10
    assert falling[-1] < 0.01 * growing[-1]


def test_dif_altgdmin_needs_no_more_rounds_for_more_accuracy():
    errors, rounds = final_errors("dif_altgdmin", 150, rounds=12)
    assert rounds == 150 * 12
    assert errors[-1] < 1e-11


def test_dgd_falls_slowly():
    """Still falling, by less than a fourth of the decades of Dif-AltGDmin in as many iterations."""
    slow, _ = final_errors("dgd", 60)
    fast, _ = final_errors("dif_altgdmin", 60, rounds=12)
    assert slow[-1] < 0.8 * slow[9]
    assert np.log(slow[-1] / slow[9]) > 0.25 * np.log(fast[-1] / fast[9])


def test_with_label_noise_falling_rounds_lose_the_agreement():
    """A node's own gradient does not vanish then: few rounds at the end leave what a fixed number removes."""
    noisy = Synthetic(d=20, tasks=48, rank=2, samples=20, noise=0.1)
    fixed, _ = final_errors("dec_altgdmin_falling", 300, noisy, fall=0.0, gossip="chebyshev")
    falling, _ = final_errors("dec_altgdmin_falling", 300, noisy, fall=0.3, gossip="chebyshev")
    assert falling[-1] > 1.3 * fixed[-1]


def test_one_round_for_long_lets_disagreement_grow_and_the_least_rounds_do_not():
    bounded, _ = final_errors("dec_altgdmin_falling", 300, fall=0.3, gossip="chebyshev")
    unbounded, _ = final_errors("dec_altgdmin_falling", 300, fall=0.3, least=1, gossip="chebyshev")
    assert bounded[-1] < 2 * bounded.min() < 1e-12
    assert unbounded[-1] > 1e3 * unbounded.min()

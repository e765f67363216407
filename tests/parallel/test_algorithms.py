"""Algorithms on real ranks: bit for bit as on the simulated network, and as their dense oracles."""

import cases
import numpy as np
import pytest
from mpi4py import MPI
from realnet import on_real_ranks
from simnet import run_nodes

from mpidec.graph.mixing import MIXINGS
from mpidec.mpi.world import World


# all ranks; and where there are more, five of them, a number that divides nothing here
@pytest.fixture(params=["all"] if MPI.COMM_WORLD.size <= 5 else ["all", "five"])
def world(request):
    members = 5 if request.param == "five" else MPI.COMM_WORLD.size
    comm = MPI.COMM_WORLD.Split(MPI.COMM_WORLD.rank // members, MPI.COMM_WORLD.rank)
    with World(comm) as world:
        yield world
    comm.Free()


@pytest.mark.parametrize(
    ("name", "mixing"),
    [(name, "metropolis") for name in [*cases.GOSSIPING, "dif_altgdmin rank", *cases.SMOOTH_GOSSIPING]]
    + [("dif_altgdmin chebyshev", m) for m in MIXINGS if m != "metropolis"],
)
def test_neighbor_only_algorithms_equal_the_simulated_network_bit_for_bit(world, name, mixing):
    state, ledger = on_real_ranks(name, world, mixing)
    graph = cases.graph_of(world.size)
    made = cases.simulated(name, cases.rows_of(graph, mixing), cases.facts_of(graph, mixing).gamma)
    simulated = run_nodes(lambda g: cases.run_node(name, made[g][0], g, world.size), world.size)[world.rank]
    assert all(np.array_equal(a, b) for a, b in zip(state, simulated, strict=True))
    assert ledger.totals("iterate") == made[world.rank][1].totals("setup")  # the simulation books all on one account


@pytest.mark.parametrize("name", cases.ALL)
def test_equals_its_dense_oracle(world, name):
    state, _ = on_real_ranks(name, world)
    W = cases.dense(cases.rows_of(cases.graph_of(world.size)))
    np.testing.assert_allclose(state[0], cases.oracle(name, world.size, W)[world.rank], rtol=0, atol=1e-10)


def test_fusion_center_and_all_reduce_agree(world):
    fusion, _ = on_real_ranks("altgdmin_fusion", world)
    reduced, _ = on_real_ranks("altgdmin_allreduce", world)
    np.testing.assert_allclose(fusion.U, reduced.U, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(fusion.step_size, reduced.step_size, rtol=1e-10)

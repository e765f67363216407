"""Methods that advance together on real ranks: each ends as by itself, in fewer messages, and what fails ends all."""

import cases
import numpy as np
import pytest
from mpi4py import MPI
from realnet import on_real_ranks

from mpidec.errors import AgreedError, InputError
from mpidec.ledger import Ledger
from mpidec.link import Clock, Link
from mpidec.mpi.abreast import run_abreast
from mpidec.mpi.transport import GraphTransport
from mpidec.mpi.world import World


@pytest.fixture
def world():
    with World() as world:
        yield world


def test_every_method_ends_bit_for_bit_as_by_itself_and_is_charged_the_same(world):
    alone = [on_real_ranks(name, world) for name in cases.ALL]
    together = run_abreast(world, [lambda lane, name=name: on_real_ranks(name, lane) for name in cases.ALL])
    for name, (state, ledger), (other, books) in zip(cases.ALL, alone, together, strict=True):
        for a, b in zip(state, other, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
        assert ledger.rows() == books.rows(), name


def test_a_round_of_all_lanes_is_one_message(world, monkeypatch):
    sizes, exchange = [], GraphTransport.exchange
    monkeypatch.setattr(GraphTransport, "exchange", lambda self, x: sizes.append(x.nbytes) or exchange(self, x))
    left, right = (world.rank - 1) % world.size, (world.rank + 1) % world.size
    neighbors = tuple(sorted({left, right} - {world.rank}))

    def work(lane, rounds, dtype):
        link = Link(lane.transport(neighbors, neighbors), Ledger(), Clock())
        heard = []
        for k in range(rounds):
            flat = link.pack(np.full(3 + rounds, world.rank + 100 * k, dtype))
            heard.append(link.exchange(flat)[:, -1].tolist())
            assert lane.total(1.0) == world.size
        return heard

    found = run_abreast(world, [lambda lane, r=r, t=t: work(lane, r, t) for r, t in ((2, "f8"), (4, "f4"), (3, "i2"))])
    assert found == [[[j + 100 * k for j in neighbors] for k in range(rounds)] for rounds in (2, 4, 3)]
    # 5 numbers of 8 bytes, 7 of 4 and 6 of 2; those that are through send no more
    assert sizes == [40 + 28 + 12, 40 + 28 + 12, 28 + 12, 28]


def test_what_one_rank_finds_wrong_in_one_lane_ends_all_lanes_on_all_ranks(world):
    last, reached = world.size - 1, []

    def refused():
        if world.rank == last:
            raise InputError("no such thing")

    def wrong(lane):
        lane.total(1.0)
        lane.together(refused)
        reached.append("wrong")

    def long(lane):
        for k in range(50):
            reached.append(int(lane.total(float(k))) // world.size)

    with pytest.raises(AgreedError, match="no such thing"):
        run_abreast(world, [long, wrong])
    assert reached == [0]
    assert world.total(1.0) == world.size  # the world is as good as new


def test_an_exception_of_a_lane_comes_out_as_it_is(world):
    def raising(lane):
        lane.barrier()
        raise RuntimeError(f"lane of rank {lane.rank} of {lane.size}")

    with pytest.raises(RuntimeError, match=f"lane of rank {MPI.COMM_WORLD.rank} of {world.size}"):
        run_abreast(world, [lambda lane: lane.barrier(), raising])


def test_shared_values_and_sums_are_the_worlds(world):
    def work(lane, n):
        reducer = lane.reducer()
        return lane.share(f"{lane.rank} {n}"), lane.maximum(lane.rank + n), reducer.sum(np.array([1, n])), reducer.size

    for n, (text, largest, sums, size) in enumerate(run_abreast(world, [lambda lane, n=n: work(lane, n) for n in range(3)])):
        assert (text, largest, sums.tolist(), size) == (f"0 {n}", world.size - 1 + n, [world.size, n * world.size], world.size)

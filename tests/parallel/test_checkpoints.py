"""Checkpoints of real ranks: a run that is broken off at any step goes on to the same end, and all ranks agree on which set."""

import shutil
import tempfile
from pathlib import Path

import cases
import numpy as np
import pytest

from mpidec.checkpoint import Checkpoint
from mpidec.checkpoint.keeper import Checkpoints
from mpidec.checkpoint.opening import MethodCheckpoints
from mpidec.checkpoint.sets import Sets
from mpidec.experiment import run
from mpidec.graph.mixing import MIXINGS
from mpidec.laying import Graph
from mpidec.mpi.world import World


@pytest.fixture
def world():
    with World() as world:
        yield world


@pytest.fixture
def home(world):
    """A folder that all ranks share."""
    folder = Path(world.share(tempfile.mkdtemp(prefix="mpidec-sets-") if world.rank == 0 else ""))
    yield folder
    world.barrier()
    if world.rank == 0:
        shutil.rmtree(folder)


class Asking:
    """Asks, on one rank alone, to stop from a certain question on; remembers notes."""

    def __init__(self, world, home, rank=0, after=10**9, **options):
        self.notes, self.questions = [], 0

        def asked():
            self.questions += 1
            return world.rank == rank and self.questions > after

        sets = Sets(home, world.rank, world.size)
        self.checkpoints = Checkpoints(world, Checkpoint(**options), sets, asked, lambda: None, self.notes.append)


def solve(world, name, checkpoints=None, snapshot=None):
    graph = cases.graph_of(world.size)
    own = Graph(graph.neighbors(world.rank), MIXINGS["metropolis"], cases.facts_of(graph))
    kept = MethodCheckpoints(checkpoints, name, snapshot)
    algorithm = cases.class_of(name)(**cases.ALL[name])
    problem = cases.shard(world.rank, world.size)
    return run(world, own, problem, algorithm, cases.ITERATIONS, every=5, seed=cases.SEED, checkpoints=kept)


def same(a, b):
    """Whether two solutions are the same to the last bit, state and ledger."""
    states = all(
        np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in zip(a.outcome.state, b.outcome.state, strict=True)
    )
    return states and all(a.ledger.totals(account) == b.ledger.totals(account) for account in ("init", "iterate"))


@pytest.mark.parametrize("name", ["dec_altgdmin_falling chebyshev", "altgdmin_fusion rank", "altgdmin_allreduce"])
def test_a_run_that_is_stopped_at_every_meeting_ends_as_an_unbroken_one(world, home, name):
    """Asked on the last rank alone, at the first question of each start: all stop after the same step, and it advances."""
    whole = solve(world, name)
    steps, broken, snapshot = [], None, None
    while broken is None or broken.outcome.ending == "stopped":
        asking = Asking(world, home, rank=world.size - 1, after=0)
        snapshot = asking.checkpoints.newest(name)
        assert (snapshot is None) == (broken is None)
        broken = solve(world, name, asking.checkpoints, snapshot)
        steps.append(broken.outcome.steps)
        assert asking.notes == []
    assert steps == list(range(cases.ITERATIONS)) + [cases.ITERATIONS]
    assert world.maximum(np.array(steps)).tolist() == steps
    assert same(broken, whole)


def test_all_ranks_take_the_set_before_where_the_part_of_one_is_damaged(world, home):
    whole = solve(world, "dif_altgdmin")
    solve(world, "dif_altgdmin", Asking(world, home, every=4, keep=3).checkpoints)
    damaged = world.size // 2
    newest = max(path for path in (home / "checkpoints").iterdir() if path.is_dir())
    world.barrier()
    if world.rank == damaged:
        part = newest / f"rank{damaged}.part"
        part.write_bytes(part.read_bytes()[:-1])
    world.barrier()
    again = Asking(world, home, every=4, keep=3)
    snapshot = again.checkpoints.newest("dif_altgdmin")
    assert snapshot.start.step == 4
    assert len(again.notes) == (world.rank == 0)
    assert same(solve(world, "dif_altgdmin", again.checkpoints, snapshot), whole)


def test_one_rank_that_cannot_write_leaves_the_set_before_on_all(world, home, monkeypatch):
    kept = Asking(world, home, every=4, keep=3)

    def full(path, tag, snapshot):
        if snapshot.start.step == 8 and world.rank == world.size - 1:
            raise OSError(28, "No space left on device")
        return write(path, tag, snapshot)

    from mpidec.checkpoint import sets

    write = sets.write_part
    monkeypatch.setattr(sets, "write_part", full)
    solved = solve(world, "dif_altgdmin", kept.checkpoints)
    assert (solved.outcome.ending, solved.outcome.steps) == ("finished", cases.ITERATIONS)
    assert kept.checkpoints.last.step == 4
    assert len(kept.notes) == (world.rank == 0)
    world.barrier()
    assert {path.name.split("-")[1] for path in (home / "checkpoints").iterdir() if path.is_dir()} == {"step0", "step4"}

"""The loop on one node: what is observed when, what stops it, what its clock and ledger leave out."""

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

from mpidec.algorithms import Algorithm
from mpidec.engine import Meter, Observer, run_loop
from mpidec.errors import RunError
from mpidec.ledger import Ledger
from mpidec.network import Clock


class State(NamedTuple):
    x: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Halving(Algorithm):
    """Halves x; at step `bad` it is not a number."""

    bad: int = -1

    def init(self, net, problem, x0):
        return State(x0.copy())

    def step(self, net, problem, state, k):
        return State(state.x * (np.nan if k == self.bad else 0.5))


class Alone:
    """A world of one."""

    size = 1

    def total(self, x):
        return np.asarray(x, dtype=float)

    maximum = total

    def share(self, value):
        return value

    def barrier(self):
        pass


class Problem:
    def loss(self, x):
        return float(x[0])


def solve(steps, every, algorithm=None, **more):
    observer = Observer(Alone(), Meter(Ledger(), Clock()), ["loss"], every, **more)
    return run_loop(algorithm or Halving(), None, Problem(), observer, steps, np.array([1.0]))


def test_start_every_so_often_and_the_end_are_observed():
    outcome = solve(7, 3)
    assert [r["step"] for r in outcome.rows] == [0, 3, 6, 7]
    assert [r["loss"] for r in outcome.rows] == [1.0, 2.0**-3, 2.0**-6, 2.0**-7]
    assert (outcome.ending, outcome.steps, outcome.bad_step) == ("finished", 7, None)
    assert outcome.state.x[0] == 2.0**-7


def test_target_stops_at_the_first_observation_that_reaches_it():
    outcome = solve(100, 2, target={"loss": 2.0**-5})
    assert (outcome.ending, outcome.steps) == ("target", 6)


def test_not_a_number_stops_and_names_the_first_bad_step():
    outcome = solve(100, 10, Halving(bad=13))
    assert (outcome.ending, outcome.bad_step, outcome.steps) == ("diverged", 13, 20)
    assert [r["step"] for r in outcome.rows] == [0, 10, 20]


def test_the_clock_leaves_observation_out():
    outcome = solve(4, 1, on_row=lambda row: time.sleep(0.05))
    assert outcome.rows[-1]["seconds"] < 0.05
    seconds = [r["seconds"] for r in outcome.rows]
    assert seconds == sorted(seconds)


def test_a_start_state_takes_the_place_of_the_initialization():
    observer = Observer(Alone(), Meter(Ledger(), Clock()), ["loss"], 10)
    start = State(np.array([8.0]))
    outcome = run_loop(Halving(bad=1), None, Problem(), observer, 7, np.array([1.0]), start=start, first_step=5)
    assert [r["step"] for r in outcome.rows] == [5, 7]
    assert outcome.state.x[0] == 2.0


def test_results_that_cannot_be_written_end_the_run():
    def full(row):
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match="cannot write the results: .*No space left"):
        solve(5, 1, on_row=full)

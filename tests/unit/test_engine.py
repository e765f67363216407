"""The loop on one node: what is observed when, what stops it, what its clock and ledger leave out."""

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from alone import Alone

from mpidec.algorithms import Algorithm
from mpidec.engine import Meter, Observer, Start, run_loop
from mpidec.errors import RunError
from mpidec.ledger import Ledger
from mpidec.link import Clock


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


def test_a_metric_that_is_not_finite_stops_the_run_though_the_estimate_is(monkeypatch):
    monkeypatch.setattr(Problem, "loss", lambda self, x: np.inf if x[0] < 2.0**-6 else float(x[0]))
    outcome = solve(100, 5)
    assert (outcome.ending, outcome.bad_step, outcome.steps) == ("diverged", 10, 10)
    assert np.isfinite(outcome.state.x).all()
    assert [row["loss"] for row in outcome.rows] == [1.0, 2.0**-5, np.inf]
    outcome = solve(100, 10, Halving(bad=7))  # the estimate's own step, where that is earlier
    assert (outcome.ending, outcome.bad_step) == ("diverged", 7)


@dataclass(frozen=True, kw_only=True)
class Doubling(Halving):
    """Doubles x, and stays finite for a thousand steps."""

    def step(self, net, problem, state, k):
        return State(state.x * 2)


@pytest.mark.parametrize(
    ("x0", "start", "stops"),
    [
        (1.0, None, 20),  # 4^19 < 10^12 < 4^20, when the estimate is a million
        (100.0, None, 20),
        (1e-6, None, 40),  # what is below 1 at the start is held against 1
        (1.0, 3.0, 19),  # resumed at 3 at step 0: its start was x0
        (1e35, 1e13, None),
        (0.0, 1e-40, None),
    ],
)
def test_an_error_that_runs_away_stops_the_run_before_it_overflows(x0, start, stops, monkeypatch):
    monkeypatch.setattr(Problem, "loss", lambda self, x: float(x[0]) ** 2)
    observer = Observer(Alone(), Meter(Ledger(), Clock()), ["objective", "consensus_distance"], 1)
    since = None if start is None else Start(State(np.array([start])), 0)
    outcome = run_loop(Doubling(), None, Problem(), observer, 80, np.array([x0]), start=since)
    assert (outcome.ending, outcome.bad_step) == (("finished", None) if stops is None else ("diverged", stops))
    assert outcome.steps == outcome.rows[-1]["step"] == (stops or 80)


@pytest.mark.parametrize(("x0", "stops"), [(1.0, 40), (-100.0, 40), (1e-6, 60)])
def test_an_estimate_that_runs_away_stops_the_run_whose_metrics_are_bounded(x0, stops):
    observer = Observer(Alone(), Meter(Ledger(), Clock()), ["consensus_distance"], 1)
    outcome = run_loop(Doubling(), None, Problem(), observer, 80, np.array([x0]))
    assert {row["consensus_distance"] for row in outcome.rows} == {0.0}
    assert (outcome.ending, outcome.bad_step, outcome.steps) == ("diverged", stops, stops)


def test_the_clock_leaves_observation_out():
    outcome = solve(4, 1, on_row=lambda row: time.sleep(0.05))
    assert outcome.rows[-1]["seconds"] < 0.05
    seconds = [r["seconds"] for r in outcome.rows]
    assert seconds == sorted(seconds)


def test_a_start_state_takes_the_place_of_the_initialization():
    """It was observed by whoever kept it, and an estimate that had gone bad before is told where the run goes on."""
    for start, rows, ending in (
        (Start(State(np.array([8.0])), 5), [7], "finished"),
        (Start(State(np.array([8.0])), 5, 4), [7], "diverged"),
    ):
        observer = Observer(Alone(), Meter(Ledger(), Clock()), ["loss"], 10)
        outcome = run_loop(Halving(bad=1), None, Problem(), observer, 7, np.array([1.0]), start=start)
        assert [r["step"] for r in outcome.rows] == rows
        assert (outcome.ending, outcome.bad_step) == (ending, start.bad_step)
        assert outcome.state.x[0] == 2.0


class Keeper:
    """Stops at step `stop`; is due at every third step."""

    def __init__(self, stop):
        self.stop, self.seen = stop, []

    def due(self, step):
        return step % 3 == 0

    def visit(self, reached):
        self.seen.append((reached.step, float(reached.state.x[0]), reached.bad_step))
        time.sleep(0.02)
        return reached.step == self.stop


def test_a_keeper_sees_states_between_observations_outside_the_clock_and_can_stop_the_run():
    observer = Observer(Alone(), Meter(Ledger(), Clock()), ["loss"], 5)
    keeper = Keeper(stop=12)
    outcome = run_loop(Halving(bad=10), None, Problem(), observer, 100, np.array([1.0]), keeper=keeper)
    assert (outcome.ending, outcome.bad_step) == ("diverged", 10)
    assert keeper.seen == [(k, 2.0**-k, None) for k in (0, 3, 6, 9)]
    assert outcome.rows[-1]["seconds"] < 0.02
    keeper = Keeper(stop=6)
    outcome = run_loop(Halving(), None, Problem(), observer, 100, np.array([1.0]), keeper=keeper)
    assert (outcome.ending, outcome.steps, float(outcome.state.x[0])) == ("stopped", 6, 2.0**-6)
    keeper = Keeper(stop=6)
    assert run_loop(Halving(), None, Problem(), observer, 6, np.array([1.0]), keeper=keeper).ending == "finished"
    assert [step for step, _, _ in keeper.seen] == [0, 3]  # a run that is over needs no checkpoint


def test_results_that_cannot_be_written_end_the_run():
    def full(row):
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match="cannot write the results: .*No space left"):
        solve(5, 1, on_row=full)

"""The one loop: start an algorithm, step it, observe it outside the clock, stop when told."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mpidec.algorithms import Algorithm
from mpidec.errors import RunError
from mpidec.ledger import Account, Ledger
from mpidec.link import Clock
from mpidec.metrics import METRICS, Reductions

Array = NDArray[Any]
T = TypeVar("T")
Ending = Literal["finished", "target", "diverged", "stopped"]
Row = dict[str, float]

RUNAWAY = 1e12
"""An error, or the largest entry of an estimate, this many times that of the start, or of 1 where that was less, has run away
(choice: none was seen to come back)."""


class Counters(Protocol):
    """The MPI library's own counts of what this rank sent, one entry a rank of the world."""

    def read(self) -> tuple[Array, Array]:
        """Messages and bytes sent so far, each (L,)."""
        ...


class Observing(Reductions, Protocol):
    """The part of World that an observation uses."""

    def share(self, value: T) -> T:
        """Rank 0's value, everywhere."""
        ...

    def barrier(self) -> None:
        """Wait for all."""
        ...


@dataclass
class Meter:
    """What one method costs this rank: seconds by the wall, seconds in exchanges, the ledger; running or paused.

    `checkpoint_seconds` went to checkpoints and are no part of `seconds`.

    With `counters`, what the MPI library itself counted while running is added up in `library`: for each account messages
    and bytes to each rank.
    """

    ledger: Ledger
    clock: Clock
    counters: Counters | None = None
    seconds: float = 0.0
    checkpoint_seconds: float = 0.0
    library: dict[Account, tuple[Array, Array]] = field(default_factory=dict)
    _since: float = field(default=0.0, init=False)
    _base: tuple[Array, Array] | None = field(default=None, init=False)

    def resume(self, account: Account) -> None:
        """Run the clock and book on `account`."""
        self.ledger.account = account
        self._base = self.counters.read() if self.counters is not None else None
        self._since = perf_counter()

    def pause(self) -> None:
        """Stop the clock; what follows is booked on `observe`."""
        self.seconds += perf_counter() - self._since
        if self.counters is not None and self._base is not None:
            messages, nbytes = (now - before for now, before in zip(self.counters.read(), self._base, strict=True))
            account = self.ledger.account
            if account in self.library:
                messages, nbytes = messages + self.library[account][0], nbytes + self.library[account][1]
            self.library[account] = messages, nbytes
        self.ledger.account = "observe"


class Start(NamedTuple):
    """Where a rank goes on: the state after `step` steps, and the first step at which its estimate was not finite, or None."""

    state: Any
    step: int
    bad_step: int | None = None


class Keeping(Protocol):
    """What writes checkpoints, and learns whether the run is asked to stop."""

    def due(self, step: int) -> bool:
        """Whether `visit` is wanted after this step: the same on all ranks."""
        ...

    def visit(self, reached: Start) -> bool:
        """Do what is due, with the clock paused; whether the run must stop. Collective."""
        ...


class Outcome(NamedTuple):
    """How a run ended: the last state, the steps taken, why it stopped, and what was observed.

    `bad_step` is the first step at which some node's estimate, or a metric, was seen not to be finite, or an estimate or its
    error to have run away, or None. A run that was `stopped` can go on.
    """

    state: Any
    steps: int
    ending: Ending
    rows: list[Row]
    bad_step: int | None


class Observer:
    """Looks at the estimates every `every` steps: costs so far, then the metrics. Collective.

    `on_row` is called on rank 0 with each row; an OSError from it ends the run on all ranks with RunError.
    Stops the run once every metric in `target` is reached, or when an estimate, or a metric of it, is not finite, or an
    estimate or its error has run away (`RUNAWAY`).
    """

    def __init__(
        self,
        world: Observing,
        meter: Meter,
        metrics: Sequence[str],
        every: int = 10,
        target: Mapping[str, float] | None = None,
        on_row: Callable[[Row], None] | None = None,
    ) -> None:
        self.world = world
        self.meter = meter
        self.every = every
        self._metrics = list(dict.fromkeys([*metrics, *(target or {})]))
        self._target = dict(target or {})
        self._errors = [name for name in self._metrics if METRICS[name].boundless]
        self._on_row = on_row
        self.rows: list[Row] = []

    def __call__(
        self, step: int, problem: Any, x0: Array, estimate: Array, iterate: Array, bad_step: int | None
    ) -> tuple[Ending | None, int | None]:
        """Observe; return why the run must stop (None: it goes on) and the first bad step of any node."""
        costs, first_bad = self._costs(bad_step)
        row: Row = {"step": step, **costs}
        for name in self._metrics:
            metric = METRICS[name]
            row[name] = metric.value(self.world, problem, iterate if metric.of_iterate else estimate)
        self.rows.append(row)
        lost, suspicious = self._hand_over(row, _far(estimate, x0))
        if np.isfinite(first_bad) or lost or (suspicious and self._ran_away(row, problem, x0)):
            return "diverged", int(min(first_bad, step))
        reached = [METRICS[name].reached(row[name], value) for name, value in self._target.items()]
        return ("target" if reached and all(reached) else None), None

    def _costs(self, bad_step: int | None) -> tuple[Row, float]:
        """What it cost so far, and the first bad step of any node (infinite where there is none)."""
        meter = self.meter
        sent = meter.ledger.totals("init", "iterate")
        comm = meter.clock.comm
        largest = [meter.seconds, meter.seconds - comm, comm, sent.rounds, sent.messages, sent.bytes, meter.checkpoint_seconds]
        library = [float(sum(nbytes.sum() for _, nbytes in meter.library.values()))] if meter.library else []
        # in few reductions: ranks that share a core take a millisecond for each
        *top, bad = self.world.maximum(np.array([*largest, *library, -np.inf if bad_step is None else -bad_step])).tolist()
        sums = self.world.total(np.array([sent.bytes, *library])).tolist()
        row: Row = dict(zip(("seconds", "compute_seconds", "comm_seconds"), top[:3], strict=True))
        counts = {"rounds": top[3], "messages_max": top[4], "bytes_max": top[5], "bytes_total": sums[0]}
        if library:
            counts |= {"library_bytes_max": top[7], "library_bytes_total": sums[1]}
        return row | {name: round(value) for name, value in counts.items()} | {"checkpoint_seconds": top[6]}, -bad

    def _hand_over(self, row: Row, far: bool) -> tuple[bool, bool]:
        """Give the row to whoever records it; whether it tells of divergence, and whether an error is suspiciously large.

        It does where a metric is not finite, or an estimate is `far`. Both are the same on all ranks.
        """
        failure, lost = "", far or not all(math.isfinite(row[name]) for name in self._metrics)
        suspicious = any(row[name] > RUNAWAY for name in self._errors)
        if self._on_row is not None:
            try:
                self._on_row(row)
            except OSError as error:
                failure = f"cannot write the results: {error}"
        # a reduction lets all go at once, as a barrier: what some need to leave is no waiting in the next exchange
        found = self.world.maximum(np.array([bool(failure), lost, suspicious], np.float64))
        if found[0]:
            raise RunError(self.world.share(failure))
        return bool(found[1]), bool(found[2])

    def _ran_away(self, row: Row, problem: Any, x0: Array) -> bool:
        """Whether an error has grown out of all proportion to that of x0, which is looked at now: a run that resumed has no
        first row. Collective."""
        grown = [row[name] > RUNAWAY * max(1.0, METRICS[name].value(self.world, problem, x0)) for name in self._errors]
        return bool(self.world.maximum(float(any(grown))))


def _far(estimate: Array, x0: Array) -> bool:
    """Whether this node's estimate has run away: told even where all metrics recorded are bounded, as an accuracy is."""
    largest, first = (float(np.max(np.abs(x), initial=0.0)) for x in (estimate, x0))
    return largest > RUNAWAY * max(1.0, first)


def run_loop(
    algorithm: Algorithm,
    network: Any,
    problem: Any,
    observer: Observer,
    steps: int,
    x0: Array,
    start: Start | None = None,
    keeper: Keeping | None = None,
) -> Outcome:
    """Run `algorithm` for at most `steps` steps, from its initialization at `x0`, or from `start`, which was observed.

    Collective over the nodes of `network`. The state before the first step, every `observer.every`-th and the last are
    observed. A node's estimate that is not finite stops the run at the next observation, and so does a metric, or an estimate
    or an error that has run away. Raises RunError where results cannot be written.
    """
    meter = observer.meter
    first_bad: int | None = None

    def look(state: Any, observe: bool) -> Ending | None:
        """What is due after step k, with the clock paused; why the run must stop (None: it goes on)."""
        nonlocal first_bad
        meter.pause()
        ending: Ending | None = None
        if observe:
            ending, first_bad = observer(k, problem, x0, algorithm.estimate(state), algorithm.iterate(state), bad_step)
        if ending is None and k < steps:
            if keeper is not None and keeper.due(k) and keeper.visit(Start(state, k, bad_step)):
                return "stopped"
            meter.resume("iterate")
        return ending

    # a diverging method overflows on its way: it is found by its estimate and told once, not by warnings of each rank
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        observer.world.barrier()
        ending: Ending | None = None
        if start is not None:
            state, k, bad_step = start
            _check_state(algorithm, state)
            meter.resume("iterate")
        else:
            k = 0
            meter.resume("init")
            state = algorithm.init(network, problem, x0)
            _check_state(algorithm, state)
            bad_step = None if np.isfinite(algorithm.estimate(state)).all() else k
            ending = look(state, True)
        while ending is None and k < steps:
            k += 1
            state = algorithm.step(network, problem, state, k)
            if bad_step is None and not np.isfinite(algorithm.estimate(state)).all():
                bad_step = k
            observe = k % observer.every == 0 or k == steps
            if observe or (keeper is not None and keeper.due(k)):
                ending = look(state, observe)
    return Outcome(state, k, ending or "finished", observer.rows, first_bad)


def _check_state(algorithm: Algorithm, state: Any) -> None:
    """Raise TypeError for what could not be recorded in the end: it is better known in the beginning."""
    numeric = isinstance(state, tuple) and hasattr(state, "_fields") and all(np.asarray(x).dtype.kind in "fciub" for x in state)
    if not numeric:
        raise TypeError(f"{type(algorithm).__name__}.init gave {state!r:.80}, wanted a NamedTuple of arrays of numbers")

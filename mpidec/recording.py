"""Bringing what all ranks have to rank 0's run folder, so that a failure to write there ends the run on all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mpidec.algorithms import Algorithm
from mpidec.engine import RUNAWAY, Outcome
from mpidec.errors import RunError
from mpidec.ledger import LedgerRow
from mpidec.mpi.world import World
from mpidec.recorder import FinalArrays, Recorder, ledger_lines
from mpidec.run_folder import SET_UP

if TYPE_CHECKING:
    from mpidec.experiment import Solution

_Stream = tuple[Any, Callable[[int, Any], None]]


def in_words(ranks: Sequence[int]) -> str:
    """Ascending ranks as 0-3,8: how run.json tells which ones each host has."""
    starts = [i for i, rank in enumerate(ranks) if i == 0 or rank != ranks[i - 1] + 1]
    spans = [(ranks[a], ranks[b - 1]) for a, b in zip(starts, [*starts[1:], len(ranks)], strict=True)]
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)


class _Writing:
    """Rank 0's writing among collective steps: after a failure it goes on taking part, and all hear of it at the end."""

    def __init__(self, world: World, recorder: Recorder | None) -> None:
        self.rank, self.recorder = world.rank, recorder
        self._world = world
        self._failure = ""

    def attempt(self, work: Callable[..., None], *arguments: Any) -> None:
        """Do the work on rank 0, unless something failed before."""
        if self.recorder is not None and not self._failure:
            try:
                work(*arguments)
            except OSError as error:
                self._failure = f"cannot write the results into {self.recorder.folder}: {error.strerror}"

    def agree(self) -> None:
        """Raise RunError on all ranks if something failed."""
        self._world.gather_patiently()  # for rank 0, which writes
        failure = self._world.share(self._failure)
        if failure:
            raise RunError(failure)


def record_graph(world: World, recorder: Recorder | None, neighbors: tuple[int, ...]) -> None:
    """Write the graph as the ranks hold it, or compare it with that of the run that goes on.

    Collective; on all ranks RunError where it fails, InputError where the graph is another.
    """
    writing = _Writing(world, recorder)

    def take(rank: int, own: tuple[int, ...]) -> None:
        assert recorder is not None
        writing.attempt(recorder.graph, world.size, rank, own)

    world.stream((neighbors, take))
    writing.agree()
    world.together(lambda: recorder.check_graph() if recorder is not None else None)


def record_setup(world: World, recorder: Recorder | None) -> None:
    """Write what all ranks sent to set up. Collective; RunError on all ranks where rank 0 cannot."""
    writing = _Writing(world, recorder)
    world.stream(_ledger(writing, SET_UP, world.ledger.rows()))
    writing.agree()


def record_methods(world: World, recorder: Recorder | None, solutions: Mapping[str, Solution]) -> list[str]:
    """Write ledgers, ends and final arrays of methods by label; a sentence on what to do for each that diverged.

    Collective; RunError on all ranks where rank 0 cannot: then none of them has ended, and all are run again on resuming.
    """
    writing, final = _Writing(world, recorder), FinalArrays(recorder.folder if recorder is not None else Path(), world.size)
    # all in one stream, and one sum: ranks that share a core take milliseconds for each
    streams: list[_Stream] = [_ledger(writing, label, s.ledger.rows(s.meter.library)) for label, s in solutions.items()]
    for label, solution in solutions.items():
        for name, part in _parts(solution.outcome):
            streams.append((part, partial(writing.attempt, final.take, f"{label}/{name}")))
    between = world.total(np.array([s.ledger.bytes_between_hosts("init", "iterate") for s in solutions.values()]))
    world.stream(*streams)
    writing.attempt(final.close)
    ends: dict[str, dict[str, Any]] = {}
    for (label, solution), nbytes in zip(solutions.items(), between.tolist(), strict=True):
        outcome = solution.outcome
        how = ends[label] = {"ending": outcome.ending, "steps": outcome.steps, "bad_step": outcome.bad_step}
        how |= {"shapes": {name: list(part.shape) for name, part in _parts(outcome)}, "bytes_between_hosts": int(nbytes)}
        if outcome.ending == "diverged":
            how["advice"] = _divergence(label, solution.algorithm, outcome)
    if recorder is not None:
        writing.attempt(recorder.outcomes, ends)
        final.abandon()
    writing.agree()
    return [how["advice"] for how in ends.values() if "advice" in how]


def _ledger(writing: _Writing, label: str, rows: list[LedgerRow]) -> _Stream:
    """This rank's lines, and what is to be done with each rank's. Ranks write their own: rank 0 would have the others wait."""

    def take(_: int, lines: str) -> None:
        assert writing.recorder is not None
        writing.attempt(writing.recorder.ledger, lines)

    return ledger_lines(label, writing.rank, rows), take


def _parts(outcome: Outcome) -> list[tuple[str, NDArray[Any]]]:
    """The last state's arrays by name."""
    return [(name, np.asarray(part)) for name, part in zip(outcome.state._fields, outcome.state, strict=True)]


def _divergence(label: str, algorithm: Algorithm, outcome: Outcome) -> str:
    step_size = getattr(outcome.state, "step_size", getattr(algorithm, "step_size", None))
    if step_size is not None and not np.isfinite(step_size):
        return (
            f"method {label!r}: its initialization found no step size (it came out {float(step_size):g}); see whether "
            "the labels are all zero, or give step_size"
        )
    size = "" if step_size is None else f" (it was {float(step_size):.3g})"
    # the last row is of the step at which it was seen
    finite = all(math.isfinite(value) for value in outcome.rows[-1].values())
    what = (
        f"its estimate or error had grown more than {RUNAWAY:g} times"
        if finite
        else "an estimate or its error became non-finite"
    )
    return (
        f"method {label!r}: {what} at step {outcome.bad_step}; the step size is the "
        f"first suspect{size}: try a smaller one. What was computed until then is kept"
    )

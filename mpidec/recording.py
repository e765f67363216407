"""Bringing what all ranks have to rank 0's run folder, so that a failure to write there ends the run on all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mpidec.algorithms import Algorithm
from mpidec.engine import RUNAWAY, Meter, Outcome
from mpidec.errors import RunError
from mpidec.ledger import LedgerRow
from mpidec.mpi.world import World
from mpidec.recorder import FinalArrays, Recorder


def in_words(ranks: Sequence[int]) -> str:
    """Ascending ranks as 0-3,8: how run.json tells which ones each host has."""
    starts = [i for i, rank in enumerate(ranks) if i == 0 or rank != ranks[i - 1] + 1]
    spans = [(ranks[a], ranks[b - 1]) for a, b in zip(starts, [*starts[1:], len(ranks)], strict=True)]
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)


class _Writing:
    """Rank 0's writing among collective steps: after a failure it goes on taking part, and all hear of it at the end."""

    def __init__(self, world: World, recorder: Recorder | None) -> None:
        self._world, self._recorder = world, recorder
        self._failure = ""

    def attempt(self, work: Callable[..., None], *arguments: Any) -> None:
        """Do the work on rank 0, unless something failed before."""
        if self._recorder is not None and not self._failure:
            try:
                work(*arguments)
            except OSError as error:
                self._failure = f"cannot write the results into {self._recorder.folder}: {error.strerror}"

    def agree(self) -> None:
        """Raise RunError on all ranks if something failed."""
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

    world.stream(neighbors, take)
    writing.agree()
    world.together(lambda: recorder.check_graph() if recorder is not None else None)


def record_ledger(world: World, recorder: Recorder | None, label: str, rows: list[LedgerRow]) -> None:
    """Write all ranks' ledgers under `label`, one rank's at a time. Collective; RunError on all ranks where it fails."""
    writing = _Writing(world, recorder)

    def take(rank: int, part: list[LedgerRow]) -> None:
        assert recorder is not None
        writing.attempt(recorder.ledger, label, rank, part)

    world.stream(rows, take)
    writing.agree()


def record_method(
    world: World, recorder: Recorder | None, label: str, algorithm: Algorithm, outcome: Outcome, meter: Meter
) -> list[str]:
    """Write a method's ledger, end and final arrays; a sentence on what to do where it diverged.

    Collective; RunError on all ranks where rank 0 cannot.
    """
    record_ledger(world, recorder, label, meter.ledger.rows(meter.library))
    writing = _Writing(world, recorder)
    shapes = {name: list(np.shape(part)) for name, part in zip(outcome.state._fields, outcome.state, strict=True)}
    diverged = [_divergence(label, algorithm, outcome)] if outcome.ending == "diverged" else []
    between = int(world.total(meter.ledger.bytes_between_hosts("init", "iterate")))
    how: dict[str, Any] = {"ending": outcome.ending, "steps": outcome.steps, "bad_step": outcome.bad_step, "shapes": shapes}
    how |= {"bytes_between_hosts": between, **({"advice": diverged[0]} if diverged else {})}
    final = FinalArrays(recorder.folder if recorder is not None else Path())
    for name, part in zip(outcome.state._fields, outcome.state, strict=True):
        x = np.asarray(part)
        writing.attempt(final.begin, f"{label}/{name}", world.size, x)
        world.stream(x, lambda _, other: writing.attempt(final.take, other))
    writing.attempt(final.close)
    if recorder is not None:
        writing.attempt(recorder.outcome, label, how)
        final.abandon()
    writing.agree()
    return diverged


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

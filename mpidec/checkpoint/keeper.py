"""Agreeing on checkpoints: when all ranks write one and whether they stop, and which one they go on from. Collective.

A signal reaches ranks at different times, or one of them alone, and the loop has no step at which all meet. So they meet
for it: after steps that all know beforehand, one reduction tells all whether any was asked to stop, how long a step takes,
and how old the last checkpoint is. From that each works out the same next step to meet at, about half a second later.
Outside the clock, on the account `observe`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Protocol, TypeVar

import numpy as np

from mpidec.checkpoint.part import Snapshot
from mpidec.checkpoint.sets import Manifest, Sets
from mpidec.checkpoint.settings import Checkpoint
from mpidec.engine import Meter, Observing, Start
from mpidec.errors import AgreedError

T = TypeVar("T")

MEET_EVERY = 0.5
"""Seconds between two meetings: what a signal may wait, and a thousand times what a reduction takes."""


class Meeting(Observing, Protocol):
    """The part of World that agreeing needs."""

    rank: int

    def together(self, work: Callable[[], T]) -> T:
        """Do `work` on every rank; AgreedError on all where it fails on any."""
        ...


@dataclass
class Checkpoints:
    """A run's checkpoints, of all its methods.

    `settings` None: none are written, but a run that has some goes on from them. `asked` tells on each rank whether the
    run must stop; `sync` sees rank 0's results to the disk, which a checkpoint must not be ahead of; `note` tells the
    user a sentence, on rank 0.
    """

    world: Meeting
    settings: Checkpoint | None
    sets: Sets
    asked: Callable[[], bool]
    sync: Callable[[], None]
    note: Callable[[str], None]
    last: Manifest | None = None
    """The newest complete set of the present method."""
    _former: tuple[Manifest, ...] = ()
    _failing: bool = False

    def stopping(self) -> bool:
        """Whether any rank was asked to stop: the same on all."""
        return bool(self.world.maximum(float(self.settings is not None and self.asked())) > 0)

    def newest(self, method: str) -> Snapshot | None:
        """What to go on from in a method: the newest set that is whole on all ranks, older ones where it is not."""
        complete, broken = self.sets.complete() if self.world.rank == 0 else ([], [])
        own = [manifest for manifest in complete if manifest.method == method]
        for sentence in broken:
            self.note(f"a checkpoint cannot be used: {sentence}; the one before is taken")
        manifest: Manifest
        for manifest in self.world.share(own):
            try:
                snapshot: Snapshot = self.world.together(lambda manifest=manifest: self.sets.read(manifest))  # type: ignore[misc]
            except AgreedError as error:
                self._tell(f"the checkpoint of step {manifest.step} cannot be used: {error}; the one before is taken")
                continue
            self.last = manifest
            self._former = tuple(other for other in self.world.share(own) if other.serial < manifest.serial)
            return snapshot
        if self.world.share(bool(own or broken)):
            self._tell(f"no checkpoint of {method} is whole: it begins anew")
        return None

    def farewell(self, method: str, step: int) -> str:
        """What a run that stops in a method after `step` leaves behind, in a sentence."""
        if self.last is None:
            return f"stopped {method} after step {step}, as asked to, without a checkpoint: it will begin anew"
        return f"stopped {method} after step {step}, as asked to, with a checkpoint of step {self.last.step}"

    def keeper(self, method: str, meter: Meter, transcript: Callable[[], int], step: int) -> Keeper | None:
        """What keeps checkpoints of a method that begins, or goes on after `step`; None where none are wanted."""
        return None if self.settings is None else Keeper(self, self.settings, method, meter, transcript, step)

    def write(self, method: str, snapshot: Snapshot) -> bool:
        """Write a set and drop what is older than those to keep; False where it cannot be written, which is told once."""
        assert self.settings is not None
        new = self.sets.new(method, snapshot.start.step) if self.world.rank == 0 else None
        manifest: Manifest = self.world.share(new)  # type: ignore[assignment]

        def commit() -> None:
            if self.world.rank == 0:
                self.sync()
                self.sets.commit(manifest)

        try:
            self.world.together(lambda: self.sets.write(manifest, snapshot))
            self.world.together(commit)
        except AgreedError as error:
            self.sets.discard(manifest)
            if not self._failing:
                kept = "there is none before" if self.last is None else f"that of step {self.last.step} is kept"
                self._tell(f"the checkpoint of step {manifest.step} cannot be written ({error}); the run goes on, {kept}")
            self._failing = True
            return False
        self._failing = False
        former = (*((self.last,) if self.last is not None else ()), *self._former)
        self.last, self._former = manifest, former[: self.settings.keep - 1]
        self._drop_but((manifest, *self._former))
        return True

    def drop(self) -> None:
        """Remove all sets: the method that they are of is over, and recorded."""
        self.last, self._former = None, ()
        self._drop_but(())

    def _drop_but(self, kept: tuple[Manifest, ...]) -> None:
        places = self.world.share(self.sets.forget(kept) if self.world.rank == 0 else [])
        self.sets.clear([manifest.name for manifest in kept], places)
        self.world.barrier()  # a folder that one rank finds empty, another may be about to write into

    def _tell(self, sentence: str) -> None:
        if self.world.rank == 0:
            self.note(sentence)


class Keeper:
    """Keeps checkpoints of one method. `due` is cheap: it is asked after every step."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        settings: Checkpoint,
        method: str,
        meter: Meter,
        transcript: Callable[[], int],
        step: int,
    ) -> None:
        self._checkpoints = checkpoints
        self._method, self._meter, self._transcript = method, meter, transcript
        self._every = settings.every
        self._seconds = np.inf if settings.minutes is None else 60.0 * settings.minutes
        # never the time of day, which may jump
        self._met_step, self._met, self._written = step, monotonic(), monotonic()
        self._meet = step
        self._stride = 0

    def due(self, step: int) -> bool:
        """Whether all ranks meet after this step."""
        return step >= self._meet or (self._every is not None and step % self._every == 0)

    def visit(self, reached: Start) -> bool:
        """Meet; write a checkpoint where it is time for one or any rank was asked to stop; whether the run must stop."""
        began = perf_counter()
        checkpoints, now, step = self._checkpoints, monotonic(), reached.step
        a_step = (now - self._met) / max(1, step - self._met_step)
        told = np.array([float(checkpoints.asked()), a_step, now - self._written])
        asked, a_step, age = checkpoints.world.maximum(told).tolist()
        if asked or age >= self._seconds or (self._every is not None and step % self._every == 0):
            checkpoints.write(self._method, Snapshot.of(reached, self._meter, self._transcript()))
            self._written = monotonic()
        # at most twice as far as the last time: the first steps are not like the others
        self._stride = max(1, min(2 * self._stride, int(MEET_EVERY / max(a_step, 1e-9))))
        self._met_step, self._met, self._meet = step, monotonic(), step + self._stride
        checkpoints.world.barrier()  # so that the time some ranks need to leave is not booked as waiting in the next exchange
        self._meter.checkpoint_seconds += perf_counter() - began
        return bool(asked)

"""The checkpoints of a run, and of one of its methods, as `experiment.py` uses them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mpidec.checkpoint.keeper import Checkpoints, Keeper, Meeting
from mpidec.checkpoint.part import Snapshot
from mpidec.checkpoint.sets import Sets
from mpidec.checkpoint.settings import Checkpoint
from mpidec.engine import Meter, Start


class Results(Protocol):
    """The part of Recorder that checkpoints need."""

    folder: Path

    @property
    def run_id(self) -> str:
        """What tells this run from all others."""
        ...

    def sync(self) -> None:
        """See what was written to the disk."""
        ...


def open_checkpoints(
    world: Meeting, settings: Checkpoint | None, results: Results | None, asked: Callable[[], bool], resume: bool
) -> Checkpoints | None:
    """The checkpoints of the run that rank 0 records as `results`; None for one that neither writes nor reads any.

    Collective. Raises InputError on all ranks where one of them cannot write them.
    """
    if settings is None and not resume:
        return None
    home, run_id = world.share(("", "") if results is None else (str(results.folder.absolute()), results.run_id))
    sets = Sets(Path(home), world.rank, world.size, settings.folder if settings is not None else None, run_id)
    if settings is not None:
        world.together(sets.prepare)

    def note(sentence: str) -> None:
        print(f"mpidec: note: {sentence}", file=sys.stderr, flush=True)

    return Checkpoints(world, settings, sets, asked, results.sync if results is not None else lambda: None, note)


@dataclass(frozen=True)
class MethodCheckpoints:
    """The checkpoints of one method, and the one that it goes on from, if it does."""

    checkpoints: Checkpoints | None = None
    method: str = ""
    snapshot: Snapshot | None = None

    def attach(self, meter: Meter, transcript: Callable[[], int]) -> tuple[Start | None, Keeper | None, Callable[[], int]]:
        """Where a method begins, what keeps its checkpoints, and its transcript from its first message on.

        The meter is put where it stood. `transcript` tells that since the network was made.
        """
        before, start, step = 0, None, 0
        if self.snapshot is not None:
            self.snapshot.put_back(meter)
            before, start, step = self.snapshot.transcript, self.snapshot.start, self.snapshot.start.step + 1

        def whole() -> int:
            return hash((before, transcript()))

        keeper = None if self.checkpoints is None else self.checkpoints.keeper(self.method, meter, whole, step)
        return start, keeper, whole

"""The section [checkpoint] of an experiment file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from mpidec.options import Meta


@dataclass(frozen=True)
class Checkpoint:
    """The keys of [checkpoint]. Without `every` and `minutes` a checkpoint is written only when the run is asked to stop."""

    every: Annotated[int, Meta(ge=1, description="iterations between two checkpoints")] | None = None
    minutes: Annotated[float, Meta(gt=0, description="minutes between two checkpoints, instead of every")] | None = None
    keep: Annotated[int, Meta(ge=1, description="sets to keep")] = 2
    folder: Annotated[str, Meta(min_length=1, description="of the ranks' parts, on each host; none: the run folder")] | None = (
        None
    )

    def __post_init__(self) -> None:
        if self.every is not None and self.minutes is not None:
            raise ValueError(f"got every = {self.every} and minutes = {self.minutes}, wanted at most one: leave one out")

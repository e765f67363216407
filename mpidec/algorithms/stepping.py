"""What methods with a constant step size on a smooth problem share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

from mpidec.algorithms.base import Algorithm
from mpidec.options import Meta
from mpidec.problems import Smooth
from mpidec.problems.base import Vector


class Point(NamedTuple):
    """x (d,), the node's iterate and estimate."""

    x: Vector


@dataclass(frozen=True, kw_only=True)
class Stepping(Algorithm):
    """A method on stochastic gradients with a constant step size."""

    requires: ClassVar[type] = Smooth
    step_size: Annotated[float, Meta(gt=0, description="eta")]

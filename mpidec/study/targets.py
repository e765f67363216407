"""What a method spends until its error is at most a target, by the first observation that says so."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mpidec.html.collect import Run
from mpidec.metrics import METRICS
from mpidec.study.file import Study

COSTS = ("rounds", "bytes_max", "seconds")


@dataclass(frozen=True)
class Reached:
    """How many seeds of a method reached a target at a point, and the medians of `COSTS` over all seeds, those that did not
    reach it counting as more than any: None where that is the median."""

    point: str
    method: str
    target: float
    seeds: int
    of: int
    costs: Mapping[str, float | None]

    def row(self) -> dict[str, Any]:
        """For targets.csv."""
        about = {"point": self.point, "method": self.method, "target": self.target, "reached": self.seeds, "seeds": self.of}
        return about | {name: "" if cost is None else cost for name, cost in self.costs.items()}


def reached(study: Study, runs: Mapping[str, Sequence[Run]]) -> list[Reached]:
    """For every point, method and target of the study."""
    metric = METRICS[study.file.metric]
    found = []
    for point in study.points:
        for method in study.methods:
            for target in study.file.targets:
                traces = [run.trace[method] for run in runs[point.name]]
                first = [next((r for r in rows if metric.reached(r[study.file.metric], target)), None) for rows in traces]
                there = [row for row in first if row is not None]
                medians = {name: _median([row[name] for row in there], len(first)) for name in COSTS}
                found.append(Reached(point.name, method, target, len(there), len(first), medians))
    return found


def _median(values: Sequence[float], of: int) -> float | None:
    padded = [*values, *[float("inf")] * (of - len(values))]
    middle = statistics.median(padded)
    return None if middle == float("inf") else middle

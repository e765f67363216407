"""Each method's step size at a point, by successive halving (arXiv 1502.07943) over real runs, all candidates of a heat in one.

The first heat has all step sizes; the better half of each method's goes on to the next, which has twice as many steps. The last
is as long as the runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpidec.errors import InputError
from mpidec.intervals import Estimate, estimate
from mpidec.metrics import METRICS
from mpidec.reader import read_about, read_trace
from mpidec.study.file import Point, Study, with_steps
from mpidec.sweep import Sweep, states
from mpidec.sweep.planned import FILES, Plan

Make = Callable[[Sweep, Path], int]
"""Makes the runs of a sweep that are not done, in a folder; the exit status."""


@dataclass(frozen=True)
class Trial:
    """What a step size came to in a heat: the metric at the end, over seeds; the worst possible where it diverged at any."""

    method: str
    step_size: float
    heat: int
    steps: int
    estimate: Estimate

    @property
    def value(self) -> float:
        """The mean over seeds."""
        return self.estimate.mean


@dataclass(frozen=True)
class Tuned:
    """The step size of each method at a point, and all that was tried."""

    step_sizes: Mapping[str, float]
    trials: Sequence[Trial]


class HeatFailedError(Exception):
    """A run of a heat did not come to its end; its sentence stands in the sweep's log."""


def tune(study: Study, point: Point, out: Path, make: Make) -> Tuned:
    """Make the heats that are not done yet and choose. Raises InputError where every step size of a method diverged."""
    file, metric = study.file, METRICS[study.file.metric]
    going = {label: sorted(file.tune.step_sizes) for label in study.methods}
    seeds = range(file.seeds, file.seeds + file.tune.seeds)
    trials: list[Trial] = []
    for heat in range(file.tune.heats):
        steps = file.tune.steps(heat, point.iterations)
        found = _heat(study, point, out, make, heat, steps, going, seeds)
        trials += found
        for label in study.methods:
            own = [trial for trial in found if trial.method == label]
            ranked = sorted(own, key=lambda trial: -trial.value if metric.higher_is_better else trial.value)
            if not math.isfinite(ranked[0].value):
                raise InputError(f"{label} diverged with every step size at {point.name}; give smaller ones in tune.step_sizes")
            last = heat == file.tune.heats - 1
            going[label] = sorted(trial.step_size for trial in ranked[: 1 if last else -(-len(ranked) // 2)])
    return Tuned({label: own[0] for label, own in going.items()}, trials)


def _heat(
    study: Study,
    point: Point,
    out: Path,
    make: Make,
    heat: int,
    steps: int,
    going: Mapping[str, Sequence[float]],
    seeds: Sequence[int],
) -> list[Trial]:
    tried = [(label, step, f"{label} {step:g}") for label, own in going.items() for step in own]
    name = f"{point.name}.heat{heat}"
    observe = {"every": steps, "metrics": [study.file.metric]}
    # abreast, since many trials take turns on few cores: times faster, and no seconds are asked for
    table = {key: value for key, value in point.table.items() if key != "checkpoint"}  # methods that go abreast keep none
    plan = Plan(name, {**with_steps(table, tried, steps, observe), "abreast": True}, seeds)
    sweep = plan.write(out / FILES)
    make(sweep, out / name)
    traces, endings = [], []
    for run, state in zip(sweep.runs, states(sweep, out / name), strict=True):
        if not state.done:
            raise HeatFailedError(f"{name}/{run.id} {state.status}: {state.reason}")
        traces.append(read_trace(run.folder(out / name)))
        endings.append(read_about(run.folder(out / name)).methods)
    worst = -math.inf if METRICS[study.file.metric].higher_is_better else math.inf
    found = [
        Estimate(worst, math.nan, math.nan, len(traces))
        if any(methods[new].ending == "diverged" for methods in endings)
        else estimate([trace[new][-1][study.file.metric] for trace in traces])
        for _, _, new in tried
    ]
    return [Trial(label, step, heat, steps, own) for (label, step, _), own in zip(tried, found, strict=True)]

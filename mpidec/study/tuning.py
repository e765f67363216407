"""Each method's step size at a point, by successive halving (arXiv 1502.07943) over real runs, all candidates of a heat in one.

The first heat has all step sizes; the better half of each method's goes on to the next, which has twice as many steps. The last
is as long as the runs. What suits DAT-SGD shrinks with the number of steps, as T^-3/2 where noise rules (theorem 4.1 of arXiv
2506.00961), which the better half of a short heat may not hold: so smaller ones go on too, of all methods alike, as far down as
that law may lead. All points have a heat together, so that those of as many ranks share them: to start many takes long.
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
from mpidec.sweep.planned import FILES, Plan, joined

Make = Callable[[Sweep, Path], int]
"""Makes the runs of a sweep that are not done, in a folder; the exit status."""

Going = Mapping[str, Sequence[float]]
"""The step sizes that a point still has for each method."""


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


def tune(study: Study, out: Path, make: Make) -> dict[str, Tuned]:
    """Make the heats of all points that are not done yet and choose; by the points' names.

    Raises InputError where every step size of a method diverged at one of them, HeatFailedError where a run failed.
    """
    file, metric = study.file, METRICS[study.file.metric]
    going = {p.name: {label: sorted(file.tune.step_sizes) for label in study.methods} for p in study.points}
    trials: dict[str, list[Trial]] = {point.name: [] for point in study.points}
    for heat in range(file.tune.heats):
        last = heat == file.tune.heats - 1
        ahead = 1 / file.tune.part(heat)
        for name, found in _heat(study, out, make, heat, going).items():
            trials[name] += found
            for label in study.methods:
                own = [trial for trial in found if trial.method == label]
                ranked = sorted(own, key=lambda trial: -trial.value if metric.higher_is_better else trial.value)
                if not math.isfinite(ranked[0].value):
                    raise InputError(f"{label} diverged with every step size at {name}; give smaller ones in tune.step_sizes")
                sizes = [trial.step_size for trial in ranked]
                going[name][label] = sizes[:1] if last else going_on(sizes, ahead)
    return {name: Tuned({label: sizes[0] for label, sizes in own.items()}, trials[name]) for name, own in going.items()}


def going_on(ranked: Sequence[float], ahead: float) -> list[float]:
    """Of step sizes, the best first, those for the next heat, where the runs are `ahead` times as long as the one they were in:
    the better half, and below the best as many as reach down to what it would shrink to as T^-3/2.
    """
    best, kept = ranked[0], set(ranked[: -(-len(ranked) // 2)])
    for size in sorted((size for size in ranked if size < best), reverse=True):
        kept.add(size)
        if size <= best / ahead**1.5:
            break
    return sorted(kept)


def _heat(study: Study, out: Path, make: Make, heat: int, going: Mapping[str, Going]) -> dict[str, list[Trial]]:
    """Make the heat of all points; its trials, by the points' names."""
    sweeps = {f"{p.name}.heat{heat}": _plan(study, p, heat, going[p.name]).write(out / FILES) for p in study.points}
    make(joined(f"heat {heat}", sweeps), out)
    found = {}
    for (name, sweep), point in zip(sweeps.items(), study.points, strict=True):
        for run, state in zip(sweep.runs, states(sweep, out / name), strict=True):
            if not state.done:
                raise HeatFailedError(f"{name}/{run.id} {state.status}: {state.reason}")
        folders = [run.folder(out / name) for run in sweep.runs]
        found[point.name] = _trials(study, point, heat, _tried(going[point.name]), folders)
    return found


def _tried(going: Going) -> list[tuple[str, float, str]]:
    """Method, step size and label of each trial of a heat."""
    return [(label, step, f"{label} {step:g}") for label, own in going.items() for step in own]


def _plan(study: Study, point: Point, heat: int, going: Going) -> Plan:
    file = study.file
    steps = file.tune.steps(heat, point.iterations)
    # abreast, since many trials take turns on few cores: times faster, and no seconds are asked for
    table = {key: value for key, value in point.table.items() if key != "checkpoint"}  # methods that go abreast keep none
    table = with_steps(table, _tried(going), steps, {"every": steps, "metrics": [file.metric]}) | {"abreast": True}
    return Plan(f"{point.name}.heat{heat}", table, range(file.seeds, file.seeds + file.tune.seeds))


def _trials(
    study: Study, point: Point, heat: int, tried: Sequence[tuple[str, float, str]], folders: Sequence[Path]
) -> list[Trial]:
    """What the runs in `folders`, one a seed, say of a heat's trials at a point."""
    traces = [read_trace(folder) for folder in folders]
    endings = [read_about(folder).methods for folder in folders]
    worst = -math.inf if METRICS[study.file.metric].higher_is_better else math.inf
    found = [
        Estimate(worst, math.nan, math.nan, len(traces))
        if any(methods[new].ending == "diverged" for methods in endings)
        else estimate([trace[new][-1][study.file.metric] for trace in traces])
        for _, _, new in tried
    ]
    steps = study.file.tune.steps(heat, point.iterations)
    return [Trial(label, step, heat, steps, own) for (label, step, _), own in zip(tried, found, strict=True)]

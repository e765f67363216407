"""What a study came to: each method's error at each point over seeds, who is ahead of whom where, and the laws."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mpidec.html.collect import Run
from mpidec.html.parts import Verdict
from mpidec.intervals import FEWEST_SEEDS, Estimate, estimate
from mpidec.metrics import METRICS
from mpidec.study.file import Law, Point, Study
from mpidec.study.tuning import Tuned

_NAMED = 9
"""Points that a sentence names one by one; of more it tells how many."""


@dataclass(frozen=True)
class Result:
    """A method at a point: its step size, whether that is an end of the grid, and the metric's end by seed; infinite or
    minus infinity where it diverged, whichever is worse. No seconds where methods went abreast."""

    point: Point
    method: str
    step_size: float
    at_end: bool
    values: Mapping[int, float]
    rounds: float
    bytes_max: float
    seconds: float | None
    others: Mapping[str, Estimate]
    """The ends of what else was recorded, without the seeds that diverged."""

    @property
    def estimate(self) -> Estimate:
        """Its mean over seeds; that of a method that diverged at any is infinite, or minus infinity, too."""
        values = list(self.values.values())
        return Estimate(sum(values), math.nan, math.nan, len(values)) if self.diverged else estimate(values)

    @property
    def diverged(self) -> bool:
        """Whether it did at any seed."""
        return not all(map(math.isfinite, self.values.values()))


def results(study: Study, tuned: Mapping[str, Tuned], runs: Mapping[str, Sequence[Run]]) -> list[Result]:
    """Every method at every point, from the finished runs by the point's name."""
    grid, metric = study.file.tune.step_sizes, study.file.metric
    worst = -math.inf if METRICS[metric].higher_is_better else math.inf
    found = []
    for point in study.points:
        for method in study.methods:
            ends = {run.seed: run.trace[method][-1] for run in runs[point.name]}
            whole = {run.seed: run.about.methods[method].ending != "diverged" for run in runs[point.name]}
            values = {seed: row[metric] if whole[seed] else worst for seed, row in ends.items()}
            step = tuned[point.name].step_sizes[method]
            rounds, sent = (max(row[name] for row in ends.values()) for name in ("rounds", "bytes_max"))
            shared = point.table["abreast"]
            seconds = None if shared else sum(row["seconds"] for row in ends.values()) / len(ends)
            others = {
                name: estimate([row[name] for seed, row in ends.items() if whole[seed]])
                for name in METRICS
                if name != metric and all(name in row for row in ends.values())
            }
            found.append(Result(point, method, step, step in (min(grid), max(grid)), values, rounds, sent, seconds, others))
    return found


def factor(one: Result, other: Result) -> Estimate:
    """log of one's value over the other's, paired by seed: below 0 where `one` is smaller; empty where either diverged at a
    seed, or is not positive at one: some seeds do not speak for all.
    """
    pairs = [(value, other.values[seed]) for seed, value in one.values.items() if seed in other.values]
    positive = all(0 < value < math.inf for pair in pairs for value in pair)
    return estimate([math.log(a / b) for a, b in pairs] if positive else [])


def standing(study: Study, one: Result, other: Result) -> str:
    """`ahead`, `behind`, or `level` where the seeds do not tell them apart."""
    if one.diverged or other.diverged:
        return "level" if one.diverged and other.diverged else "behind" if one.diverged else "ahead"
    change = factor(one, other)
    if math.isnan(change.mean):  # what is at its minimum to all digits may be 0 or below: differences then
        change = estimate([value - other.values[seed] for seed, value in one.values.items() if seed in other.values])
    below = change.inside(-math.inf, 0.0)
    if below is None or change.inside(0.0, 0.0):
        return "level"
    return "ahead" if below != METRICS[study.file.metric].higher_is_better else "behind"


def summary(study: Study, found: Sequence[Result]) -> list[str]:
    """Sentences on the first method against each other one, at all points."""
    subject, *rivals = study.methods
    by = {(result.point.name, result.method): result for result in found}
    told = []
    for rival in rivals:
        places: dict[str, dict[str, float]] = {"ahead": {}, "behind": {}, "level": {}}
        for point in study.points:
            one, other = by[point.name, subject], by[point.name, rival]
            places[standing(study, one, other)][point.name] = math.exp(abs(factor(other, one).mean))
        words = [_placed(word, own, len(study.points)) for word, own in places.items() if own]
        told.append(f"{subject} against {rival}: {', '.join(words)}.")
    if study.file.seeds < FEWEST_SEEDS:
        told.append(f"Of {study.file.seeds} seeds there is no interval: ahead and behind are by the means alone.")
    ends = [r for r in found if r.at_end]
    names = [f"{r.method} at {r.point.name} ({r.step_size:g})" for r in ends]
    if len(ends) > _NAMED:
        counts = Counter((r.method, r.step_size) for r in ends)
        names = [f"{method} at {count} of {len(study.points)} points ({step:g})" for (method, step), count in counts.items()]
    if ends:
        told.append(f"The best step size is an end of the grid for {', '.join(names)}: a better one may lie beyond.")
    return told


def _placed(word: str, factors: Mapping[str, float], of: int) -> str:
    """Where a method is ahead, behind or level, by the points with the factor, or by their number and the factors' range."""
    known = [size for size in factors.values() if not math.isnan(size)] if word != "level" else []
    if len(factors) > _NAMED:
        span = f" (by factors of {min(known):.3g} to {max(known):.3g})" if known else ""
        return f"{word} at {len(factors)} of {of} points{span}"
    sized = {name: f" (by a factor {size:.3g})" if size in known else "" for name, size in factors.items()}
    return f"{word} at {'; '.join(name + size for name, size in sized.items())}"


def _rises(one: Result, other: Result) -> bool:
    """Whether the error is larger than it was, by diverging or by its interval, which too few seeds do not have."""
    if one.diverged or other.diverged:
        return not one.diverged
    return factor(other, one).low > 0


def judge_law(study: Study, law: Law, found: Sequence[Result], command: str) -> list[Verdict]:
    """A verdict for each choice of the other axes."""
    groups: dict[str, list[Result]] = {}
    for result in found:
        if result.method == law.method:
            around = ", ".join(f"{key} = {value}" for key, value in study.around(result.point, law.along).items())
            groups.setdefault(around, []).append(result)
    verdicts = []
    for around, own in groups.items():
        own.sort(key=lambda result: result.point.varied[law.along])
        first, last = own[0], own[-1]
        change = factor(last, first)
        wanted = (-math.inf, 0.0) if law.error == "falls" else (0.0, math.inf)
        turns = [
            f"{a.point.varied[law.along]} to {b.point.varied[law.along]}"
            for a, b in itertools.combinations(own, 2)
            if (_rises(a, b) if law.error == "falls" else _rises(b, a))
        ]
        low, high = (math.exp(end) for end in (change.low, change.high))
        interval = change.told() if math.isnan(change.low) else f"factor {low:.3g} to {high:.3g} ({change.seeds} seeds)"
        values = ", ".join(f"{r.estimate.mean:.3g} at {r.point.varied[law.along]}" for r in own)
        verdicts.append(
            Verdict(
                f"{law.method}: {study.file.metric} {law.error} with {law.along}" + (f", {around}" if around else ""),
                f"factor {'below' if law.error == 'falls' else 'above'} 1",
                "not known" if math.isnan(change.mean) else f"factor {math.exp(change.mean):.3g}",
                False if turns else change.inside(*wanted),
                interval,
                f"Means: {values}." + (f" The other way from {', '.join(turns)}." if turns else ""),
                command,
            )
        )
    return verdicts

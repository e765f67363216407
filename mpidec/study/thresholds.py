"""The parallelism threshold: to how many nodes a fixed number of samples can be dealt out before the error grows.

Theory bounds it by a power of the spectral gap rho and of the samples in all N = M T: M <= O(rho N^(1/2)) for DAT-SGD and
M <= O(rho^(1/2) N^(1/4)) for D-SGD (arXiv 2506.00961). A study says the powers; the factor is read off the measurements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mpidec.html.collect import Run
from mpidec.html.parts import Verdict
from mpidec.intervals import Estimate, estimate
from mpidec.study.file import RANKS, SAMPLES, Study
from mpidec.study.judging import Result

_NEAR = 0.125
"""How near the measured power of N must come to a bound's: half of what the two bounds' powers of it are apart."""

_WITHIN = 2.0
"""A bound of theory holds up to a factor: graphs are taken to share it where theirs differ by no more."""


class Reading(NamedTuple):
    """A number of nodes, whether it is more than the largest network (then that), and the spectral gap there."""

    nodes: float
    beyond: bool
    gap: float


@dataclass(frozen=True)
class Threshold:
    """How many nodes a method can use, of `samples` in all: by the means over seeds, and by each seed alone. `powers` are the
    bound's, of the gap and of the samples, where the study has one.
    """

    method: str
    around: Mapping[str, Any]
    samples: float
    mean: Reading
    seeds: Mapping[int, Reading]
    powers: tuple[float, float] | None

    @property
    def topology(self) -> str:
        """Of its graph, where that is varied."""
        return str(self.around.get("graph.topology", ""))

    @property
    def where(self) -> str:
        """The graph and what else it was measured at, in words."""
        told = [str(value) if key == "graph.topology" else f"{key} {value}" for key, value in self.around.items()]
        return ", ".join([*told, f"N = {self.samples:,.0f}"])

    @property
    def bound(self) -> float | None:
        """The bound there, without its factor."""
        return None if self.powers is None else self.mean.gap ** self.powers[0] * self.samples ** self.powers[1]

    def row(self) -> dict[str, Any]:
        """For thresholds.csv."""
        nodes, beyond, gap = self.mean
        by_seed = [one.nodes for one in self.seeds.values()]
        told = {"samples": self.samples, "nodes": nodes, "beyond": beyond, "fewest": min(by_seed), "most": max(by_seed)}
        told |= {"seeds_beyond": sum(one.beyond for one in self.seeds.values()), "gap": gap}
        return {"method": self.method, **self.around, **told, "bound": "" if self.bound is None else self.bound}

    def told(self) -> str:
        """Its number in words."""
        return f"{'more than ' if self.mean.beyond else ''}{self.mean.nodes:.3g}"


def crossing(sizes: Sequence[float], errors: Sequence[float], worse: float) -> tuple[float, bool]:
    """The size beyond which the error stays above `worse` times the least that smaller sizes had, on lines between logarithms;
    the largest size and True where it comes back at the largest. Sizes rise, errors are positive or infinite.
    """
    least = np.minimum.accumulate(errors)
    good = [k for k, error in enumerate(errors) if error <= worse * least[k] < math.inf]
    if not good:
        return sizes[0], False
    k = good[-1]
    if k == len(sizes) - 1:
        return sizes[k], True
    if math.isinf(errors[k + 1]):
        return sizes[k], False
    before, after, level = math.log(errors[k]), math.log(errors[k + 1]), math.log(worse * least[k])
    return sizes[k] * (sizes[k + 1] / sizes[k]) ** ((level - before) / (after - before)), False


def thresholds(study: Study, found: Sequence[Result], runs: Mapping[str, Sequence[Run]]) -> list[Threshold]:
    """Of every method at every choice of the axes other than the network's size; none where the study asks for none."""
    asked = study.file.threshold
    if asked is None:
        return []
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in found:
        groups.setdefault((result.method, repr(study.around(result.point, RANKS))), []).append(result)
    made = []
    for (method, _), several in groups.items():
        own = sorted(several, key=lambda result: int(result.point.varied[RANKS]))
        around = study.around(own[0].point, RANKS)
        samples = float(around.pop(SAMPLES))
        sizes = [float(result.point.varied[RANKS]) for result in own]
        gaps = np.log([runs[result.point.name][0].about.graph.gap for result in own])

        def reading(errors: Sequence[float], sizes: Sequence[float] = sizes, gaps: Any = gaps) -> Reading:
            nodes, beyond = crossing(sizes, errors, asked.worse)
            return Reading(nodes, beyond, math.exp(float(np.interp(math.log(nodes), np.log(sizes), gaps))))

        mean = reading([result.estimate.mean for result in own])
        seeds = {seed: reading([result.values[seed] for result in own]) for seed in own[0].values}
        powers = asked.bounds.get(method)
        made.append(Threshold(method, around, samples, mean, seeds, None if powers is None else (powers[0], powers[1])))
    return made


def growth(made: Sequence[Threshold], seed: int, power: float) -> float | None:
    """The power of N by which a seed's thresholds M / rho^power grow, each graph with a factor of its own, by least squares;
    None where no graph has two of them within the sizes.
    """
    top = bottom = 0.0
    for topology in {one.topology for one in made}:
        own = [one for one in made if one.topology == topology and not one.seeds[seed].beyond]
        x = np.log([one.samples for one in own])
        y = np.log([one.seeds[seed].nodes / one.seeds[seed].gap ** power for one in own])
        if len(own) > 1:
            top += float((x - x.mean()) @ (y - y.mean()))
            bottom += float((x - x.mean()) @ (x - x.mean()))
    return top / bottom if bottom > 0 else None


def judge_thresholds(study: Study, made: Sequence[Threshold], command: str) -> list[Verdict]:
    """How each method's threshold grows with N, whether graphs share its factor, and who can use more nodes."""
    asked = study.file.threshold
    if asked is None:
        return []
    verdicts = []
    for method in asked.bounds:
        own = [one for one in made if one.method == method]
        verdicts += _judge_bound([one for one in own if not asked.fitted or one.topology in asked.fitted], own, command)
    subject, *rivals = asked.bounds
    for rival in rivals:
        pairs = [(a, b) for a in made for b in made if (a.method, b.method) == (subject, rival)]
        pairs = [(a, b) for a, b in pairs if (a.around, a.samples) == (b.around, b.samples)]
        decided = [(a, b) for a, b in pairs if not (a.mean.beyond and b.mean.beyond)]
        told = "; ".join(f"{a.where}: {a.told()} and {b.told()}" for a, b in pairs)
        more = sum(a.mean.nodes > b.mean.nodes for a, b in decided)
        verdicts.append(
            Verdict(
                f"{subject} can use more nodes than {rival}",
                "everywhere",
                f"at {more} of {len(decided)}",
                more == len(decided) if decided else None,
                "",
                f"Nodes: {told}.",
                command,
            )
        )
    return verdicts


def _judge_bound(fitted: Sequence[Threshold], own: Sequence[Threshold], command: str) -> list[Verdict]:
    """Of one method, whose thresholds are `own`: two verdicts on its bound, from those that it is fitted to."""
    method, (gap, samples) = own[0].method, own[0].powers or (math.nan, math.nan)
    where = f" on {', '.join(dict.fromkeys(one.topology for one in fitted))}" if fitted and fitted[0].topology else ""
    told = "; ".join(f"{one.where}: {one.told()} (c {one.mean.nodes / (one.bound or math.nan):.3g})" for one in own)
    note = f"Thresholds: {told}."
    seen = [one for one in fitted if not one.mean.beyond]
    if beyond := len(fitted) - len(seen):
        note += f" {beyond} of {len(fitted)} are beyond the largest network and left out, which makes the growth look smaller."
    grown = [growth(fitted, seed, gap) for seed in own[0].seeds]
    by_seed: Estimate = estimate([one for one in grown if one is not None])
    verdicts = [
        Verdict(
            f"{method}: the threshold{where} over rho^{gap:g} grows as N^{samples:g}",
            f"power {samples:g}, within {_NEAR:g}",
            by_seed.say("power {:.3g}"),
            by_seed.inside(samples - _NEAR, samples + _NEAR),
            by_seed.told(),
            note,
            command,
        )
    ]
    factors: dict[str, list[float]] = {}
    for one in seen:
        factors.setdefault(one.topology, []).append(one.mean.nodes / (one.bound or math.nan))
    middles = {name: math.exp(float(np.log(several).mean())) for name, several in factors.items()}
    if len(middles) > 1:
        spread = max(middles.values()) / min(middles.values())
        verdicts.append(
            Verdict(
                f"{method}: the graphs share the factor c of M = c rho^{gap:g} N^{samples:g}",
                f"within a factor {_WITHIN:g}",
                f"factor {spread:.3g}",
                spread <= _WITHIN,
                "",
                "c: " + "; ".join(f"{name} {c:.3g}" for name, c in middles.items()) + ", geometric means over N.",
                command,
            )
        )
    return verdicts

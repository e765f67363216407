"""The parallelism threshold: to how many nodes a fixed number of samples can be dealt out before the error grows.

Theory bounds it by a power of the spectral gap rho and of the samples in all N = M T: M <= O(rho N^(1/2)) for DAT-SGD and
M <= O(rho^(1/2) N^(1/4)) for D-SGD (arXiv 2506.00961). A study says the powers; the factor is read off the measurements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpidec.html.collect import Run
from mpidec.html.parts import Verdict
from mpidec.lines import power
from mpidec.study.file import RANKS, SAMPLES, Study
from mpidec.study.judging import Result

_WITHIN = 2.0  # a bound of theory holds up to a factor: it is taken to tell the threshold where that varies by no more


@dataclass(frozen=True)
class Threshold:
    """How many nodes a method can use, of `samples` in all: `beyond` where it is more than the largest network; `gap` is the
    spectral gap there, `bound` the study's power of gap and samples, without its factor.
    """

    method: str
    around: Mapping[str, Any]
    samples: float
    nodes: float
    beyond: bool
    gap: float
    bound: float | None

    @property
    def where(self) -> str:
        """The graph and what else it was measured at, in words."""
        told = [str(value) if key == "graph.topology" else f"{key} {value}" for key, value in self.around.items()]
        return ", ".join([*told, f"N = {self.samples:,.0f}"])

    def row(self) -> dict[str, Any]:
        """For thresholds.csv."""
        told = {"samples": self.samples, "nodes": self.nodes, "beyond": self.beyond, "gap": self.gap}
        return {"method": self.method, **self.around, **told, "bound": "" if self.bound is None else self.bound}

    def told(self) -> str:
        """Its number in words."""
        return f"{'more than ' if self.beyond else ''}{self.nodes:.3g}"


def crossing(sizes: Sequence[float], errors: Sequence[float], worse: float) -> tuple[float, bool]:
    """The size at which the error first exceeds `worse` times the least that smaller sizes had, on lines between logarithms;
    the largest size and True where it never does, the smallest where its error is infinite already. Sizes rise, errors are
    positive or infinite.
    """
    if math.isinf(errors[0]):
        return sizes[0], False
    least = math.inf
    for k, error in enumerate(errors):
        if k and error > worse * least:
            if math.isinf(error):
                return sizes[k - 1], False
            before = math.log(errors[k - 1])
            share = (math.log(worse * least) - before) / (math.log(error) - before)
            return sizes[k - 1] * (sizes[k] / sizes[k - 1]) ** share, False
        least = min(least, error)
    return sizes[-1], True


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
        nodes, beyond = crossing(sizes, [result.estimate.mean for result in own], asked.worse)
        gaps = [runs[result.point.name][0].about.graph.gap for result in own]
        gap = math.exp(float(np.interp(math.log(nodes), np.log(sizes), np.log(gaps))))
        powers = asked.bounds.get(method)
        bound = None if powers is None else gap ** powers[0] * samples ** powers[1]
        made.append(Threshold(method, around, samples, nodes, beyond, gap, bound))
    return made


def judge_thresholds(study: Study, made: Sequence[Threshold], command: str) -> list[Verdict]:
    """Whether each bound tells the thresholds up to one factor, and who can use more nodes."""
    asked = study.file.threshold
    if asked is None:
        return []
    verdicts = []
    for method, (gap, samples) in asked.bounds.items():
        own = [one for one in made if one.method == method]
        fitted = [one for one in own if not asked.fitted or one.around.get("graph.topology") in asked.fitted]
        seen = [one for one in fitted if not one.beyond and one.bound]
        factors = [one.nodes / one.bound for one in seen if one.bound]
        wanted = f"M = c rho^{gap:g} N^{samples:g}"
        where = f" on {', '.join(asked.fitted)}" if asked.fitted else ""
        note = "; ".join(f"{one.where}: {one.told()} (c {one.nodes / (one.bound or math.nan):.3g})" for one in own)
        note = f"Thresholds: {note}."
        if len({one.samples for one in seen}) >= 3:
            grown = power([one.samples for one in seen], [one.nodes / one.gap**gap for one in seen])
            note += f" M / rho^{gap:g} grows as N^{grown:.3g}."
        measured, holds = "fewer than two thresholds within the sizes", None
        if len(factors) > 1:
            middle, spread = math.exp(float(np.log(factors).mean())), max(factors) / min(factors)
            measured = f"c = {middle:.3g}, from {min(factors):.3g} to {max(factors):.3g}"
            holds = spread <= _WITHIN**2
        claim = f"{method}: the threshold{where} is {wanted}"
        counted = f"{len(seen)} thresholds"
        verdicts.append(Verdict(claim, f"one c, within a factor {_WITHIN:g}", measured, holds, counted, note, command))
    subject, *rivals = asked.bounds
    for rival in rivals:
        pairs = [(a, b) for a in made for b in made if (a.method, b.method) == (subject, rival)]
        pairs = [(a, b) for a, b in pairs if (a.around, a.samples) == (b.around, b.samples)]
        decided = [(a, b) for a, b in pairs if not (a.beyond and b.beyond)]
        told = "; ".join(f"{a.where}: {a.told()} and {b.told()}" for a, b in pairs)
        more = sum(a.nodes > b.nodes for a, b in decided)
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

"""Statement 2: the gossip rounds and the bytes that an accuracy eps takes, for eps = 1e-2 to 1e-12, by one trajectory each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mpidec.claim.accuracy_pictures import Spent, to_accuracy, to_eps
from mpidec.claim.fits import SLACK, Rows, fall, fewest, plateaus, reaching
from mpidec.claim.plan import CENTRAL, START, Findings, Found, Part, central, climb, experiment, ladder
from mpidec.html.collect import Run
from mpidec.html.parts import Picture, Verdict
from mpidec.intervals import FEWEST_SEEDS, Estimate, estimate
from mpidec.lines import Line, fit
from mpidec.sweep.planned import Plan

PLAN = "accuracy"
DECADES = range(2, 13)
"""eps = 10^-2 to 10^-12."""

FLAT = 0.1
"""Rounds a decade below which Dif-AltGDmin's count as independent of eps."""

PLATEAU = 0.2
"""How far the factor by which a plateau falls with each round may lie from gamma, relative."""

LINEAR = 0.95
"""The share of the variance of Dec-AltGDmin's rounds, at least, that a straight line over the decades explains."""

_ITERATIONS = 105  # 1.3 times the centralized method's, near 75, and some
_LEAST = 10.0 ** -DECADES[-1]
_FALLING = "dec_altgdmin_falling"


def _plans(quick: bool) -> list[Plan]:
    ranks, seeds = (8, 1) if quick else (20, 5)

    def rounds(algorithm: str, quickly: Sequence[int], fully: Sequence[int], gossip: str = "plain") -> list[dict[str, object]]:
        return ladder(algorithm, quickly if quick else fully, _ITERATIONS, _LEAST, gossip)

    methods = [
        central(_ITERATIONS, _LEAST),
        *rounds("dif_altgdmin", (1, 2, 3, 4), (1, 2, 3, 4, 6, 10)),
        *rounds("dif_altgdmin", (1, 2, 3), (1, 2, 3), "chebyshev"),
        *rounds("dec_altgdmin", range(10, 71, 12), (5, 10, 20, 30, 40, 50, 65, 80)),
        *rounds("dec_altgdmin", (), (2, 5, 9, 14, 20, 28), "chebyshev"),
    ]
    for accuracy in (1e-9,) if quick else (1e-6, 1e-13):
        label = f"{_FALLING} {accuracy:.0e}"
        end = {"iterations": _ITERATIONS, "target": {"subspace_distance": _LEAST}}
        methods.append({"algorithm": _FALLING, "label": label, "accuracy": accuracy, **START, **end})
    graph = {"topology": "erdos_renyi", "p": 0.5}
    return [Plan(PLAN, experiment(PLAN, ranks, graph, methods), seeds)]


@dataclass(frozen=True)
class Climb:
    """One family (algorithm, gossip) in one run: its ladder, and the fewest rounds by decade, None where no rung suffices."""

    run: Run
    rungs: Mapping[int, Rows]
    rounds: Mapping[int, int | None]

    def line(self, first: int) -> Line | None:
        """Its rounds against log10(1/eps) from 10^-first on, by those that were measured; None for fewer than two."""
        points = [(k, n) for k, n in self.rounds.items() if k >= first and n is not None]
        return fit(*zip(*points, strict=True)) if len(points) > 1 else None

    def bytes_to(self, decade: int, column: str, *, start: bool) -> float | None:
        """Bytes until 10^-decade with the fewest rounds, with those of the initialization (`start`) or without."""
        rounds = self.rounds[decade]
        row = reaching(self.rungs[rounds], 10.0**-decade) if rounds is not None else None
        if rounds is None or row is None:
            return None
        return row[column] - (0.0 if start else self.rungs[rounds][0][column])


FAMILIES = (
    ("dif_altgdmin", "plain"),
    ("dif_altgdmin", "chebyshev"),
    ("dec_altgdmin", "plain"),
    ("dec_altgdmin", "chebyshev"),
)


def climbs(runs: Sequence[Run]) -> dict[str, list[Climb]]:
    """The climbs of each family, one a seed, under its name."""
    found: dict[str, list[Climb]] = {}
    for algorithm, gossip in FAMILIES:
        name = algorithm + (" chebyshev" if gossip == "chebyshev" else "")
        for run in runs:
            if not (own := climb(run, algorithm, gossip)):
                continue  # it has none of this family, as the quick form
            rounds = {k: fewest(own, run.trace[CENTRAL], 10.0**-k) for k in DECADES}
            found.setdefault(name, []).append(Climb(run, own, rounds))
    return found


def _judge(found: Found, command: Callable[[str], str]) -> Findings:
    runs, again = found[PLAN], command(PLAN)
    if not runs:
        return Findings(
            [Verdict("Rounds and bytes to an accuracy", "", "nothing", None, note="No run finished.", command=again)]
        )
    measured = climbs(runs)
    verdicts = [_flat(name, measured[name], again) for name in measured if name.startswith("dif")]
    verdicts += [v for name in measured if name.startswith("dec") for v in _rising(name, measured[name], again)]
    verdicts += [_plateau(runs, again), _factor(measured, again), *_falling(runs, measured["dec_altgdmin"], again)]
    return Findings(verdicts, _pictures(runs, measured))


def _flat(name: str, climbs: Sequence[Climb], command: str) -> Verdict:
    claim = f"{name}: rounds an iteration do not depend on eps, for eps <= 1e-4"
    lines = [line for one in climbs if all(one.rounds[k] for k in DECADES if k >= 4) and (line := one.line(4))]
    slope = estimate([line.slope for line in lines])
    short = len(climbs) - len(lines)
    told = sorted({n for one in climbs for k, n in one.rounds.items() if n and k >= 4})
    note = f"Rounds that suffice, over eps and seeds: {' or '.join(map(str, told)) or 'none'}."
    if short:
        note += f" In {short} of {len(climbs)} seeds no rung of the ladder reached every eps: these are left out."
    faster = [one for one in climbs if _overtakes(one)]
    if faster:
        note += f" In {len(faster)} of {len(climbs)} seeds it took fewer iterations than the centralized method."
    holds = slope.inside(-FLAT, FLAT) if not short else None
    if holds is False and slope.seeds < FEWEST_SEEDS and told[-1] - told[0] == 1:
        holds, note = None, f"{note} They rise by one round, the least there is: more seeds decide."
    return Verdict(
        claim, f"less than {FLAT} rounds a decade", slope.say("{:.3f} rounds a decade"), holds, slope.told(2), note, command
    )


def _overtakes(one: Climb) -> bool:
    """Whether it reaches the last eps in at most 0.95 times the centralized iterations."""
    rounds = one.rounds[DECADES[-1]]
    goal = reaching(one.run.trace[CENTRAL], _LEAST)
    row = reaching(one.rungs[rounds], _LEAST) if rounds is not None else None
    return row is not None and goal is not None and row["step"] <= 0.95 * goal["step"]


def _rate(one: Climb, accelerated: bool) -> float:
    """Rounds that shrink a disagreement tenfold, by the graph's gamma."""
    gamma = one.run.about.graph.gamma
    return math.log(10.0) / (math.acosh(1.0 / gamma) if accelerated else -math.log(gamma))


def _rising(name: str, climbs: Sequence[Climb], command: str) -> list[Verdict]:
    pairs = [(one, line) for one in climbs if (line := one.line(2))]
    slopes = estimate([line.slope for _, line in pairs])
    ratio = estimate([line.slope / _rate(one, "chebyshev" in name) for one, line in pairs])
    straight = estimate([line.r2 for _, line in pairs])
    beyond = [f"1e-{k} at seed {one.run.seed}" for one in climbs for k, n in one.rounds.items() if n is None]
    note = ""
    if beyond:
        most = max(k for one in climbs for k in one.rungs)
        note = f"Beyond the ladder's {most} rounds, and extrapolated in the picture by the fit: {', '.join(beyond)}."
    grows, linear = slopes.inside(FLAT, math.inf), straight.inside(LINEAR, 1.0 + 1e-9)
    # the interval of a share near 1 reaches over 1, which says nothing against it
    linear = True if linear is None and straight.low >= LINEAR else linear
    holds = None if grows is None or linear is None else grows and linear
    form = "log10 e acosh(1/gamma)" if "chebyshev" in name else "log10(1/gamma)"
    return [
        Verdict(
            f"{name}: rounds an iteration rise linearly with log10(1/eps)",
            f"more than {FLAT} rounds a decade, R^2 at least {LINEAR}",
            slopes.say("{:.2f} rounds a decade, ") + straight.say("R^2 {:.3f}"),
            holds,
            slopes.told(),
            note,
            command,
        ),
        Verdict(
            f"{name}: the rounds of a decade are 1 / {form}",
            f"ratio 1 within {PLATEAU:.0%}",
            ratio.say("ratio {:.3f}"),
            ratio.inside(1 - PLATEAU, 1 + PLATEAU),
            ratio.told(),
            _against(ratio, "fewer", "more") + " rounds than gamma alone says",
            command,
        ),
    ]


def _against(ratio: Estimate, less: str, more: str) -> str:
    return f"Measured {abs(ratio.mean - 1):.0%} {less if ratio.mean < 1 else more}"


def _plateau(runs: Sequence[Run], command: str) -> Verdict:
    factors, rates = [], []
    for run in runs:
        levels = plateaus(climb(run, "dec_altgdmin"), 2 * _LEAST, 1e-2)
        if (factor := fall(levels)) is not None:
            factors.append(factor / run.about.graph.gamma)
            rates.append(math.log(factor) / math.log(run.about.graph.gamma))
    ratio, rate = estimate(factors), estimate(rates)
    note = rate.say("As a rate, log(factor) / log(gamma) is {:.3f}") + f" ({rate.told()})."
    return Verdict(
        "dec_altgdmin: each added round lowers the plateau by the factor gamma",
        f"factor / gamma = 1 within {PLATEAU:.0%}",
        ratio.say("{:.3f}"),
        ratio.inside(1 - PLATEAU, 1 + PLATEAU),
        ratio.told(),
        note,
        command,
    )


def _factor(measured: Mapping[str, Sequence[Climb]], command: str) -> Verdict:
    """Bytes of Dec-AltGDmin over those of Dif-AltGDmin: does the factor grow as eps falls?"""
    growth, ends = [], []
    for dif, dec in zip(measured["dif_altgdmin"], measured["dec_altgdmin"], strict=True):
        by_decade = {}
        for k in DECADES:
            a, b = (one.bytes_to(k, "bytes_max", start=False) for one in (dif, dec))
            if k >= 4 and a and b:
                by_decade[k] = b / a
        if len(by_decade) > 1:
            last = max(by_decade)
            growth.append(fit(list(by_decade), list(by_decade.values())).slope)
            ends.append(f"seed {dif.run.seed}: {by_decade[min(by_decade)]:.1f} at 1e-{min(by_decade)}, ")
            ends[-1] += f"{by_decade[last]:.1f} at 1e-{last}"
    slope = estimate(growth)
    return Verdict(
        "Bytes to eps of dec_altgdmin over those of dif_altgdmin grow with log10(1/eps), initialization excluded",
        "factor grows with each decade",
        slope.say("by {:.2f} a decade"),
        slope.inside(1e-9, math.inf),
        slope.told(),
        f"Factors: {'; '.join(ends) or 'none'}.",
        command,
    )


def _falling(runs: Sequence[Run], dec: Sequence[Climb], command: str) -> list[Verdict]:
    """Bytes of the falling rounds over those of fixed ones, at the least eps that both reached."""
    shares, least = [], []
    for run, one in zip(runs, dec, strict=True):
        labels = [label for label in run.methods if label.startswith(_FALLING) and label in run.trace]
        for k in reversed(DECADES):
            rows = [(row, run.trace[label][0]) for label in labels if (row := reaching(run.trace[label], 10.0**-k))]
            fixed = one.bytes_to(k, "bytes_max", start=False)
            if rows and fixed:
                shares.append(min(row["bytes_max"] - first["bytes_max"] for row, first in rows) / fixed)
                least.append(k)
                break
    if not shares:
        return []
    share = estimate(shares)
    return [
        Verdict(
            f"{_FALLING}: fewer bytes than fixed rounds for the same accuracy, initialization excluded",
            "share below 1",
            f"{share.mean:.2f} of those of the fewest fixed rounds",
            share.inside(0.0, 1.0),
            share.told(),
            f"At eps = {', '.join(f'1e-{k}' for k in sorted(set(least)))}, the least that both reached.",
            command,
        )
    ]


def _pictures(runs: Sequence[Run], measured: Mapping[str, Sequence[Climb]]) -> list[Picture]:
    lines = {
        name: ([dict(one.rounds) for one in several], [one.line(2) for one in several]) for name, several in measured.items()
    }
    spent = []
    for name, several in measured.items():
        for one in several:
            for k in DECADES:
                if (rounds := one.rounds[k]) is not None:
                    sent = [one.bytes_to(k, c, start=s) for c in ("bytes_max", "bytes_total") for s in (True, False)]
                    spent.append(Spent(name, one.run.seed, k, rounds, sent))
    slack = f"within {SLACK} times the centralized iterations"
    return [to_eps(lines, slack), to_accuracy(spent, slack)]


PART = Part("Rounds and bytes to an accuracy", _plans, _judge)

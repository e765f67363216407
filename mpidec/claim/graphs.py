"""Statement 3: how the rounds that Dif-AltGDmin needs go with the network's size and spectral gap, on seven kinds of graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from mpidec.claim.axes import mark
from mpidec.claim.fits import SLACK, fewest, reaching
from mpidec.claim.plan import CENTRAL, Findings, Found, Part, central, climb, experiment, ladder
from mpidec.html.collect import Run
from mpidec.html.parts import Cell, Picture, Table, Verdict
from mpidec.html.svg import svg
from mpidec.intervals import estimate
from mpidec.lines import fit
from mpidec.plots import COLORS
from mpidec.sweep.planned import Plan

EPS = 1e-10
_ITERATIONS = 85
_GRAPHS: Mapping[str, dict[str, object]] = {
    "ring": {},
    "torus": {},
    "exponential": {},
    "erdos_renyi": {"p": 0.5},
    "watts_strogatz": {"degree": 4, "rewire": 0.1},
    "barabasi_albert": {"attach": 2},
    "complete": {},
}
_QUICK = ("ring", "torus", "exponential")
_LADDERS: Mapping[tuple[str, int], Sequence[int]] = {
    ("ring", 20): (2, 4, 6, 8, 10, 12, 15, 20),
    ("barabasi_albert", 20): (2, 3, 4, 5, 6, 8, 10, 13),
    ("complete", 20): (1, 2),
    ("exponential", 20): (1, 2, 3),
    ("exponential", 64): (2, 3, 4),
    ("watts_strogatz", 20): (1, 2, 3, 4, 5),
    ("torus", 64): (4, 5, 6, 8),
}
"""Around the rounds that each graph was seen to need; `_STEADY` where none are given."""

_STEADY = (1, 2, 3, 4)


def plans(quick: bool) -> list[Plan]:
    """A sweep a graph and size; the ladder of rounds is in each."""
    sizes: dict[str, tuple[int, ...]] = {name: (8,) for name in _QUICK}
    if not quick:
        # 64 ranks take milliseconds a round on two cores, so they are kept to graphs of small degree and large gap
        sizes = {name: (20,) for name in _GRAPHS} | {"ring": (8, 20), "torus": (8, 20, 64), "exponential": (8, 20, 64)}
    return [
        Plan(
            f"graphs-{name}-{nodes}",
            experiment(
                f"graphs-{name}-{nodes}",
                nodes,
                {"topology": name, **_GRAPHS[name]},
                [
                    central(_ITERATIONS, EPS),
                    *ladder("dif_altgdmin", _LADDERS.get((name, nodes), _STEADY), _ITERATIONS, EPS),
                ],
            ),
            1 if quick else 5,
        )
        for name, own in sizes.items()
        for nodes in own
    ]


@dataclass(frozen=True)
class Need:
    """What one run came to: the rounds needed (None: more than the ladder has), and x = log(max(L, r)) / log(1/gamma)."""

    run: Run
    x: float
    rounds: int | None

    @property
    def graph(self) -> str:
        """Its kind and size."""
        return f"{self.run.settings['graph.topology']} {self.run.about.ranks}"


def needs(runs: Sequence[Run]) -> list[Need]:
    """The rounds needed in each run; a run whose centralized method did not reach `EPS` needs None."""
    found = []
    for run in runs:
        gamma, size = run.about.graph.gamma, max(run.about.ranks, int(run.settings["problem.rank"]))
        x = math.log(size) / -math.log(gamma) if gamma > 0.0 else 0.0
        found.append(Need(run, x, fewest(climb(run, "dif_altgdmin"), run.trace[CENTRAL], EPS)))
    return found


def _judge(found: Found, command: Callable[[str], str]) -> Findings:
    measured = [need for name, runs in found.items() if name.startswith("graphs-") for need in needs(runs)]
    again = command("graphs-*")
    claim = f"dif_altgdmin to {EPS:.0e}: rounds needed grow as log(max(L, r)) / log(1/gamma)"
    usable = [need for need in measured if need.rounds is not None and need.x > 0]
    exponents, scales = [], []
    for seed in sorted({need.run.seed for need in usable}):
        own = [need for need in usable if need.run.seed == seed]
        if len({need.x for need in own}) > 2:
            line = fit([math.log(n.x) for n in own], [math.log(n.rounds or 1) for n in own])
            exponents.append(line.slope)
            scales += [(n.graph, (n.rounds or 1) / math.exp(line.at(math.log(n.x)))) for n in own]
    slope = estimate(exponents)
    beyond = sorted({need.graph for need in measured if need.rounds is None})
    note = _in_words(slope.mean, slope.high, scales, measured)
    if beyond:
        note += f" More rounds than the ladder has, and left out of the fit: {', '.join(beyond)}."
    verdicts = [
        Verdict(
            claim,
            "at most so: exponent of rounds against it at most 1",
            slope.say("exponent {:.2f}"),
            slope.inside(-math.inf, 1.0),
            slope.told(),
            note,
            again,
        ),
        Verdict(
            "The spectral gap and L alone tell the rounds needed",
            "exponent 1, every graph within a factor of 1.5 of the fit",
            slope.say("exponent {:.2f}") + f"; off the fit by {_reach(scales)}",
            False if any(not 1 / 1.5 <= scale <= 1.5 for _, scale in scales) else slope.inside(0.8, 1.2),
            slope.told(),
            "A tolerance of this project's own: an O() promises neither. Rungs above 4 rounds lie a fifth to a half apart.",
            again,
        ),
    ]
    return Findings(verdicts, [_picture(measured)] if measured else [])


def _reach(scales: Sequence[tuple[str, float]]) -> str:
    if not scales:
        return "nothing measured"
    factors = [scale for _, scale in scales]
    return f"factors {min(factors):.2f} to {max(factors):.2f}"


def _in_words(mean: float, high: float, scales: Sequence[tuple[str, float]], measured: Sequence[Need]) -> str:
    if not scales:
        return "Too few graphs with a need of rounds to fit."
    told = ""
    top = mean if math.isnan(high) else high
    if top < 0.8:
        told = "Rounds grow more slowly than the prediction, which is an upper bound and not tight here. "
    largest = max((n for n in measured if n.rounds), key=lambda n: n.x)
    told += f"{largest.graph}: predicted scale {largest.x:.0f}, needed {largest.rounds}. "
    low, most = min(scales, key=lambda s: s[1]), max(scales, key=lambda s: s[1])
    return told + f"Furthest below the fit: {low[0]} (factor {low[1]:.2f}); above it: {most[0]} (factor {most[1]:.2f})."


def _picture(measured: Sequence[Need]) -> Picture:
    figure = Figure(figsize=(9.2, 4.6), layout="constrained")
    panel = figure.subplots()
    kinds = list(dict.fromkeys(str(need.run.settings["graph.topology"]) for need in measured))
    shapes = ("o", "s", "^", "D", "v", "P", "X")
    rows: list[list[Cell]] = []
    for i, kind in enumerate(kinds):
        own = [n for n in measured if n.run.settings["graph.topology"] == kind and n.rounds is not None]
        if own:
            needed = [float(n.rounds or 0) for n in own]
            panel.plot(
                [n.x for n in own],
                needed,
                shapes[i % 7],
                color=COLORS[i % len(COLORS)],
                label=kind,
                alpha=0.7,
            )
    top = max(need.x for need in measured)
    scale = np.geomspace(1.0, max(top, 1.0))
    panel.plot(scale, scale, color="gray", linewidth=1, label="rounds = prediction, constant 1")
    for need in measured:
        graph, goal = need.run.about.graph, reaching(need.run.trace[CENTRAL], EPS)
        rounds = "more than the ladder has" if need.rounds is None else str(need.rounds)
        row: list[Cell] = [f"{need.graph}, seed {need.run.seed}", graph.gamma, graph.degree_max, need.x, rounds]
        rows.append([*row, None if goal is None else goal["step"]])
    panel.set_xlabel("log(max(L, r)) / log(1/gamma)")
    panel.set_ylabel(f"rounds an iteration to {EPS:.0e}")
    panel.set_xscale("symlog", linthresh=1)
    panel.set_yscale("log")
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    mark(panel.yaxis, [1, 2, 4, 8, 16, 32, 64])
    panel.grid(True, alpha=0.3)
    panel.legend(fontsize="small", ncols=2)
    heading = "Rounds that dif_altgdmin needs, against the predicted scale"
    caption = f"{heading}: to {EPS:.0e} within {SLACK} times the centralized iterations; a mark a run."
    head = ("graph", "gamma", "largest degree", "predicted scale", "rounds needed", "centralized iterations")
    return Picture(svg(figure, "claim-graphs", heading, caption), caption, Table(heading, head, rows))


PART = Part("Rounds on other graphs", plans, _judge)

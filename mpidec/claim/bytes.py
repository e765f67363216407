"""Statement 1: what the busiest node sends in an iteration, against d, r, degree, rounds and L, from the ledgers of real runs.

Arrays are tiny and iterations few, since a byte count does not depend on how good the estimates are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter

from mpidec.claim.axes import mark
from mpidec.claim.plan import Findings, Found, Part, experiment, ladder, rungs
from mpidec.html.collect import Run
from mpidec.html.parts import Cell, Picture, Table, Verdict
from mpidec.html.svg import svg
from mpidec.intervals import estimate
from mpidec.lines import power
from mpidec.plots import COLORS
from mpidec.reader import read_traffic
from mpidec.sweep.planned import Plan

WITHIN = 0.02
"""How far from the prediction a slope may lie."""

_ALGORITHMS = ("dif_altgdmin", "dec_altgdmin")
_ROUNDS = (1, 2, 4, 8)
_ITERATIONS = 2


@dataclass(frozen=True)
class Axis:
    """What is varied: the plan, the key in a run's settings (none: the rounds of the methods), and the slopes predicted."""

    plan: str
    name: str
    key: str | None
    busiest: int
    total: int | None = None


_AXES = (
    Axis("bytes-d", "d", "problem.d", 1),
    Axis("bytes-r", "r", "problem.rank", 1),
    Axis("bytes-degree", "the degree", "graph.degree", 1),
    Axis("bytes-degree", "rounds", None, 1),
    Axis("bytes-nodes", "L, ring", "ranks", 0, 1),
)


def _plans(quick: bool) -> list[Plan]:
    nodes, seeds = (8, 1) if quick else (16, 5)
    methods = [table for algorithm in _ALGORITHMS for table in ladder(algorithm, _ROUNDS, _ITERATIONS)]
    # the initialization is not counted here
    methods = [{**table, "power_iterations": 1} for table in methods]
    sizes = {"d": 40, "tasks": 40, "rank": 2, "samples": 20}

    def plan(name: str, ranks: int, key: str, values: Sequence[int], graph: dict[str, object]) -> Plan:
        return Plan(name, experiment(name, ranks, graph, methods, **sizes), seeds, [{key: list(values)}])

    regular = {"topology": "random_regular", "degree": 4}
    return [
        plan("bytes-d", 4, "problem.d", (40, 80, 160), {"topology": "ring"}),
        plan("bytes-r", 4, "problem.rank", (1, 4) if quick else (1, 2, 4), {"topology": "ring"}),
        plan("bytes-degree", nodes, "graph.degree", (2, 6) if quick else (2, 4, 8), regular),
        plan("bytes-nodes", nodes, "ranks", (4, 8) if quick else (4, 8, 16, 32), {"topology": "ring"}),
    ]


@dataclass(frozen=True)
class Count:
    """Bytes an iteration by the ledger: x on its axis; the busiest node's, all nodes', and rounds * degree * d * r * 8."""

    group: tuple[int, str]
    x: float
    busiest: float
    total: float
    formula: int


def _counts(axis: Axis, runs: Sequence[Run]) -> Iterator[Count]:
    """A count a run and method, in the group of those that differ by x alone."""
    for run in runs:
        traffic = read_traffic(run.folder, ("iterate",))
        for algorithm in _ALGORITHMS:
            for rounds, label in rungs(run, algorithm).items():
                sent = [0] * run.about.ranks
                for (rank, _), count in traffic[label].links.items():
                    sent[rank] += count
                steps = run.about.methods[label].steps
                d, r = (int(run.settings[f"problem.{key}"]) for key in ("d", "rank"))
                formula = rounds * run.about.graph.degree_max * d * r * 8
                if axis.key is None:
                    group, x = (run.seed, f"{algorithm}, degree {run.settings['graph.degree']}"), rounds
                else:
                    group, x = (run.seed, label), int(run.settings[axis.key])
                yield Count(group, x, max(sent) / steps, sum(sent) / steps, formula)


def _judge(found: Found, command: Callable[[str], str]) -> Findings:
    verdicts: list[Verdict] = []
    counted = {axis: list(_counts(axis, found[axis.plan])) for axis in _AXES}
    for axis, counts in counted.items():
        again = command(axis.plan)
        verdicts.append(_slope(f"Bytes an iteration of the busiest node against {axis.name}", axis.busiest, counts, again))
        if axis.total is not None:
            claim = f"Bytes an iteration of all nodes against {axis.name}"
            verdicts.append(_slope(claim, axis.total, counts, again, whole=True))
    every = [count for counts in counted.values() for count in counts]
    wrong = sum(count.busiest != count.formula for count in every)
    verdicts.append(
        Verdict(
            "The busiest node sends rounds * degree * d * r * 8 bytes an iteration, exactly",
            "every count equal",
            f"{len(every) - wrong} of {len(every)} counts equal",
            wrong == 0 if every else None,
            command=command("bytes-degree"),
        )
    )
    return Findings(verdicts, [_picture(counted)] if every else [])


def _slope(claim: str, predicted: int, counts: Sequence[Count], command: str, *, whole: bool = False) -> Verdict:
    """A verdict on the log-log slope of each group, one a seed and method."""
    groups: dict[tuple[int, str], list[Count]] = {}
    for count in counts:
        groups.setdefault(count.group, []).append(count)
    slopes: dict[int, list[float]] = {}
    for (seed, _), points in groups.items():
        if len({p.x for p in points}) > 1:
            ys = [p.total if whole else p.busiest for p in points]
            slopes.setdefault(seed, []).append(power([p.x for p in points], ys))
    # the methods of a run are no draws of their own
    over = estimate([sum(own) / len(own) for own in slopes.values()])
    every = [slope for own in slopes.values() for slope in own]
    if not every:
        return Verdict(claim, f"slope {predicted}", "nothing", None, note="No run of this sweep finished.", command=command)
    return Verdict(
        claim,
        f"slope {predicted} within {WITHIN}",
        f"slope {over.mean:.4f}",
        all(abs(slope - predicted) <= WITHIN for slope in every),
        f"{over.told(5)}; single methods {min(every):.4f} to {max(every):.4f}",
        command=command,
    )


def _picture(counted: dict[Axis, list[Count]]) -> Picture:
    figure = Figure(figsize=(9.2, 5.6), layout="constrained")
    panels = figure.subplots(2, 3).flat
    rows: list[list[Cell]] = []
    drawn = [(axis, False) for axis in counted] + [(axis, True) for axis in counted if axis.total is not None]
    for panel, (axis, whole) in zip(panels, drawn, strict=False):
        who = "all nodes" if whole else "busiest node"
        groups: dict[str, list[tuple[float, float]]] = {}
        for count in counted[axis]:
            if count.group[0] == 0:
                groups.setdefault(count.group[1], []).append((count.x, count.total if whole else count.busiest))
        for i, (method, points) in enumerate(groups.items()):
            x, y = zip(*sorted(points), strict=True)
            panel.loglog(x, y, color=COLORS[i % len(COLORS)], marker="o", markersize=4, alpha=0.7)
            rows += [[f"{axis.name}: {method}, {who}", a, b] for a, b in zip(x, y, strict=True)]
        mark(panel.xaxis, [count.x for count in counted[axis]])
        panel.yaxis.set_major_formatter(EngFormatter(unit="B"))
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.set_xlabel(axis.name)
        panel.set_ylabel(f"bytes, {who}", fontsize="small")
        panel.grid(True, which="both", alpha=0.3)
    heading = "Bytes an iteration against one quantity at a time, seed 0, on logarithmic axes"
    words = f"{len(rows)} counts, each line one method with its rounds; a line of slope 1 doubles where the quantity doubles."
    head = ("axis, method and node", "value", "bytes an iteration")
    return Picture(svg(figure, "claim-bytes", heading, words), f"{heading}: {words}", Table(heading, head, rows))


PART = Part("Bytes of an iteration", _plans, _judge)

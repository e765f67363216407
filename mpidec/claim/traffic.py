"""Statement 4: what the busiest node sends in an iteration: Dif-AltGDmin with the rounds it needs, a hub, an all-reduce."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from mpidec.claim.axes import mark
from mpidec.claim.graphs import Need, needs
from mpidec.claim.graphs import plans as graph_plans
from mpidec.claim.plan import CENTRAL, Findings, Found, Part, central, experiment, ladder, rungs
from mpidec.html.collect import Run
from mpidec.html.parts import Cell, Picture, Table, Verdict
from mpidec.html.svg import svg
from mpidec.intervals import estimate
from mpidec.mpi import launcher
from mpidec.plots import COLORS
from mpidec.sweep.planned import Plan

LIBRARY = "traffic-library"
_ITERATIONS = 20
_MODEL = 0.2  # how far the library's all-reduce may lie from the model, relative


def _plans(quick: bool) -> list[Plan]:
    ranks = 8 if quick else 20
    # Open MPI alone has counters that can be read
    counted = launcher.family(launcher.library_version()) == "openmpi"
    methods = [central(_ITERATIONS), {"algorithm": "altgdmin_fusion", "iterations": _ITERATIONS}]
    methods += ladder("dif_altgdmin", (3,), _ITERATIONS)
    graph = {"topology": "erdos_renyi", "p": 0.5}
    return [*graph_plans(quick), Plan(LIBRARY, experiment(LIBRARY, ranks, graph, methods), 1 if quick else 5, (), counted)]


def an_iteration(run: Run, label: str, column: str) -> float:
    """Bytes an iteration by a column of the trace, initialization excluded."""
    first, last = run.trace[label][0], run.trace[label][-1]
    return (last[column] - first[column]) / (last["step"] - first["step"])


@dataclass(frozen=True)
class Ratio:
    """Bytes an iteration of the busiest node of gossip over d r numbers, in a graph whose needed rounds were measured."""

    need: Need
    payloads: float

    @property
    def nodes(self) -> int:
        """L."""
        return self.need.run.about.ranks

    @property
    def hub(self) -> int:
        """What a fusion center's hub sends, in d r numbers."""
        return self.nodes - 1

    @property
    def all_reduce(self) -> float:
        """What a node of a bandwidth-optimal all-reduce sends, in d r numbers."""
        return 2 * (self.nodes - 1) / self.nodes


def ratios(runs: Sequence[Run]) -> list[Ratio]:
    """A ratio a run in which the rounds needed are known."""
    found = []
    for need in needs(runs):
        if need.rounds is not None:
            label = rungs(need.run, "dif_altgdmin")[need.rounds]
            found.append(Ratio(need, an_iteration(need.run, label, "bytes_max") / _payload(need.run)))
    return found


def _payload(run: Run) -> float:
    return 8.0 * int(run.settings["problem.d"]) * int(run.settings["problem.rank"])


def _judge(found: Found, command: Callable[[str], str]) -> Findings:
    measured = [ratio for name, runs in found.items() if name.startswith("graphs-") for ratio in ratios(runs)]
    kinds: dict[str, list[Ratio]] = {}
    for ratio in measured:
        kinds.setdefault(ratio.need.graph, []).append(ratio)
    verdicts = [*_against_hub(kinds, command("graphs-*")), _against_all_reduce(kinds, command("graphs-*"))]
    verdicts += _library(found[LIBRARY], command(LIBRARY))
    return Findings(verdicts, [_picture(kinds)] if kinds else [])


def _against_hub(kinds: dict[str, list[Ratio]], command: str) -> list[Verdict]:
    every = [ratio for own in kinds.values() for ratio in own]
    wins: list[str] = []
    mixed: list[str] = []
    losses: list[str] = []
    for graph, own in kinds.items():
        won = sum(r.payloads < r.hub for r in own)
        (wins if won == len(own) else mixed if won else losses).append(graph)
    agreeing = 0
    for ratio in every:
        product = (ratio.need.rounds or 0) * ratio.need.run.about.graph.degree_max
        agreeing += (ratio.payloads < ratio.hub) == (product < ratio.nodes - 1)
    told = f"Gossip sends less on {', '.join(wins) or 'none'}; more, or as much, on {', '.join(losses) or 'none'}"
    told += f"; it depends on the seed on {', '.join(mixed)}." if mixed else "."
    by_size = []
    for nodes in sorted({ratio.nodes for ratio in every}):
        share = estimate([ratio.payloads / ratio.hub for ratio in every if ratio.nodes == nodes])
        by_size.append(f"L = {nodes}: mean over graphs {share.mean:.2f} of the hub's bytes")
    return [
        Verdict(
            "The busiest node of gossip sends less than a fusion center's hub exactly where rounds * degree < L - 1",
            "every run agrees",
            f"{agreeing} of {len(every)} runs agree",
            agreeing == len(every) if every else None,
            note=told,
            command=command,
        ),
        Verdict(
            "On every graph here, the busiest node of gossip sends less than the hub",
            "not on all: rounds * degree must stay below L - 1",
            f"on {len(wins)} of {len(kinds)} graphs in all seeds",
            not losses and not mixed if kinds else None,
            note=". ".join(by_size) + ".",
            command=command,
        ),
    ]


def _against_all_reduce(kinds: dict[str, list[Ratio]], command: str) -> Verdict:
    least = {graph: min(r.payloads / r.all_reduce for r in own) for graph, own in kinds.items()}
    nearest = min(least, key=lambda graph: least[graph], default="")
    over = [r.payloads / r.all_reduce for own in kinds.values() for r in own]
    return Verdict(
        "Gossip sends more than an all-reduce by its model, 2 d r (L-1)/L a node, on every graph",
        "factor above 1 (rounds * degree is at least 2)",
        f"factors {min(over):.1f} to {max(over):.1f}" if over else "nothing",
        min(over) > 1 if over else None,
        note=f"Nearest: {nearest}. In bytes gossip never beats an all-reduce; it needs no more than neighbors." if over else "",
        command=command,
    )


def _library(runs: Sequence[Run], command: str) -> list[Verdict]:
    claim = "The MPI library's own all-reduce sends what its model says, busiest node"
    counted = [run for run in runs if "library_bytes_max" in run.trace[CENTRAL][-1]]
    if not counted:
        note = "This MPI library has no byte counters that can be read: only Open MPI has." if runs else "No run finished."
        return [Verdict(claim, "the model", "nothing", None, note=note, command=command)]
    over, mean, equal = [], [], []
    for run in counted:
        modeled = an_iteration(run, CENTRAL, "bytes_max")
        over.append(an_iteration(run, CENTRAL, "library_bytes_max") / modeled)
        mean.append(an_iteration(run, CENTRAL, "library_bytes_total") / an_iteration(run, CENTRAL, "bytes_total"))
        for label in (label for label in run.trace if label != CENTRAL):
            last = run.trace[label][-1]
            equal.append(last["bytes_max"] == last["library_bytes_max"] and last["bytes_total"] == last["library_bytes_total"])
    ratio, whole = estimate(over), estimate(mean)
    payload = _payload(counted[0])
    own = an_iteration(counted[0], CENTRAL, "library_bytes_max") / payload
    told = f"The busiest node sends {own:.2f} d r an iteration; a mean node {whole.mean:.2f} times the model."
    if ratio.inside(1 - _MODEL, 1 + _MODEL) is False:
        told += " The library takes another algorithm than the bandwidth-optimal one for this size."
    return [
        Verdict(
            claim,
            f"ratio 1 within {_MODEL:.0%}",
            ratio.say("ratio {:.2f}"),
            ratio.inside(1 - _MODEL, 1 + _MODEL),
            ratio.told(),
            told,
            command,
        ),
        Verdict(
            "The ledger's bytes of gossip and fusion center equal Open MPI's own counters",
            "to the byte",
            f"{sum(equal)} of {len(equal)} methods and seeds equal",
            all(equal),
            command=command,
        ),
    ]


def _picture(kinds: dict[str, list[Ratio]]) -> Picture:
    figure = Figure(figsize=(9.2, 1.6 + 0.3 * len(kinds)), layout="constrained")
    panel = figure.subplots()
    rows: list[list[Cell]] = []
    for place, (graph, own) in enumerate(kinds.items()):
        sent = [ratio.payloads for ratio in own]
        names = ("gossip, a mark a seed", "hub", "all-reduce, model") if not place else (None, None, None)
        panel.plot(sent, [place] * len(sent), "o", color=COLORS[0], alpha=0.6, label=names[0])
        panel.plot([own[0].hub], [place], "|", color=COLORS[1], markersize=16, label=names[1])
        model = own[0].all_reduce
        panel.plot([model], [place], "x", color=COLORS[2], label=names[2])
        for ratio in own:
            degree = ratio.need.run.about.graph.degree_max
            counts = [ratio.need.rounds, degree, ratio.payloads, ratio.hub, ratio.all_reduce]
            rows.append([f"{graph}, seed {ratio.need.run.seed}", *counts])
    panel.set_yticks(range(len(kinds)), list(kinds))
    panel.set_ylim(len(kinds) - 0.5, -0.5)
    panel.set_xscale("log")
    mark(panel.xaxis, [1, 2, 5, 10, 20, 50, 100, 200])
    panel.set_xlabel("sent by the busiest node in an iteration, in units of d r numbers")
    panel.grid(True, axis="x", alpha=0.3)
    figure.legend(fontsize="small", loc="outside lower center", ncols=3)
    heading = "Traffic of the busiest node in an iteration: gossip with the rounds it needs, a hub, an all-reduce"
    head = ("graph", "rounds needed", "largest degree", "gossip, d r numbers", "hub", "all-reduce, model")
    return Picture(svg(figure, "claim-traffic", heading, heading + "."), f"{heading}.", Table(heading, head, rows))


PART = Part("Traffic of the busiest node", _plans, _judge)

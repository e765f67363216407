"""The numbers behind statement 5: one picture of errors against noise, and the tables of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mpidec.claim.axes import mark
from mpidec.claim.fits import METRIC, fewest
from mpidec.claim.plan import CENTRAL, climb
from mpidec.html.collect import Run
from mpidec.html.parts import Cell, Picture, Table
from mpidec.html.svg import svg
from mpidec.plots import COLORS

Groups = Mapping[float, Sequence[Run]]
"""Runs by the value that is varied."""


def overview(noise: Groups, condition: Groups, ladders: Mapping[str, tuple[Groups, float]]) -> list[Picture]:
    """Last errors against rounds at each level of noise; errors by condition number; rounds needed for the rest."""
    return [picture for picture in (_floors(noise), _starts(condition), _needs(ladders)) if picture is not None]


def _floors(noise: Groups) -> Picture | None:
    if not noise:
        return None
    figure = Figure(figsize=(9.2, 3.4), layout="constrained")
    panels = figure.subplots(1, len(noise), sharey=True, squeeze=False)[0]
    rows: list[list[Cell]] = []
    for panel, (level, runs) in zip(panels, noise.items(), strict=True):
        for color, shape, algorithm in ((COLORS[0], "o", "dif_altgdmin"), (COLORS[1], "s", "dec_altgdmin")):
            points = [(k, own[-1][METRIC]) for run in runs for k, own in climb(run, algorithm).items()]
            panel.plot(*zip(*points, strict=True), shape, color=color, alpha=0.6, label=algorithm)
        floors = [run.trace[CENTRAL][-1][METRIC] for run in runs]
        panel.axhspan(min(floors), max(floors), color="gray", alpha=0.4, label="centralized, all seeds")
        panel.set_xscale("log")
        panel.set_yscale("log")
        mark(panel.xaxis, [1, 2, 5, 10, 20, 60])
        panel.set_xlabel("rounds an iteration")
        panel.set_title(f"noise {level:g}", fontsize="medium")
        panel.grid(True, alpha=0.3)
        for run in runs:
            own_rows = {CENTRAL: run.trace[CENTRAL], **{label: run.trace[label] for label in run.methods if label in run.trace}}
            rows += [[f"noise {level:g}, seed {run.seed}, {method}", own[-1][METRIC]] for method, own in own_rows.items()]
    panels[0].set_ylabel("last error, worst node")
    panels[0].legend(fontsize="small")
    heading = "Where the error ends with label noise, against rounds an iteration"
    table = Table(heading, ("run and method", "last error"), rows)
    return Picture(svg(figure, "claim-noise", heading, heading + "."), f"{heading}.", table)


def _starts(condition: Groups) -> Picture | None:
    if not condition:
        return None
    figure = Figure(figsize=(9.2, 3.4), layout="constrained")
    panel = figure.subplots()
    rows: list[list[Cell]] = []
    for i, (value, runs) in enumerate(condition.items()):
        for j, run in enumerate(runs):
            trace = run.trace[CENTRAL]
            name = f"condition {value:g}" if not j else None
            steps, errors = ([row[key] for row in trace] for key in ("step", METRIC))
            panel.plot(steps, errors, color=COLORS[i % len(COLORS)], alpha=0.7, label=name)
            for method, own in run.trace.items():
                rows.append(
                    [f"condition {value:g}, seed {run.seed}, {method}", own[0][METRIC], own[-1][METRIC], own[-1]["step"]]
                )
    panel.set_yscale("log")
    panel.set_xlabel("iteration")
    panel.set_ylabel("error of the centralized method")
    panel.grid(True, alpha=0.3)
    panel.legend(fontsize="small")
    heading = "Centralized error by condition number, a line a seed"
    head = ("run and method", "error after initialization", "last error", "iterations")
    return Picture(svg(figure, "claim-condition", heading, heading + "."), f"{heading}.", Table(heading, head, rows))


def _needs(ladders: Mapping[str, tuple[Groups, float]]) -> Picture | None:
    if not any(groups for groups, _ in ladders.values()):
        return None
    figure = Figure(figsize=(9.2, 3.2), layout="constrained")
    panels = figure.subplots(1, len(ladders), squeeze=False)[0]
    rows: list[list[Cell]] = []
    for panel, (name, (groups, eps)) in zip(panels, ladders.items(), strict=True):
        for value, runs in groups.items():
            for run in runs:
                rounds = fewest(climb(run, "dif_altgdmin"), run.trace[CENTRAL], eps)
                gamma, start = run.about.graph.gamma, run.trace[CENTRAL][0][METRIC]
                told = "none tried" if rounds is None else str(rounds)
                rows.append([f"{name} {value:g}, seed {run.seed}", eps, gamma, start, told])
                if rounds is not None:
                    panel.plot(value, rounds, "o", color=COLORS[run.seed % len(COLORS)], alpha=0.7)
        panel.set_xscale("log")
        mark(panel.xaxis, groups)
        panel.yaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set_xlabel(name)
        panel.set_ylabel(f"rounds needed to {eps:.0e}")
        panel.grid(True, alpha=0.3)
    heading = "Rounds that dif_altgdmin needs with unequal shares and with few tasks"
    head = ("run", "eps", "gamma", "error after initialization", "rounds needed")
    caption = f"{heading}; a color a seed, and so a graph."
    return Picture(svg(figure, "claim-needs", heading, caption), caption, Table(heading, head, rows))

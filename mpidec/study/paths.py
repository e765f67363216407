"""Pictures of the way to the ends: metrics against bytes and epochs, or iterations where no data are dealt out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from mpidec.html.collect import Run
from mpidec.html.parts import Cell, Picture, Table
from mpidec.html.series import Series, series
from mpidec.html.svg import svg
from mpidec.metrics import METRICS, leading
from mpidec.plots import EPOCHS, Array, Curve, add_legend, draw_curves, labels_of
from mpidec.study.file import Study

_POINTS = 8  # drawn, two panels each
_ROWS = 10  # of a method at a point in the table; all are in the runs' trace.csv


def epochs(run: Run) -> float | None:
    """Passes over its own samples that a node makes in an iteration; None where a problem has no samples to pass over."""
    dealt, batch = run.about.problem.get("samples_a_node"), run.experiment["problem"].get("batch")
    return batch / dealt if dealt and batch else None


def paths(study: Study, runs: Mapping[str, Sequence[Run]]) -> list[Picture]:
    """A picture for the study's metric and each other that is recorded, leading ones first: medians over seeds, a row of panels
    a point.

    None for runs that were observed only at their ends.
    """
    own = {name: series(several) for name, several in runs.items()}
    if all(len(one.steps()) < 3 for several in own.values() for one in several):
        return []
    recorded = next(iter(own.values()))[0].runs[0].trace[study.methods[0]][-1]
    names = [name for name in recorded if name in METRICS]
    return [_path(study, own, metric) for metric in dict.fromkeys([study.file.metric, *leading(names), *names])]


def _path(study: Study, own: Mapping[str, Sequence[Series]], metric: str) -> Picture:
    drawn = list(own)[:_POINTS]
    figure = Figure(figsize=(9.2, 0.8 + 3.0 * len(drawn)), layout="constrained")
    panels = figure.subplots(len(drawn), 2, squeeze=False, sharey="row")
    rows: list[list[Cell]] = []
    for name, several in own.items():
        curves = {one.method: _curve(one, metric) for one in several}
        for method, curve in curves.items():
            for i in np.unique(np.linspace(0, len(curve.y) - 1, _ROWS).round().astype(int)):
                passed = curve.costs[EPOCHS if EPOCHS in curve.costs else "step"]
                rows.append([f"{name}: {method}", float(passed[i]), float(curve.costs["bytes_max"][i]), float(curve.y[i])])
        if name in drawn:
            line = panels[drawn.index(name)]
            ordered = [curves[method] for method in study.methods]
            along = EPOCHS if EPOCHS in ordered[0].costs else "step"
            for panel, key in zip(line, (along, "bytes_max"), strict=True):
                handles = draw_curves(panel, ordered, metric, key, {})
            line[0].set_title(name, fontsize="medium", loc="left", parse_math=False)
            line[0].set_ylabel(metric.replace("_", " "))
    add_legend(figure, handles, labels_of(ordered, {}), loc="outside lower center", ncols=4)
    passes = "epochs" if along == EPOCHS else "iterations"
    heading = f"{metric.replace('_', ' ').capitalize()} against {passes} and bytes of the busiest node"
    caption = f"{heading}: {METRICS[metric].help}; medians over seeds, bands their range."
    if len(own) > len(drawn):
        caption += f" Drawn are the first {len(drawn)} of {len(own)} points."
    table = Table(heading, ("point and method", passes, "bytes of the busiest node", metric), rows)
    return Picture(svg(figure, f"study-path-{metric}", heading, caption), caption, table)


def _curve(one: Series, metric: str) -> Curve:
    curve, each = one.curve(metric), epochs(one.runs[0])
    passed: dict[str, Array] = {} if each is None else {EPOCHS: np.asarray(curve.costs["step"]) * each}
    return Curve(one.method, {**curve.costs, **passed}, curve.y, curve.band)

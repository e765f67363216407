"""The report's pictures, from series and runs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import NDArray

from mpidec.graph.base import Adjacency
from mpidec.graph.draw import draw_graph
from mpidec.html.series import Series
from mpidec.metrics import METRICS
from mpidec.plots import AXES, COLORS, add_legend, draw_curves, labels_of

LARGEST = 200
"""Nodes above which a graph or a map of its edges shows nothing but ink."""

_WIDTH = 9.2  # inches: the page's width at 12 px a letter
_WRITTEN = 10  # nodes up to which there is room for a number in each square of a map

TIMES = {
    "seconds": "in all",
    "compute_seconds": "outside exchanges",
    "comm_seconds": "inside exchanges, waiting included",
}
"""The clock's columns in trace.csv, each the largest of any rank."""


def human_bytes(count: float) -> str:
    """370 MB: three figures and a unit."""
    return EngFormatter(unit="B")(float(f"{count:.3g}"))


def error_figure(several: Sequence[Series], metric: str, references: Mapping[str, float]) -> Figure:
    """The metric against iterations, rounds, bytes and seconds; medians as lines, ranges over seeds as bands."""
    curves = [one.curve(metric) for one in several]
    labels = labels_of(curves, references)
    columns = max(1, min(4, 130 // (max(map(len, labels)) + 8)))
    figure = Figure(figsize=(_WIDTH, 6.2 + 0.22 * -(-len(labels) // columns)), layout="constrained")
    panels = figure.subplots(2, 2, sharey=True)
    handles = [draw_curves(panel, curves, metric, key, references) for panel, key in zip(panels.flat, AXES, strict=True)]
    for panel in panels[:, 0]:
        panel.set_ylabel(textwrap.fill(METRICS[metric].help, 32))
    add_legend(figure, handles[0], labels, loc="outside lower center", ncols=columns)
    return figure


def graph_figure(graph: Adjacency) -> Figure:
    """The graph, its nodes colored by degree and numbered where there is room."""
    side = 4.0 if graph.nodes <= 12 else 5.5
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    draw_graph(figure.subplots(), graph)
    return figure


def traffic_figure(maps: Mapping[str, NDArray[np.int64]]) -> Figure:
    """Bytes from each rank (row) to each (column), (L, L), a panel a method, one scale of colors for all."""
    sent = np.concatenate([m[m > 0] for m in maps.values()])
    wide = sent.max() > 20 * sent.min()
    scale = LogNorm(sent.min(), sent.max()) if wide else Normalize(0, sent.max())
    columns = min(2, len(maps))
    rows = -(-len(maps) // columns)
    figure = Figure(figsize=(_WIDTH if columns > 1 else 5.6, 4.0 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat[len(maps) :]:
        panel.set_axis_off()
    for panel, (label, counts) in zip(panels.flat, maps.items(), strict=False):
        nodes = len(counts)
        # dark is much, so that little ink says little traffic; white says none, and no edge
        image = panel.imshow(
            np.ma.masked_equal(counts, 0), cmap="cividis_r", norm=scale, interpolation="nearest", origin="upper"
        )
        if nodes <= _WRITTEN:
            _write(panel, counts, scale)
            panel.set_xticks(np.arange(-0.5, nodes), minor=True)
            panel.set_yticks(np.arange(-0.5, nodes), minor=True)
            panel.grid(True, which="minor", color="0.85", linewidth=0.5)
            panel.tick_params(which="minor", length=0)
        panel.set_title(textwrap.shorten(label, 60), fontsize="medium", parse_math=False)
        panel.set_xlabel("to rank")
        panel.set_ylabel("from rank")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1))
    figure.colorbar(image, ax=panels.ravel().tolist(), label="bytes sent", format=EngFormatter(unit="B"), shrink=0.8)
    return figure


def _write(panel: Axes, counts: NDArray[np.int64], scale: Normalize) -> None:
    for i, j in np.argwhere(counts):
        color = "white" if scale(counts[i, j]) > 0.5 else "black"
        text = human_bytes(counts[i, j]).replace(" ", "\n")
        panel.text(j, i, text, ha="center", va="center", fontsize=8 if len(counts) <= 6 else 6.5, color=color)


def time_figure(several: Sequence[Series]) -> Figure:
    """The clock's three readings at the end of each series, a group of bars each; whiskers are ranges over seeds."""
    figure = Figure(figsize=(_WIDTH, 1.3 + 0.75 * len(several)), layout="constrained")
    panel = figure.subplots()
    hatches = ("", "//", "..")
    bars = []
    for i, column in enumerate(TIMES):
        spreads = [one.last(column) for one in several]
        middle = np.array([float(s.median) for s in spreads])
        reach = np.array([[m - s.low, s.high - m] for m, s in zip(middle, spreads, strict=True)]).T
        several_runs = any(len(one.runs) > 1 for one in several)
        places = np.arange(len(several)) + (i - 1) * 0.27
        bars.append(
            panel.barh(
                places,
                middle,
                0.25,
                color=COLORS[i],
                hatch=hatches[i],
                edgecolor="white",
                xerr=reach if several_runs else None,
                error_kw={"elinewidth": 1, "capsize": 2},
            )
        )
    panel.set_yticks(range(len(several)), ["\n".join(textwrap.wrap(one.label, 34)[:3]) for one in several])
    for text in panel.get_yticklabels():
        text.set_parse_math(False)
    panel.invert_yaxis()
    panel.set_xlabel("seconds, observation excluded; each bar is the largest of any rank")
    panel.grid(True, axis="x", alpha=0.3)
    panel.set_axisbelow(True)
    add_legend(figure, [bar[0] for bar in bars], list(TIMES.values()), loc="outside lower center", ncols=3)
    return figure

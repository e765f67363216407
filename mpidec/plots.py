"""Error against what it cost, drawn: the one way in which a trace becomes lines. A run's pictures, on rank 0 only."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from mpidec.metrics import METRICS, leading
from mpidec.reader import read_about, read_trace, read_traffic

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis

AXES = {
    "step": "iteration",
    "rounds": "rounds of communication",
    "bytes_max": "bytes sent by the busiest node",
    "seconds": "seconds, observation excluded",
}
"""The costs, by their columns in trace.csv."""

EPOCHS = "epochs"
"""A cost that is no column: passes over the node's own samples."""

# Okabe and Ito's colors, told apart by color-blind readers; styles and markers tell lines apart in gray
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLES = len(COLORS) * len(_LINES)
"""Lines that can be told apart in one panel."""

Array = NDArray[np.float64]


def style(i: int) -> dict[str, Any]:
    """Color, line and marker of the i-th line in a panel."""
    return {
        "color": COLORS[i % len(COLORS)],
        "linestyle": _LINES[i % len(_LINES)],
        "marker": _MARKERS[i % len(_MARKERS)],
    }


@dataclass(frozen=True)
class Curve:
    """A line: costs by column, and the metric `y`, each (points,); `band` is the range over runs, (2, points)."""

    label: str
    costs: Mapping[str, Array]
    y: Array
    band: Array | None = None


def draw_curves(panel: Axes, curves: Sequence[Curve], metric: str, key: str, references: Mapping[str, float]) -> list[Artist]:
    """Draw the curves against the cost `key`, and levels to compare with. Returns what a legend shows, a handle a curve."""
    handles: list[Artist] = []
    log = key in ("rounds", "bytes_max")
    reach: list[float] = []
    for i, curve in enumerate(curves):
        x = np.asarray(curve.costs[key])
        # a logarithmic axis starts where the first byte was sent
        kept = x > 0 if log else np.ones(len(x), dtype=bool)
        reach += x[kept].tolist()
        handles += panel.plot(
            x[kept],
            curve.y[kept],
            **style(i),
            markersize=4,
            markevery=max(1, int(kept.sum()) // 10),
        )
        if curve.band is not None:
            low, high = curve.band[:, kept]
            panel.fill_between(x[kept], low, high, color=COLORS[i % len(COLORS)], alpha=0.2, linewidth=0)
    for value in references.values():
        handles.append(panel.axhline(value, color="gray", linewidth=1))
    if not METRICS[metric].higher_is_better:
        panel.set_yscale("log")
    if log and reach:
        panel.set_xscale("log")
        _label_decades(panel.xaxis, max(reach) / min(reach), key)
    elif log:
        panel.text(0.5, 0.5, "nothing was sent", transform=panel.transAxes, ha="center", color="0.4")
        panel.set_xticks([])
    panel.set_xlabel(AXES.get(key, key))
    panel.grid(True, alpha=0.3)
    return handles


def _label_decades(axis: XAxis, span: float, key: str) -> None:
    """370 MB rather than 3.7e8, and a number at least where the axis is shorter than a decade."""
    axis.set_major_locator(LogLocator(subs=(1.0,) if span > 100 else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(EngFormatter(unit="B") if key == "bytes_max" else StrMethodFormatter("{x:,.0f}"))
    axis.set_minor_formatter(NullFormatter())


def add_legend(holder: Axes | Figure, handles: Sequence[Artist], labels: Sequence[str], **where: Any) -> None:
    """A legend that shows any label as it is: `$` begins no formula and `_` hides nothing."""
    # put in afterwards: matplotlib leaves out what begins with an underscore
    legend = holder.legend(handles, [str(i) for i in range(len(labels))], fontsize="small", **where)
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_parse_math(False)
        text.set_text(label)


def labels_of(curves: Sequence[Curve], references: Mapping[str, float]) -> list[str]:
    """What the legend says, in the order of `draw_curves`' handles."""
    return [*(curve.label for curve in curves), *(name.replace("_", " ") for name in references)]


def curve(label: str, rows: Sequence[Mapping[str, float]], metric: str) -> Curve:
    """The curve of one method's rows."""
    rows = [row for row in rows if metric in row]
    return Curve(label, {key: np.array([r[key] for r in rows]) for key in AXES}, np.array([r[metric] for r in rows]))


def save_figures(folder: Path) -> list[Path]:
    """Draw `METRIC.png` for the run's leading metrics: three panels, against iterations, bytes and seconds."""
    about, trace, traffic = read_about(folder), read_trace(folder), read_traffic(folder)
    modeled = {label: " (bytes modeled)" if traffic[label].collective else "" for label in trace if label in traffic}
    keys = ("step", "bytes_max", "seconds")
    figures = []
    for name in leading(next(iter(trace.values()))[-1]):
        figure = Figure(figsize=(13, 4), layout="constrained")
        panels = figure.subplots(1, len(keys), sharey=True)
        references = {key: value for key, value in about.references.items() if name in key}
        curves = [curve(label + modeled.get(label, ""), rows, name) for label, rows in trace.items()]
        handles = [draw_curves(panel, curves, name, key, references) for panel, key in zip(panels, keys, strict=True)]
        panels[0].set_ylabel(textwrap.fill(METRICS[name].help, 40))
        if about.abreast:
            panels[keys.index("seconds")].set_xlabel("seconds of all methods together, observation excluded")
        add_legend(panels[0], handles[0], labels_of(curves, references))
        figure.suptitle(f"{about.name}: {about.graph.nodes} nodes, gamma {about.graph.gamma:.3f}", fontsize="medium")
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=130)
        figures.append(path)
    return figures

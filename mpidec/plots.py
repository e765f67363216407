"""Pictures of a run, from its folder: error against iterations, bytes and seconds. Rank 0 only."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # ranks have no screen
import matplotlib.pyplot as plt

from mpidec.metrics import METRICS, leading
from mpidec.report import modeled_methods, read_trace

# Okabe and Ito's colors, told apart by color-blind readers; styles and markers tell lines apart in gray
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_AXES = (
    ("step", "iteration"),
    ("bytes_max", "bytes sent by the busiest node"),
    ("seconds", "seconds, observation excluded"),
)


def save_figures(folder: Path) -> list[Path]:
    """Draw `METRIC.png` for the run's leading metric: three panels, against iterations, bytes and seconds."""
    trace, modeled = read_trace(folder), modeled_methods(folder)
    about: dict[str, Any] = json.loads((folder / "run.json").read_text())
    figures = []
    for name in leading(next(iter(trace.values()))[-1]):
        figure, panels = plt.subplots(1, len(_AXES), figsize=(13, 4), sharey=True, layout="constrained")
        for panel, (key, text) in zip(panels, _AXES, strict=True):
            _draw(panel, trace, modeled, name, key)
            panel.set_xlabel(text)
            panel.grid(True, alpha=0.3)
        for reference, value in about.get("references", {}).items():
            if name in reference:
                for panel in panels:
                    panel.axhline(value, color="gray", linewidth=1, label=reference.replace("_", " "))
        panels[0].set_ylabel(textwrap.fill(METRICS[name].help, 40))
        panels[0].legend(fontsize="small")
        facts = about["graph"]
        figure.suptitle(f"{about['name']}: {facts['nodes']} nodes, gamma {facts['gamma']:.3f}", fontsize="medium")
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=130)
        plt.close(figure)
        figures.append(path)
    return figures


def _draw(panel: Any, trace: dict[str, list[dict[str, float]]], modeled: set[str], name: str, key: str) -> None:
    for i, (label, rows) in enumerate(trace.items()):
        points = [(row[key], row[name]) for row in rows if name in row]
        # a byte axis starts where the first byte was sent
        points = [(x, y) for x, y in points if not (key == "bytes_max" and x == 0)]
        panel.plot(
            *zip(*points, strict=True),
            label=f"{label} (bytes modeled)" if label in modeled else label,
            color=_COLORS[i % len(_COLORS)],
            linestyle=_LINES[i % len(_LINES)],
            marker=_MARKERS[i % len(_MARKERS)],
            markersize=4,
            markevery=max(1, len(points) // 10),
        )
    if not METRICS[name].higher_is_better:
        panel.set_yscale("log")
    if key == "bytes_max":
        panel.set_xscale("log")

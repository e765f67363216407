"""Pictures of statement 2: rounds and bytes against log10(1/eps)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from mpidec.html.parts import Cell, Picture, Table
from mpidec.html.svg import svg
from mpidec.lines import Line
from mpidec.plots import COLORS

Rounds = Mapping[int, int | None]
"""The fewest rounds by decade; None beyond the ladder."""

_SHAPES = ("o", "s", "^", "D")
_DIRECT = "rounds an iteration"


def to_eps(lines: Mapping[str, tuple[Sequence[Rounds], Sequence[Line | None]]], slack: str) -> Picture:
    """The fewest rounds to eps: filled marks are measured (median over seeds), hollow ones extrapolated by a seed's line."""
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    panel = figure.subplots()
    rows: list[list[Cell]] = []
    words = []
    for i, (name, (seeds, fits)) in enumerate(lines.items()):
        color, shape = COLORS[i % len(COLORS)], _SHAPES[i % len(_SHAPES)]
        decades = sorted({k for one in seeds for k in one})
        measured: list[tuple[int, float]] = []
        guessed: list[tuple[int, float]] = []
        for k in decades:
            own = [one[k] for one in seeds]
            guesses = [None if line is None else line.at(k) for line in fits]
            values = [float(x) for n, guess in zip(own, guesses, strict=True) if (x := guess if n is None else n) is not None]
            if not values:
                continue
            beyond = sum(n is None for n in own)
            (guessed if beyond else measured).append((k, float(np.median(values))))
            kind = f"extrapolated in {beyond} of {len(own)} seeds" if beyond else "measured"
            rows.append([f"{name}, eps 1e-{k}", float(np.median(values)), min(values), max(values), kind])
        if measured:
            panel.plot(*zip(*measured, strict=True), color=color, marker=shape, label=name)
            (first, low), (last, high) = measured[0], measured[-1]
            words.append(f"{name} from {low:g} at 1e-{first} to {high:g} at 1e-{last}")
        if guessed:
            guide = [*measured[-1:], *guessed]
            panel.plot(*zip(*guide, strict=True), color=color, linestyle=":")
            panel.plot(*zip(*guessed, strict=True), color=color, marker=shape, linestyle="", markerfacecolor="white")
    panel.set_xlabel("log10(1/eps)")
    panel.set_ylabel(_DIRECT)
    panel.set_ylim(bottom=0)
    panel.grid(True, alpha=0.3)
    panel.legend(fontsize="small")
    heading = "Fewest gossip rounds an iteration that reach eps"
    caption = f"{heading} {slack}; median over seeds. Hollow marks on dotted lines are extrapolated, beyond the ladder tried."
    head = ("method and eps", _DIRECT, "smallest", "largest", "how it is known")
    return Picture(svg(figure, "claim-rounds", heading, "; ".join(words) + "."), caption, Table(heading, head, rows))


@dataclass(frozen=True)
class Spent:
    """What one seed spent until 10^-decade: `sent`: bytes of the busiest node with the initialization, without; of all."""

    family: str
    seed: int
    decade: int
    rounds: int
    sent: Sequence[float | None]


def to_accuracy(spent: Sequence[Spent], slack: str) -> Picture:
    """Bytes of the busiest node to eps, with the initialization and without; every number in the table."""
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    families = list(dict.fromkeys(one.family for one in spent))
    for panel, column, title in zip(panels, (0, 1), ("with the initialization", "without it"), strict=True):
        for i, family in enumerate(families):
            by_decade: dict[int, list[float]] = {}
            for one in spent:
                value = one.sent[column]
                if one.family == family and value is not None:
                    by_decade.setdefault(one.decade, []).append(value)
            points = sorted((k, float(np.median(values))) for k, values in by_decade.items())
            if points:
                shape = _SHAPES[i % len(_SHAPES)]
                panel.plot(*zip(*points, strict=True), color=COLORS[i % len(COLORS)], marker=shape, label=family)
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(EngFormatter(unit="B"))
        panel.set_xlabel("log10(1/eps)")
        panel.set_title(title, fontsize="medium")
        panel.grid(True, alpha=0.3)
    panels[0].set_ylabel("bytes of the busiest node until eps")
    panels[0].legend(fontsize="small")
    heading = "Bytes of the busiest node until eps, with the fewest rounds an iteration that reach it"
    columns = ("method, seed and eps", _DIRECT, "bytes of the busiest node", "without initialization")
    head = (*columns, "bytes of all nodes", "of all without initialization")
    rows: list[list[Cell]] = [[f"{one.family}, seed {one.seed}, 1e-{one.decade}", one.rounds, *one.sent] for one in spent]
    caption = f"{heading} {slack}; median over the seeds that reach it."
    return Picture(svg(figure, "claim-bytes-to-eps", heading, caption), caption, Table(heading, head, rows))

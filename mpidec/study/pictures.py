"""Pictures of a study: errors along the first axis of numbers, and what every step size came to."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from mpidec.html.parts import Cell, Picture, Table, many
from mpidec.html.svg import svg
from mpidec.metrics import METRICS
from mpidec.plots import add_legend, style
from mpidec.study.file import Study
from mpidec.study.judging import Result
from mpidec.study.targets import COSTS, Reached
from mpidec.study.tuning import Tuned

_COLUMNS, _PANELS = 3, 12
_TICKS = 8  # that have room for their numbers
_COSTS = {"rounds": "exchanges", "bytes_max": "bytes of the busiest node", "seconds": "seconds"}


def errors(study: Study, found: Sequence[Result]) -> Picture:
    """The metric of each method along the first axis of numbers, a panel for each choice of the others; without such an axis
    the methods stand side by side.
    """
    along = next((key for key in study.keys if _numbers(study, key)), None)
    panels: dict[str, list[Result]] = {}
    for result in found:
        around = ", ".join(f"{key} {value}" for key, value in study.around(result.point, along).items())
        panels.setdefault(around, []).append(result)
    figure, places = _panels(len(panels))
    ticks = sorted({float(point.varied[along]) for point in study.points}) if along else []
    for place, (title, own) in zip(places, panels.items(), strict=False):
        handles = []
        for i, method in enumerate(study.methods):
            points = [r for r in own if r.method == method and math.isfinite(r.estimate.mean)]
            x = [float(r.point.varied[along]) if along else float(i) for r in points]
            y = [r.estimate.mean for r in points]
            halves = [r.estimate.high - r.estimate.mean for r in points]
            bars = None if any(map(math.isnan, halves)) else halves
            handles.append(place.errorbar(x, y, yerr=bars, capsize=3, markersize=4, **style(i)))
        _scales(place, study, bool(ticks) and ticks[0] > 0)
        if len(ticks) <= _TICKS:
            place.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize="small")
            place.set_xticks([], minor=True)
        place.set_title(textwrap.fill(title, 28), fontsize="small", parse_math=False)
        place.set_xlabel(along or "")
    places[0].set_ylabel(study.file.metric)
    add_legend(figure, handles, study.methods, loc="outside lower center", ncols=4)
    heading = f"{study.file.metric} after the last step, step sizes tuned"
    cells: list[list[Cell]] = [
        [f"{r.point.name}: {r.method}", r.step_size, r.estimate.mean, r.estimate.low, r.estimate.high, r.bytes_max]
        for r in found
    ]
    head = ("point and method", "step size", study.file.metric, "low", "high", "bytes of the busiest node")
    caption = f"{heading}; means over {study.file.seeds} seeds with 95 % intervals."
    words = "; ".join(f"{r.point.name} {r.method} {r.estimate.mean:.3g}" for r in found)
    return Picture(svg(figure, "study-errors", heading, words + "."), caption, Table(heading, head, cells))


def sensitivity(study: Study, tuned: Mapping[str, Tuned]) -> Picture:
    """What every step size came to in each heat, points in panels; the last heat's marks are filled."""
    names = list(tuned)[:_PANELS]
    figure, places = _panels(len(names))
    last = study.file.tune.heats - 1
    for place, name in zip(places, names, strict=False):
        handles = []
        for i, method in enumerate(study.methods):
            for heat in range(last + 1):
                own = [t for t in tuned[name].trials if (t.method, t.heat) == (method, heat) and math.isfinite(t.value)]
                own.sort(key=lambda t: t.step_size)
                halves = [t.estimate.high - t.value for t in own]
                drawn = place.errorbar(
                    [t.step_size for t in own],
                    [t.value for t in own],
                    yerr=None if any(map(math.isnan, halves)) else halves,
                    **style(i) | ({} if heat == last else {"markerfacecolor": "white"}),
                    linewidth=0.8,
                    markersize=4,
                )
            handles.append(drawn)
        _scales(place, study, True)
        place.set_title(textwrap.fill(name, 28), fontsize="small", parse_math=False)
        place.set_xlabel("step size")
    places[0].set_ylabel(study.file.metric)
    add_legend(figure, handles, study.methods, loc="outside lower center", ncols=4)
    heading = "What the step sizes came to while they were tuned"
    cells: list[list[Cell]] = []
    for name, chosen in tuned.items():
        for t in chosen.trials:
            value = t.value if math.isfinite(t.value) else "diverged"
            named = f"{name}: {t.method}, {t.step_size:g}"
            cells.append([named, t.heat + 1, t.steps, value, t.estimate.low, t.estimate.high])
    caption = (
        f"{heading}: means over {many(study.file.tune.seeds, 'seed')}; hollow marks are shorter heats, filled ones the last; "
    )
    caption += "what diverged is in the table alone."
    if len(tuned) > len(names):
        caption += f" Drawn are the first {len(names)} of {len(tuned)} points."
    head = ("point, method and step size", "heat", "steps", study.file.metric, "low", "high")
    return Picture(svg(figure, "study-tuning", heading, caption), caption, Table(heading, head, cells))


def costs(study: Study, reached: Sequence[Reached]) -> list[Picture]:
    """Rounds, bytes and seconds to each target, a picture a point."""
    pictures = []
    for number, point in enumerate(study.points if reached else ()):
        own = [one for one in reached if one.point == point.name]
        figure, places = _panels(len(COSTS))
        for place, name in zip(places, COSTS, strict=True):
            for i, method in enumerate(study.methods):
                points = [(one.target, one.costs[name]) for one in own if one.method == method and one.costs[name] is not None]
                x, y = [target for target, _ in points], [cost for _, cost in points]
                place.plot(x, y, label=method, **style(i))
            place.set_xscale("log")
            place.set_yscale("log")
            place.invert_xaxis()
            place.grid(True, alpha=0.3)
            place.set_xlabel(study.file.metric)
            place.set_title(_COSTS[name], fontsize="medium")
        places[0].legend(fontsize="small")
        heading = f"Cost to reach a target, {point.name}"
        cells: list[list[Cell]] = [
            [f"{one.method} to {one.target:g}", f"{one.seeds} of {one.of}", *(one.costs[name] for name in COSTS)] for one in own
        ]
        head = ("method and target", "seeds that reach it", *(_COSTS[name] for name in COSTS))
        caption = f"{heading}: medians over seeds, with the step sizes tuned for the end of the run; none where most never do."
        picture = svg(figure, f"study-costs{number}", heading, caption)
        pictures.append(Picture(picture, caption, Table(heading, head, cells)))
    return pictures


def _numbers(study: Study, key: str) -> bool:
    values = [point.varied[key] for point in study.points]
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values) and len(set(values)) > 1


def _panels(count: int) -> tuple[Figure, list[Any]]:
    columns = min(_COLUMNS, count)
    lines = -(-count // columns)
    figure = Figure(figsize=(9.2 if columns > 1 else 6.4, 3.4 * lines), layout="constrained")
    places = list(figure.subplots(lines, columns, squeeze=False).flat)
    for place in places[count:]:
        place.set_axis_off()
    return figure, places


def _scales(place: Any, study: Study, positive: bool) -> None:
    if positive:
        place.set_xscale("log")
    if not METRICS[study.file.metric].higher_is_better:
        place.set_yscale("log")
    place.grid(True, alpha=0.3)

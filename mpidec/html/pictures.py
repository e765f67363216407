"""The page's pictures, each with a caption, a description in numbers, and a table of what it shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mpidec.graph.base import Adjacency
from mpidec.html.collect import Run
from mpidec.html.figures import LARGEST, TIMES, error_figure, graph_figure, human_bytes, time_figure, traffic_figure
from mpidec.html.parts import ROWS, Cell, Picture, Table, many, ranged
from mpidec.html.series import UNTOLD, Series, Spread
from mpidec.html.svg import svg
from mpidec.metrics import METRICS
from mpidec.plots import AXES

DRAWN = 6
"""Graphs, and maps of links, that are drawn; tables have the rest."""

_PANELS = 8  # of a map, at most
_LINKS = 240  # rows in the table of a map


def graphs(runs: Sequence[Run]) -> tuple[list[Picture], Table]:
    """Each graph once, drawn while there is room, and the facts of all."""
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        key = run.about.ranks, run.edges.tobytes(), run.settings.get("graph.topology"), run.settings.get("graph.mixing")
        groups.setdefault(key, []).append(run)
    pictures: list[Picture] = []
    facts: list[list[Cell]] = []
    for members in groups.values():
        run = members[0]
        about, graph = run.about.graph, Adjacency.from_edges(run.about.ranks, run.edges)
        names = ", ".join(member.name for member in members)
        said = f"{run.settings.get('graph.topology')}, weights {run.settings.get('graph.mixing')}"
        least, most, mean = int(graph.degrees.min()), int(graph.degrees.max()), float(graph.degrees.mean())
        low, high = about.diameter_low, about.diameter_high
        diameter = str(low) if low == high else f"{low} to {high}"
        row: list[Cell] = [names, said, graph.nodes, len(run.edges), least, mean, most, diameter, about.gamma]
        facts.append([*row, about.gap])
        if len(pictures) < DRAWN and graph.nodes <= LARGEST:
            degrees = f"degrees {least} to {most}" if least < most else f"degree {most}"
            size = f"{many(graph.nodes, 'node')}, {many(len(run.edges), 'edge')}, {degrees}"
            caption = f"{names}: {said}; {size}, diameter {diameter}, gamma {about.gamma:.4g}."
            name = f"graph{len(pictures)}"
            drawing = svg(graph_figure(graph), name, f"The graph of {names}", caption)
            rows: list[list[Cell]] = [[f"node {i}", len(own), " ".join(map(str, own))] for i, own in _neighbors(graph)]
            table = Table(f"Degrees and neighbors in {run.name}", ("node", "degree", "neighbors"), rows)
            pictures.append(Picture(drawing, caption, table))
    head = ("runs", "graph", "nodes", "edges", "least degree", "mean degree", "largest degree", "diameter", "gamma", "gap")
    note = "each round of gossip shrinks the disagreement by the factor gamma or more; gap = 1 - gamma"
    return pictures, Table(f"Facts of each graph: {note}", head, facts)


def _neighbors(graph: Adjacency) -> Iterator[tuple[int, tuple[int, ...]]]:
    for i in range(graph.nodes):
        yield i, graph.neighbors(i)


def error(several: Sequence[Series], metric: str) -> Picture | None:
    """A metric against all costs, for the series that have it; None where none has."""
    several = [one for one in several if metric in one.runs[0].trace[one.method][-1] and one.steps()]
    if not several:
        return None
    references: dict[str, float] = {}
    for run in (run for one in several for run in one.runs):
        references |= {name: value for name, value in run.about.references.items() if metric in name}
    over = any(len(one.runs) > 1 for one in several)
    name = metric.replace("_", " ")
    rows: list[list[Cell]] = []
    words, thinned = [], False
    for one in several:
        steps, spread = one.steps(), one.spread(metric)
        costs = {key: one.spread(key).median for key in AXES}
        kept = np.unique(np.linspace(0, len(steps) - 1, min(ROWS, len(steps))).round().astype(int))
        thinned |= len(kept) < len(steps)
        for i in kept:
            numbers = [*(float(cost[i]) for cost in costs.values()), float(spread.median[i])]
            rows.append([one.label, *numbers, *([float(spread.low[i]), float(spread.high[i])] if over else [])])
        first, last = (METRICS[metric].shown(float(spread.median[i])) for i in (0, -1))
        spent = f"{steps[-1]:,.0f} iterations, {costs['rounds'][-1]:,.0f} rounds, {human_bytes(costs['bytes_max'][-1])}"
        words.append(f"{one.label} goes from {first} to {last} in {spent} and {costs['seconds'][-1]:.3g} s")
    heading = f"{name.capitalize()} against iterations, rounds, bytes of the busiest node and seconds"
    caption = f"{heading}."
    if over:
        caption += (
            " Lines are medians of error and cost over runs that differ by the seed, bands the range of the error, at the"
        )
        caption += " iterations that all runs have."
    head = ["method", "iteration", "rounds", "bytes of the busiest node", "seconds"]
    head += [f"{name}, median", "smallest", "largest"] if over else [name]
    note = f"; {ROWS} rows a method, evenly spaced: all are in trace.csv" if thinned else ""
    drawing = svg(error_figure(several, metric, references), f"error-{metric}", heading, "; ".join(words) + ".")
    return Picture(drawing, caption, Table(f"{name.capitalize()} and what it cost until then{note}", head, rows))


def traffic_maps(several: Sequence[Series]) -> list[Picture]:
    """Counted bytes by link, for the first run of each choice of settings beside the methods'."""
    chosen: dict[str, Run] = {}
    for run in (run for one in several for run in one.runs):
        around = {key: value for key, value in run.settings.items() if key not in UNTOLD}
        if run.traffic and run.about.ranks <= LARGEST:
            chosen.setdefault(repr(sorted(around.items())), run)
    pictures: list[Picture] = []
    for run in chosen.values():
        if len(pictures) < DRAWN and any(traffic.links for traffic in run.traffic.values()):
            pictures.append(_traffic_map(run, f"map{len(pictures)}"))
    return pictures


def _traffic_map(run: Run, name: str) -> Picture:
    maps, words, links = {}, [], []
    for label, traffic in run.traffic.items():
        if traffic.links:
            maps[label] = np.zeros((run.about.ranks, run.about.ranks), dtype=np.int64)
            for link, sent in traffic.links.items():
                maps[label][link] = sent
            links += [(sent, label, link) for link, sent in traffic.links.items()]
            least, most = human_bytes(min(traffic.links.values())), human_bytes(max(traffic.links.values()))
            each = f"{least} each" if least == most else f"{least} to {most} each"
            words.append(f"{label}: {human_bytes(sum(traffic.links.values()))} over {many(len(traffic.links), 'link')}, {each}")
    kept = links
    note = ""
    if len(links) > _LINKS:
        kept = sorted(links, key=lambda entry: -entry[0])[:_LINKS]
        note = f"; the {_LINKS} busiest of {len(links):,}, all are in {run.name}/ledger.csv"
    rows: list[list[Cell]] = [[f"{label}: {a} to {b}", sent] for sent, label, (a, b) in kept]
    heading = f"Bytes from rank to rank in {run.name}"
    caption = f"{heading}, initialization and iterations; a white square stands for no message."
    if len(maps) > _PANELS:
        caption += f" Drawn are {_PANELS} of {len(maps)} methods, evenly spaced."
        drawn = {list(maps)[round(i)] for i in np.linspace(0, len(maps) - 1, _PANELS)}
        maps = {label: sent for label, sent in maps.items() if label in drawn}
    drawing = svg(traffic_figure(maps), name, heading, "; ".join(words) + ".")
    return Picture(drawing, caption, Table(f"{heading}{note}", ("method and link", "bytes sent"), rows))


def times(several: Sequence[Series]) -> Picture:
    """The clock's readings at the end of each series, and what follows from them."""
    rows: list[list[Cell]] = []
    words = []
    for one in several:
        ends = [run.trace[one.method][-1] for run in one.runs]
        # the rank that computes longest is in exchanges for the rest of its time at most: others are that much longer in them
        apart = [max(0.0, row["compute_seconds"] + row["comm_seconds"] - row["seconds"]) for row in ends]
        start = Spread.of([run.trace[one.method][0]["seconds"] for run in one.runs])
        whole, outside, inside = (one.last(key) for key in TIMES)
        middle = [float(spread.median) for spread in (whole, outside, inside, start, Spread.of(apart))]
        rows.append([one.label, *middle, ranged(whole, "{:.3g}".format)])
        words.append(f"{one.label}: {middle[0]:.3g} s in all, {middle[1]:.3g} s outside and {middle[2]:.3g} s inside exchanges")
    head = ["method", *(f"seconds {text}" for text in TIMES.values())]
    head += ["of these initialization", "ranks differ inside exchanges by at least", "in all, over the runs"]
    heading = "Seconds of each method by the clock of its ranks"
    over = any(len(one.runs) > 1 for one in several)
    caption = heading + (": medians over runs that differ by the seed, whiskers their range." if over else ".")
    drawing = svg(time_figure(several), "time", heading, "; ".join(words) + ".")
    return Picture(drawing, caption, Table("Seconds at the end of each method, each the largest of any rank", head, rows))

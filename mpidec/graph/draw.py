"""Pictures of a graph, its nodes colored by degree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError
from mpidec.graph.base import Adjacency
from mpidec.graph.diameter import distances
from mpidec.graph.facts import GraphFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LARGEST = 2_000
"""Nodes above which a picture shows nothing but ink."""

Positions = Mapping[int, NDArray[np.float64]]
"""Where each node is put, (2,)."""


def draw_graph(axes: Axes, adjacency: Adjacency, positions: Positions | None = None) -> None:
    """Draw the graph on `axes`, with a bar that explains the colors where degrees differ.

    The layout is the same on every call. Raises InputError above `LARGEST` nodes.
    """
    import networkx as nx
    from matplotlib.collections import PathCollection
    from matplotlib.ticker import MaxNLocator

    nodes = adjacency.nodes
    if nodes > LARGEST:
        raise InputError(f"picture of the graph: got {nodes} nodes, wanted at most {LARGEST}; leave the picture out")
    graph: Any = nx.Graph()
    graph.add_nodes_from(range(nodes))
    graph.add_edges_from(adjacency.edges().tolist())
    if positions is None:
        positions = _layout(graph, adjacency)
    degrees = adjacency.degrees
    size = max(6.0, min(260.0, 9000 / nodes))
    nx.draw_networkx_edges(graph, positions, ax=axes, edge_color="0.5", width=min(1.0, 0.3 + 20 / nodes))
    points: PathCollection = nx.draw_networkx_nodes(
        graph,
        positions,
        ax=axes,
        node_color=degrees.tolist(),
        cmap="cividis",  # made to look alike to readers with and without color vision deficiency
        vmin=degrees.min(),
        vmax=max(degrees.max(), degrees.min() + 1),
        node_size=size,
        edgecolors="black",
        linewidths=0.5 if nodes <= 200 else 0.1,
    )
    if nodes <= 40:
        middle = (degrees.min() + max(degrees.max(), degrees.min() + 1)) / 2
        for i in range(nodes):
            color = "black" if degrees[i] > middle else "white"
            axes.text(positions[i][0], positions[i][1], str(i), ha="center", va="center", fontsize=7, color=color)
    if degrees.min() < degrees.max() and axes.figure is not None:
        axes.figure.colorbar(points, ax=axes, shrink=0.7, label="degree", ticks=MaxNLocator(integer=True))
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_axis_off()


def save_graph(path: Path | str, adjacency: Adjacency, facts: GraphFacts, title: str) -> None:
    """Write a picture of the graph headed by `title`, its number of nodes and gamma.

    Raises InputError for a name that does not end in .png or .svg, a file that cannot be written, and above `LARGEST`
    nodes.
    """
    from matplotlib.figure import Figure

    path = Path(path)
    if path.suffix.lower() not in (".png", ".svg"):
        raise InputError(f"picture {path}: got the suffix {path.suffix!r}, wanted .png or .svg")
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    draw_graph(axes, adjacency)
    axes.set_title(f"{title}: {facts.nodes} nodes, gamma {facts.gamma:.4g}")
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise InputError(f"picture {path}: cannot be written: {error.strerror}; choose another place") from None


def _layout(graph: Any, adjacency: Adjacency) -> Positions:
    """Places whose distances on paper follow those in the graph.

    Distances to some nodes far from one another give a first layout (Brandes and Pich, Eigensolver methods for
    progressive multidimensional scaling, 2007). On small graphs stress is minimized from a circle, which suits rings
    and dense graphs, and from that layout, which is taken where it is clearly better: grids come out folded from a
    circle. On larger ones, where that takes long, a few rounds of springs pull apart nodes that fell on one another.
    """
    import networkx as nx

    if adjacency.nodes < 3:
        single: Positions = nx.circular_layout(graph)
        return single
    pivots, far = _far_apart(adjacency)
    squares = far.astype(np.float64) ** 2
    centered = squares - squares.mean(axis=0) - squares.mean(axis=1, keepdims=True) + squares.mean()
    U, lengths, _ = np.linalg.svd(centered, full_matrices=False)
    places = U[:, :2] * np.sqrt(lengths[:2])
    places = places / np.abs(places).max() + np.random.default_rng(0).normal(0, 0.005, places.shape)
    first = dict(enumerate(places))
    if adjacency.nodes > 100:
        springs: Positions = nx.spring_layout(graph, pos=first, seed=0, iterations=15)
        return springs

    def spread(layout: Positions) -> float:
        """How unequal the scale is from one pair of nodes to the next."""
        points = np.array([layout[i] for i in graph])
        scale = np.linalg.norm(points[:, None] - points[pivots], axis=2)[far > 0] / far[far > 0]
        return float(scale.std() / scale.mean())

    circle, planned = (nx.kamada_kawai_layout(graph, pos=start) for start in (nx.circular_layout(graph), first))
    return planned if spread(planned) < 0.75 * spread(circle) else circle


def _far_apart(adjacency: Adjacency) -> tuple[list[int], NDArray[np.int64]]:
    """At most 50 nodes, each the farthest from those before it, and the distances from all to them, (nodes, 50)."""
    matrix = adjacency.matrix()
    pivots, columns = [int(adjacency.degrees.argmax())], []
    nearest = np.full(adjacency.nodes, adjacency.nodes)
    for _ in range(min(50, adjacency.nodes)):
        columns.append(distances(matrix, pivots[-1]))
        nearest = np.minimum(nearest, columns[-1])
        pivots.append(int(nearest.argmax()))
    return pivots[:-1], np.column_stack(columns)

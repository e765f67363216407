"""The table of topologies, and the whole graph of one as adjacency lists.

A new topology is a frozen dataclass under `Structured` or `Drawn` and a line in `TOPOLOGIES`.
"""

from __future__ import annotations

import itertools

import numpy as np

from mpidec.graph.base import Adjacency, Drawn, Structured, Topology
from mpidec.graph.edge_list import EdgeList
from mpidec.graph.random import BarabasiAlbert, ErdosRenyi, RandomRegular, WattsStrogatz
from mpidec.graph.structured import Complete, Exponential, Grid, Hypercube, Path, Ring, Star, Torus

__all__ = ["TOPOLOGIES", "Adjacency", "Drawn", "Structured", "Topology", "adjacency"]

_CLASSES: tuple[type[Topology], ...] = (
    Ring,
    Path,
    Grid,
    Torus,
    Hypercube,
    Exponential,
    Complete,
    Star,
    ErdosRenyi,
    WattsStrogatz,
    BarabasiAlbert,
    RandomRegular,
    EdgeList,
)

TOPOLOGIES: dict[str, type[Topology]] = {cls.name: cls for cls in _CLASSES}


def adjacency(topology: Topology, nodes: int, seed: int) -> Adjacency:
    """The whole graph, for analysis, plots and predictions; `seed` matters to random topologies alone.

    Raises InputError where the topology does not fit `nodes`, or the graph is disconnected.
    """
    topology.check(nodes)
    if isinstance(topology, Structured):
        lists = [topology.neighbors(i, nodes) for i in range(nodes)]
        indptr = np.zeros(nodes + 1, dtype=np.int64)
        np.cumsum([len(around) for around in lists], out=indptr[1:])
        indices = np.fromiter(itertools.chain.from_iterable(lists), dtype=np.int64, count=int(indptr[-1]))
        graph = Adjacency(indptr, indices)
    else:
        assert isinstance(topology, Drawn)
        graph = topology.draw(nodes, seed)
    graph.require_connected(topology.name)
    return graph

"""What the ranks begin with: their parts of the graph and of the problem, and what methods talk over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mpidec.algorithms import Algorithm
from mpidec.errors import InputError
from mpidec.graph.facts import GraphFacts, graph_facts
from mpidec.graph.mixing import Mixing
from mpidec.graph.topology import TOPOLOGIES, Structured, Topology, adjacency
from mpidec.ledger import Ledger
from mpidec.link import Clock, Link
from mpidec.mpi.world import World
from mpidec.network import AllReduce, FusionCenter, Network
from mpidec.problems import ProblemSpec

if TYPE_CHECKING:
    from mpidec.mpi.abreast import Lane


@dataclass(frozen=True)
class Graph:
    """A node's own part of the graph: its neighbors, how it weighs them, and the facts that all may know."""

    neighbors: tuple[int, ...]
    mixing: Mixing
    facts: GraphFacts


def lay_graph(world: World, topology: Topology, mixing: Mixing, seed: int) -> Graph:
    """This rank's part of the graph. Collective; raises InputError on all ranks where the topology does not fit.

    Structured graphs know a node's neighbors from its number. Random ones and files are drawn on rank 0, which sends
    each rank its own row and nothing else.
    """
    world.first(lambda: topology.check(world.size))
    drawn = (
        None
        if isinstance(topology, Structured)
        else world.together(lambda: adjacency(topology, world.size, seed) if world.rank == 0 else None)
    )
    facts = world.first(lambda: graph_facts(topology, mixing, world.size, seed, drawn))
    if isinstance(topology, Structured):
        neighbors = world.together(lambda: _own_neighbors(topology, world.rank, world.size))
    else:
        rows = None if drawn is None else [drawn.neighbors(i) for i in range(world.size)]
        neighbors = world.deal(rows)
    return Graph(neighbors, mixing, facts)


def _own_neighbors(topology: Structured, node: int, nodes: int) -> tuple[int, ...]:
    """A node's neighbors; a user's topology is checked, since one-sided edges would hang the first exchange."""
    own = topology.neighbors(node, nodes)
    if type(topology) not in TOPOLOGIES.values():
        well = list(own) == sorted(set(own) - {node}) and all(0 <= j < nodes for j in own)
        if not well or any(node not in topology.neighbors(j, nodes) for j in own):
            raise InputError(
                f"{topology.name}: node {node} of {nodes} has the neighbors {own}; wanted nodes in ascending order, each "
                "once, without the node itself, and each of them having it as a neighbor too"
            )
    return own


def load_problem(world: World, spec: ProblemSpec, seed: int) -> Any:
    """This rank's shard of the problem. Collective; raises InputError on all ranks for what is wrong on any."""
    world.first(lambda: spec.check(world.size))
    public = world.first(lambda: spec.public(seed, world.size))
    return world.together(lambda: spec.load(world.rank, world.size, seed, public))


def make_network(world: World | Lane, graph: Graph, algorithm: Algorithm, ledger: Ledger, clock: Clock) -> Any:
    """What the algorithm talks over. Collective. Weights are exchanged between neighbors, on the account `setup`."""
    if algorithm.network == "all_reduce":
        return AllReduce(world.reducer(), world.rank, ledger, clock)
    if algorithm.network == "fusion_center":
        others = tuple(range(1, world.size))
        hub, leaf = (others, ()) if world.rank == 0 else ((), (0,))
        up, down = world.transport(hub, leaf), world.transport(leaf, hub)
        return FusionCenter(Link(up, ledger, clock), Link(down, ledger, clock))
    link = Link(world.transport(graph.neighbors, graph.neighbors), ledger, clock)
    if graph.mixing.needs_neighbor_degrees:
        degrees = link.exchange(link.pack(np.array([len(graph.neighbors)])))[:, 0]
        clock.comm = 0.0  # that was before the method's time
    else:
        degrees = np.zeros(len(graph.neighbors), dtype=np.int64)
    self_weight, weights = graph.mixing.row(len(graph.neighbors), degrees, graph.facts.degree_max)
    return Network(link, self_weight, weights, graph.facts.gamma if algorithm.accelerated else None)

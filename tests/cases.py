"""A small multi-task problem and its graph, shared by the contract and the parallel tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import oracles
from simnet import networks

from mpidec.algorithms import ALGORITHMS, Algorithm
from mpidec.graph.facts import GraphFacts, graph_facts
from mpidec.graph.mixing import MIXINGS
from mpidec.graph.topology import TOPOLOGIES, Adjacency
from mpidec.ledger import Ledger
from mpidec.problems import PROBLEMS

# sizes that divide by no node count in use but 1
SPEC = PROBLEMS["multitask_regression"]["synthetic"](d=12, tasks=11, rank=2, samples=9)
SEED = 3
ITERATIONS = 12
POWER_ITERATIONS = 4

# what the tests run, by label: an algorithm's name, and a word for a variant of it
OPTIONS: dict[str, dict[str, Any]] = {
    "dif_altgdmin": {"rounds": 3, "rounds_init": 6},
    "dif_altgdmin chebyshev": {"rounds": 3, "rounds_init": 5, "gossip": "chebyshev"},
    "dec_altgdmin": {"rounds": 3, "rounds_init": 6},
    "dec_altgdmin chebyshev": {"rounds": 3, "rounds_init": 5, "gossip": "chebyshev"},
    "dec_altgdmin_falling": {"most": 5, "fall": 0.4, "least": 2, "rounds_init": 6},
    "dec_altgdmin_falling chebyshev": {"most": 5, "fall": 0.6, "least": 1, "rounds_init": 5, "gossip": "chebyshev"},
    "dgd": {"rounds_init": 6},
    "altgdmin_fusion": {},
    "altgdmin_allreduce": {},
}
# whose U has as many columns as the data say
ESTIMATED: dict[str, dict[str, Any]] = {
    "dif_altgdmin rank": {"rounds": 3, "rounds_init": 6, "estimate_rank": True},
    "altgdmin_fusion rank": {"estimate_rank": True},
}
ALL = OPTIONS | ESTIMATED
for _options in ALL.values():
    _options["power_iterations"] = POWER_ITERATIONS


def class_of(label: str) -> type[Algorithm]:
    """The algorithm of a label."""
    return ALGORITHMS[label.split(maxsplit=1)[0]]


GOSSIPING = [label for label in OPTIONS if class_of(label).network == "graph"]


def graph_of(nodes: int) -> Adjacency:
    """A wheel less some spokes: irregular degrees, so that weights differ between edges."""
    edges = [(i, (i + 1) % nodes) for i in range(nodes) if nodes > 1 and (i + 1) % nodes != i]
    edges += [(0, j) for j in range(2, nodes - 1, 2)]
    return Adjacency.from_edges(nodes, np.array(sorted({(min(e), max(e)) for e in edges})).reshape(-1, 2))


def rows_of(graph: Adjacency, mixing: str = "metropolis") -> list[tuple[tuple[int, ...], float, Any]]:
    """Each node's neighbors, self weight and weights."""
    degrees = graph.degrees
    rows = []
    for i in range(graph.nodes):
        neighbors = graph.neighbors(i)
        own, weights = MIXINGS[mixing].row(len(neighbors), degrees[list(neighbors)], int(degrees.max(initial=0)))
        rows.append((neighbors, own, weights))
    return rows


def facts_of(graph: Adjacency, mixing: str = "metropolis") -> GraphFacts:
    """What is known of the graph and its mixing matrix."""
    return graph_facts(TOPOLOGIES["edge_list"](path="of a graph at hand"), MIXINGS[mixing], graph.nodes, 0, graph)


def algorithm_of(label: str, nodes: int) -> Algorithm:
    """The algorithm with the options above, bound to `graph_of(nodes)`."""
    return class_of(label)(**ALL[label]).bind(facts_of(graph_of(nodes)))


def simulated(
    label: str, rows: Sequence[tuple[tuple[int, ...], float, Any]], gamma: float | None = None
) -> list[tuple[Any, Ledger]]:
    """For each node the simulated network that the algorithm talks over, and its ledger; `gamma` by default of the rows."""
    cls = class_of(label)
    gamma = oracles.gamma_of(dense(rows)) if gamma is None else gamma
    return networks(cls.network, rows, gamma if cls(**ALL[label]).accelerated else None)


def shard(node: int, nodes: int) -> Any:
    """One node's part of the problem."""
    return SPEC.load(node, nodes, SEED, SPEC.public(SEED))


def oracle(label: str, nodes: int, W: np.ndarray) -> np.ndarray:
    """The dense method's U at every node, (L, d, r), after ITERATIONS."""
    whole = shard(0, 1)
    x0 = whole.start(SEED)
    parts = [SPEC.own_tasks(SPEC.tasks, nodes, g) for g in range(nodes)]
    name, options = label.split(maxsplit=1)[0], ALL[label] | {"iterations": ITERATIONS}
    if class_of(label).network == "graph" and hasattr(oracles, name):
        return list(getattr(oracles, name)(whole.X, whole.y, parts, W, x0, **options))[-1]
    if name in ("altgdmin_fusion", "altgdmin_allreduce"):
        U = list(oracles.altgdmin(whole.X, whole.y, x0, **options))[-1]
        return np.repeat(U, nodes, axis=0)
    raise KeyError(f"write a dense oracle for {name} in tests/oracles.py")


def run_node(label: str, network: Any, node: int, nodes: int) -> Any:
    """Initialize and step one node; the last state."""
    algorithm, problem = algorithm_of(label, nodes), shard(node, nodes)
    state = algorithm.init(network, problem, problem.start(SEED))
    for k in range(1, ITERATIONS + 1):
        state = algorithm.step(network, problem, state, k)
    return state


def dense(rows: Sequence[tuple[tuple[int, ...], float, Any]]) -> np.ndarray:
    """The mixing matrix of all rows."""
    W = np.zeros((len(rows), len(rows)))
    for i, (neighbors, own, weights) in enumerate(rows):
        W[i, list(neighbors)] = weights
        W[i, i] = own
    return W

"""Two small problems and a graph, shared by the contract and the parallel tests: multi-task for the methods on a subspace,
least squares for the stochastic ones."""

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
from mpidec.seeding import Draws

# sizes that divide by no node count in use but 1
SPEC = PROBLEMS["multitask_regression"]["synthetic"](d=12, tasks=11, rank=2, samples=9)
SMOOTH_SPEC = PROBLEMS["least_squares"]["gaussian"](d=7, zeta=3.0, sigma=0.5)
SEED = 3
ITERATIONS = 12
POWER_ITERATIONS = 4

# what the tests run, by label: an algorithm's name, and a word for a variant of it
OPTIONS: dict[str, dict[str, Any]] = {
    "dif_altgdmin": {"rounds": 3, "rounds_init": 6},
    "dif_altgdmin chebyshev": {"rounds": 3, "rounds_init": 5, "gossip": "chebyshev"},
    "dif_altgdmin start": {"rounds": 3, "rounds_init": 5, "gossip_init": "chebyshev"},
    "dec_altgdmin": {"rounds": 3, "rounds_init": 6},
    "dec_altgdmin chebyshev": {"rounds": 3, "rounds_init": 5, "gossip": "chebyshev"},
    "dec_altgdmin_falling": {"most": 5, "fall": 0.4, "least": 2, "rounds_init": 6},
    "dec_altgdmin_falling chebyshev": {"most": 5, "fall": 0.6, "least": 1, "rounds_init": 5, "gossip": "chebyshev"},
    "dec_altgdmin_falling plain start": {
        "most": 5,
        "fall": 0.6,
        "least": 1,
        "rounds_init": 6,
        "gossip": "chebyshev",
        "gossip_init": "plain",
    },
    "dgd": {"rounds_init": 6},
    "altgdmin_fusion": {},
    "altgdmin_allreduce": {},
}
# whose U has as many columns as the data say
ESTIMATED: dict[str, dict[str, Any]] = {
    "dif_altgdmin rank": {"rounds": 3, "rounds_init": 6, "estimate_rank": True},
    "altgdmin_fusion rank": {"estimate_rank": True},
}
# methods on a smooth problem
SMOOTH: dict[str, dict[str, Any]] = {
    "dat_sgd": {"step_size": 0.02},
    "dat_sgd constant": {"step_size": 0.1, "growth": 0.0},
    "dat_sgd root": {"step_size": 0.05, "growth": 0.5},
    "dat_sgd theory": {"horizon": ITERATIONS},
    "dat_sgd_momentum": {"step_size": 0.1, "momentum": 0.3},
    "dat_sgd_at_iterate": {"step_size": 0.02},
    "d_sgd": {"step_size": 0.1},
    "d_sgd_momentum": {"step_size": 0.05, "momentum": 0.8},
    "d2": {"step_size": 0.1},
    "gradient_tracking": {"step_size": 0.1},
    "local_sgd": {"step_size": 0.1, "period": 5},
    "d_amsgrad": {"step_size": 0.1, "beta1": 0.8, "beta2": 0.9, "floor": 0.01},
    "minibatch_sgd": {"step_size": 0.1},
    "anytime_minibatch_sgd": {"step_size": 0.02},
    "anytime_minibatch_sgd theory": {"horizon": ITERATIONS},
}
SPECTRAL = OPTIONS | ESTIMATED
for _options in SPECTRAL.values():
    _options["power_iterations"] = POWER_ITERATIONS
ALL = SPECTRAL | SMOOTH


def class_of(label: str) -> type[Algorithm]:
    """The algorithm of a label."""
    return ALGORITHMS[label.split(maxsplit=1)[0]]


GOSSIPING = [label for label in OPTIONS if class_of(label).network == "graph"]
SMOOTH_GOSSIPING = [label for label in SMOOTH if class_of(label).network == "graph"]


def spec_of(label: str) -> Any:
    """The problem that a label's algorithm works on."""
    return SMOOTH_SPEC if label in SMOOTH else SPEC


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


def shard(node: int, nodes: int, label: str = "dif_altgdmin") -> Any:
    """One node's part of the problem that a label's algorithm works on."""
    spec = spec_of(label)
    return spec.load(node, nodes, SEED, spec.public(SEED, nodes))


def oracle(label: str, nodes: int, W: np.ndarray) -> np.ndarray:
    """The dense method's estimate at every node, (L, d, r) or (L, d), after ITERATIONS."""
    name, options = label.split(maxsplit=1)[0], ALL[label] | {"iterations": ITERATIONS}
    if label in SMOOTH:
        return smooth_oracle(name, nodes, W, options)
    whole = shard(0, 1)
    x0 = whole.start(SEED)
    parts = [SPEC.own_tasks(SPEC.tasks, nodes, g) for g in range(nodes)]
    if class_of(label).network == "graph" and hasattr(oracles, name):
        return list(getattr(oracles, name)(whole.X, whole.y, parts, W, x0, **options))[-1]
    if name in ("altgdmin_fusion", "altgdmin_allreduce"):
        U = list(oracles.altgdmin(whole.X, whole.y, x0, **options))[-1]
        return np.repeat(U, nodes, axis=0)
    raise KeyError(f"write a dense oracle for {name} in tests/oracles.py")


def smooth_oracle(name: str, nodes: int, W: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    """The same on least squares, (L, d)."""
    shards = [shard(g, nodes, name) for g in range(nodes)]
    A, b = np.stack([s.A for s in shards]), np.stack([s.b for s in shards])
    d = A.shape[2]

    def gradients(X: np.ndarray, k: int) -> np.ndarray:
        """Rows A_g^T (A_g x_g - b_g) and the noise of step k, which follows from seed, node and step alone."""
        noise = [Draws(SEED, "gradient noise", g).at(k).standard_normal(d) for g in range(nodes)]
        residuals = np.einsum("gij,gj->gi", A, X) - b
        return np.einsum("gij,gi->gj", A, residuals) + SMOOTH_SPEC.sigma / np.sqrt(d) * np.stack(noise)

    if "horizon" in options:
        gamma = 0.0 if class_of(name).network == "all_reduce" else oracles.gamma_of(W)
        options = {"iterations": ITERATIONS}
        options["step_size"] = oracles.theory_step_size(A, b, SMOOTH_SPEC.sigma, ITERATIONS, 1 - gamma)
    P = np.full((nodes, nodes), 1 / nodes) if class_of(name).network == "all_reduce" else W
    names = {"minibatch_sgd": "d_sgd", "anytime_minibatch_sgd": "dat_sgd"}  # with exact averages they are the same
    return getattr(oracles, names.get(name, name))(gradients, P, np.zeros((nodes, d)), **options)


def run_node(label: str, network: Any, node: int, nodes: int) -> Any:
    """Initialize and step one node; the last state."""
    algorithm, problem = algorithm_of(label, nodes), shard(node, nodes, label)
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

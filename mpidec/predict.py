"""Predicted traffic: the algorithm's own code over a network that only counts, with one tiny task in place of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpidec.algorithms import Algorithm
from mpidec.graph.facts import GraphFacts
from mpidec.ledger import Ledger, Totals
from mpidec.network import AllReduce, Clock, FusionCenter, Link, Network

Array = NDArray[Any]


@dataclass(frozen=True)
class Traffic:
    """Messages and bytes that one rank sends: at initialization, and in one iteration."""

    init: Totals
    iteration: Totals


@dataclass(frozen=True)
class Prediction:
    """The busiest rank's traffic and the network's, by the ranks' number of neighbors they speak to."""

    busiest: Traffic
    init_bytes: int
    init_messages: int
    iteration_bytes: int
    iteration_messages: int

    def total_bytes(self, iterations: int) -> int:
        """Bytes all ranks send in a run of so many iterations, initialization included."""
        return self.init_bytes + iterations * self.iteration_bytes

    def busiest_bytes(self, iterations: int) -> int:
        """Bytes the busiest rank sends in such a run."""
        return self.busiest.init.bytes + iterations * self.busiest.iteration.bytes


class _Silence:
    """A Transport that sends nothing and hears zeros."""

    def __init__(self, rank: int, sources: int, destinations: int) -> None:
        self.rank = rank
        self.sources = tuple(range(1, sources + 1))
        self.destinations = tuple(range(1, destinations + 1))

    def exchange(self, x: Array) -> Array:
        return np.zeros((len(self.sources), *x.shape), x.dtype)


class _Alone:
    """A Reducer of `size` ranks of which the others bring zeros."""

    def __init__(self, size: int) -> None:
        self.size = size

    def sum(self, x: Array) -> Array:
        return x.copy()


def predict(algorithm: Algorithm, problem: Any, facts: GraphFacts, degree_counts: dict[int, int]) -> Prediction:
    """The traffic of a bound algorithm on a problem's rehearsal, for a graph with so many nodes of each degree."""
    L = facts.nodes
    roles: dict[str, dict[int, int]] = {
        "graph": degree_counts,
        "fusion_center": {0: 1, 1: L - 1},  # role 0 is the hub
        "all_reduce": {0: L},
    }
    kinds = {role: (_rehearse(algorithm, problem, L, role), number) for role, number in roles[algorithm.network].items()}
    present = [(traffic, number) for traffic, number in kinds.values() if number]
    return Prediction(
        max((traffic for traffic, _ in present), key=lambda t: (t.iteration.bytes, t.init.bytes)),
        sum(number * t.init.bytes for t, number in present),
        sum(number * t.init.messages for t, number in present),
        sum(number * t.iteration.bytes for t, number in present),
        sum(number * t.iteration.messages for t, number in present),
    )


def _rehearse(algorithm: Algorithm, problem: Any, nodes: int, role: int) -> Traffic:
    ledger, clock = Ledger(), Clock()
    network: Any
    if algorithm.network == "graph":
        link = Link(_Silence(0, role, role), ledger, clock)
        network = Network(link, 1.0 - role / (role + 1), np.full(role, 1.0 / (role + 1)))
    elif algorithm.network == "fusion_center":
        leaves = nodes - 1
        up = _Silence(role, 0 if role else leaves, 1 if role else 0)
        down = _Silence(role, 1 if role else 0, 0 if role else leaves)
        network = FusionCenter(Link(up, ledger, clock), Link(down, ledger, clock))
    else:
        network = AllReduce(_Alone(nodes), 0, ledger, clock)
    with np.errstate(all="ignore"):
        with ledger.charge("init"):
            state = algorithm.init(network, problem, problem.start(0))
        with ledger.charge("iterate"):
            algorithm.step(network, problem, state, 1)
    return Traffic(ledger.totals("init"), ledger.totals("iterate"))

"""Predicted traffic: the algorithm's own code over a network that only counts, with one tiny task in place of the data."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpidec.algorithms import Algorithm
from mpidec.errors import InputError
from mpidec.graph.facts import GraphFacts
from mpidec.ledger import Ledger, Totals
from mpidec.link import Clock, Link
from mpidec.network import AllReduce, FusionCenter

Array = NDArray[Any]


@dataclass(frozen=True)
class Steps:
    """How many steps of a run send alike, and what one node sends in each."""

    count: int
    each: Totals


@dataclass(frozen=True)
class Traffic:
    """What each of `nodes` alike nodes sends in a run, at initialization and in its steps; `who` they are."""

    who: str
    nodes: int
    init: Totals
    steps: tuple[Steps, ...]

    @property
    def rounds(self) -> int:
        """Exchanges that one of them takes part in, initialization included."""
        return self.init.rounds + sum(s.count * s.each.rounds for s in self.steps)

    @property
    def messages(self) -> int:
        """Messages that one of them sends in all."""
        return self.init.messages + sum(s.count * s.each.messages for s in self.steps)

    @property
    def bytes(self) -> int:
        """Bytes that one of them sends in all, initialization included."""
        return self.init.bytes + sum(s.count * s.each.bytes for s in self.steps)


def predict(
    algorithm: Algorithm, problem: Any, facts: GraphFacts, degree_counts: dict[int, int], iterations: int
) -> list[Traffic]:
    """The traffic of a bound algorithm on a problem's rehearsal in so many iterations, by kind of node, the busiest first.

    `degree_counts` says how many nodes of the graph there are of each degree. Of steps that the algorithm's `traffic_class`
    says send alike one is rehearsed, and the last one, to see that it is so; raises InputError where it is not.
    """
    L = facts.nodes

    def rehearse(network: Any, ledger: Ledger) -> tuple[Totals, tuple[Steps, ...]]:
        return _rehearse(algorithm, problem, iterations, network, ledger)

    if algorithm.network == "graph":
        # what goes to one neighbor goes to each
        ledger = Ledger()
        init, steps = rehearse(_Rehearsal(ledger), ledger)
        return [
            Traffic(
                f"{degree} neighbors",
                nodes,
                _times(init, degree),
                tuple(Steps(s.count, _times(s.each, degree)) for s in steps),
            )
            for degree, nodes in sorted(degree_counts.items(), reverse=True)
        ]
    if algorithm.network == "fusion_center":
        kinds = [Traffic("hub", 1, *rehearse(*_star(L, hub=True)))]
        return kinds + [Traffic("leaf", L - 1, *rehearse(*_star(L, hub=False)))][: L - 1]
    ledger = Ledger()
    return [Traffic("every node", L, *rehearse(AllReduce(_Alone(L), 0, ledger, Clock()), ledger))]


class _Rehearsal:
    """In place of a `Network` with one neighbor: books what would be sent, hears nothing, and takes no time a round."""

    def __init__(self, ledger: Ledger) -> None:
        self.rank, self.neighbors, self.degree = 0, (1,), 1
        self.self_weight, self.weights = 0.5, np.array([0.5])
        self._channel = ledger.channel((1,), (1,))

    def with_gamma(self, gamma: float | None) -> _Rehearsal:
        del gamma  # messages are the same
        return self

    def exchange(self, x: Array) -> Array:
        self._channel.count(x.nbytes)
        return np.zeros((1, *x.shape), x.dtype)

    def mix(self, *arrays: Array, rounds: int = 1) -> Any:
        self._channel.count(sum(a.nbytes for a in arrays), rounds)
        mixed = tuple(a.copy() for a in arrays)
        return mixed[0] if len(mixed) == 1 else mixed


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


def _star(nodes: int, hub: bool) -> tuple[FusionCenter, Ledger]:
    ledger, clock = Ledger(), Clock()
    many, one, none = nodes - 1, 1, 0
    up = _Silence(0, many, none) if hub else _Silence(1, none, one)
    down = _Silence(0, none, many) if hub else _Silence(1, one, none)
    return FusionCenter(Link(up, ledger, clock), Link(down, ledger, clock)), ledger


def _rehearse(
    algorithm: Algorithm, problem: Any, iterations: int, network: Any, ledger: Ledger
) -> tuple[Totals, tuple[Steps, ...]]:
    """Totals of the initialization and of the steps, by their classes in the order of their first steps."""
    alike = type(algorithm).traffic_class is Algorithm.traffic_class  # all steps: no need to look at each
    classes = {1: 0} if alike else {k: algorithm.traffic_class(k) for k in range(1, iterations + 1)}
    counts = {0: iterations} if alike else Counter(classes.values())
    with np.errstate(all="ignore"):
        with ledger.charge("init"):
            state = algorithm.init(network, problem, problem.start(0))
        largest = algorithm.at_largest()
        if largest is not algorithm:
            with ledger.charge("setup"):  # which nobody asks for
                state = largest.init(network, problem, problem.start(0))

        def totals(k: int) -> Totals:
            before = ledger.totals("iterate")
            with ledger.charge("iterate"):
                algorithm.step(network, problem, state, k)
            after = ledger.totals("iterate")
            return Totals(*(b - a for a, b in zip(astuple(before), astuple(after), strict=True)))

        first: dict[int, Totals] = {}
        for k, sort in classes.items():
            if sort not in first:
                first[sort] = totals(k)
        last = algorithm.traffic_class(iterations)
        if totals(iterations) != first[last]:
            raise InputError(
                f"{type(algorithm).__name__}: step {iterations} sends other than the first step of its traffic class {last}; "
                "override traffic_class(k) to tell such steps apart, so that their traffic can be predicted"
            )
    return ledger.totals("init"), tuple(Steps(counts[sort], each) for sort, each in first.items())


def _times(one: Totals, neighbors: int) -> Totals:
    return Totals(one.rounds, *(neighbors * n for n in (one.messages, one.bytes, one.received_messages, one.received_bytes)))

"""A simulated network for tests: threads for nodes, queues for edges. The product is message passing; this is its mirror."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mpidec.ledger import Ledger
from mpidec.link import Clock, Link
from mpidec.network import AllReduce, FusionCenter, Network

SECONDS = 60.0


class QueueTransport:
    """A Transport over queues, one an edge and direction."""

    def __init__(self, rank: int, sources: Sequence[int], destinations: Sequence[int], queues: dict[Any, Any]) -> None:
        self.rank, self.sources, self.destinations, self._queues = rank, tuple(sources), tuple(destinations), queues

    def exchange(self, x: np.ndarray) -> np.ndarray:
        for j in self.destinations:
            self._queues[self.rank, j].put(x.copy())
        rows = [self._queues[i, self.rank].get(timeout=SECONDS) for i in self.sources]
        return np.stack(rows) if rows else np.empty((0, *x.shape), x.dtype)


class BarrierReducer:
    """A Reducer over shared memory, adding in rank order."""

    def __init__(self, rank: int, size: int, parts: list[Any], barrier: threading.Barrier) -> None:
        self._rank, self.size, self._parts, self._barrier = rank, size, parts, barrier

    def sum(self, x: np.ndarray) -> np.ndarray:
        self._parts[self._rank] = x.copy()
        self._barrier.wait(SECONDS)
        result = np.sum(self._parts, axis=0)
        self._barrier.wait(SECONDS)
        return result


def _queues() -> dict[Any, Any]:
    class Queues(dict):  # type: ignore[type-arg]
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()

        def __missing__(self, key: Any) -> Any:
            with self.lock:
                return self.setdefault(key, queue.Queue())

    return Queues()


def networks(
    kind: str, rows: Sequence[tuple[Sequence[int], float, Sequence[float]]], gamma: float | None = None
) -> list[tuple[Any, Ledger]]:
    """For each node its network and ledger; `rows` holds each node's neighbors, self weight and weights."""
    size = len(rows)
    first, second = _queues(), _queues()
    parts, barrier = [None] * size, threading.Barrier(size)
    made: list[tuple[Any, Ledger]] = []
    for rank, (neighbors, self_weight, weights) in enumerate(rows):
        ledger, clock = Ledger(), Clock()
        net: Any
        if kind == "all_reduce":
            net = AllReduce(BarrierReducer(rank, size, parts, barrier), rank, ledger, clock)
        elif kind == "fusion_center":
            others = range(1, size)
            hub, leaf = (others, ()) if rank == 0 else ((), (0,))
            up, down = QueueTransport(rank, hub, leaf, first), QueueTransport(rank, leaf, hub, second)
            net = FusionCenter(Link(up, ledger, clock), Link(down, ledger, clock))
        else:
            link = Link(QueueTransport(rank, neighbors, neighbors, first), ledger, clock)
            net = Network(link, self_weight, np.asarray(weights, dtype=float), gamma)
        made.append((net, ledger))
    return made


def run_nodes(work: Callable[[int], Any], size: int) -> list[Any]:
    """work(rank) on a thread a node; the results in order, or the first exception."""
    results: list[Any] = [None] * size
    errors: list[BaseException] = []

    def node(rank: int) -> None:
        try:
            results[rank] = work(rank)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=node, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads), "a simulated node hangs"
    return results

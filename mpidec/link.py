"""What carries messages: the transports' protocol, and the link that packs, counts and times them.

Only `Transport.exchange` differs between MPI and a simulated network. Counting, timing and packing are written here once,
so two transports give the same numbers bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mpidec.ledger import Ledger

Array = NDArray[Any]


class Transport(Protocol):
    """Moves one array along the edges of a graph.

    `sources` and `destinations` are the ranks this rank hears from and speaks to, ascending, without itself; they are
    equal on an undirected graph.
    """

    @property
    def rank(self) -> int:
        """This node's number."""
        ...

    @property
    def sources(self) -> tuple[int, ...]:
        """The in-neighbors."""
        ...

    @property
    def destinations(self) -> tuple[int, ...]:
        """The out-neighbors."""
        ...

    def exchange(self, x: Array) -> Array:
        """Send `x` to every destination; return (in-degree, *x.shape), one row a source.

        The caller keeps `x` and passes the same array again for the same size: a transport may build a plan for it.
        The result belongs to the transport and holds until the next exchange of the same `x`; it may be overwritten.
        """
        ...


class Reducer(Protocol):
    """Adds one array up over all ranks: what the all-reduce yardstick needs beyond neighbors."""

    @property
    def size(self) -> int:
        """The number of ranks."""
        ...

    def sum(self, x: Array) -> Array:
        """The sum over all ranks, of x's shape, a new array."""
        ...


@dataclass
class Clock:
    """Seconds this rank spent inside exchanges, waiting included."""

    comm: float = 0.0


class Link:
    """A transport whose every exchange is counted and timed: the only caller of `Transport.exchange`."""

    def __init__(self, transport: Transport, ledger: Ledger, clock: Clock) -> None:
        self.transport = transport
        self.clock = clock
        self._channel = ledger.channel(transport.destinations, transport.sources)
        self.transcript = 0
        """A hash of sizes and types exchanged so far, in order: the same on all nodes of a method that is well made."""
        self._buffers: dict[tuple[int, np.dtype[Any]], Array] = {}

    def pack(self, *arrays: Array) -> Array:
        """Copy arrays of one dtype, end to end, into the send buffer for their total size.

        The buffer lives as long as the link and is the same for the same size, so that a transport plans once.
        Raises ValueError for dtypes that differ.
        """
        if len(arrays) == 1:  # the usual case, once a round: no detour
            x = arrays[0]
            flat = self._buffer(x.size, x.dtype)
            flat[:] = x.reshape(-1)
            return flat
        if len({a.dtype for a in arrays}) > 1:
            raise ValueError(f"arrays of one message share a dtype; got {', '.join(str(a.dtype) for a in arrays)}")
        flat = self._buffer(sum(a.size for a in arrays), arrays[0].dtype)
        return np.concatenate([a.reshape(-1) for a in arrays], out=flat)

    def _buffer(self, size: int, dtype: np.dtype[Any]) -> Array:
        flat = self._buffers.get((size, dtype))
        if flat is None:
            flat = self._buffers[size, dtype] = np.empty(size, dtype)
        return flat

    def exchange(self, flat: Array) -> Array:
        """One exchange of a packed buffer: (in-degree, size), valid until the next one of the same size."""
        start = perf_counter()
        received = self.transport.exchange(flat)
        self.clock.comm += perf_counter() - start
        self._channel.count(flat.nbytes)
        self.transcript = hash((self.transcript, flat.size, flat.dtype.num))
        return received

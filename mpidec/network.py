"""What an algorithm may use to talk: its neighbors, a hub, or a sum over all, over links that count (`mpidec.link`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpidec.ledger import Ledger
from mpidec.link import Clock, Link, Reducer

Array = NDArray[Any]

_AT_ONCE = 1 << 16  # bytes of messages up to which few calls add up all: ranks that share a core find cold caches at each call


class Network:
    """A node's view of the network: itself, its neighbors and its own row of the mixing matrix.

    `weights` (degree,) belong to the transport's sources in ascending order. There is no reduction, no gather and no
    size here: what an algorithm knows of the rest, it learned from its neighbors or from its settings.

    With `gamma`, the largest modulus of an eigenvalue of W beside the 1 of consensus, `mix` is Chebyshev-accelerated.
    An estimate g of gamma serves too: k rounds shrink a mode of eigenvalue x by T_k(x / g) / T_k(1 / g), which is below 1
    for every |x| < 1, so gossip never diverges; a g that is too large or too small costs rounds, at worst (g near 1, or
    far below gamma) the acceleration itself.
    """

    def __init__(self, link: Link, self_weight: float, weights: Array, gamma: float | None = None) -> None:
        self._link = link
        self.rank = link.transport.rank
        self.neighbors = link.transport.sources
        self.self_weight = float(self_weight)
        self.weights = np.asarray(weights, dtype=np.float64)
        if self.weights.shape != (len(self.neighbors),):
            raise ValueError(f"{len(self.neighbors)} neighbors want as many weights, got shape {self.weights.shape}")
        self._received: Array | None = None  # what came last, most often into the same memory
        self._parts: Parts = []  # of it
        self._gamma = gamma

    def with_gamma(self, gamma: float | None) -> Network:
        """The same network, books included, whose gossip is accelerated by `gamma`, or plain where that is None."""
        return Network(self._link, self.self_weight, self.weights, gamma)

    @property
    def degree(self) -> int:
        """The number of neighbors."""
        return len(self.neighbors)

    @property
    def transcript(self) -> int:
        """See `Link.transcript`."""
        return self._link.transcript

    def exchange(self, x: Array) -> Array:
        """One round: send x to every neighbor, return (degree, *x.shape), neighbors ascending, a new array."""
        return self._link.exchange(self._link.pack(x)).reshape(self.degree, *x.shape).copy()

    def mix(self, *arrays: Array, rounds: int = 1) -> Any:
        """Gossip (AGREE): `rounds` >= 1 times x <- W_ii x + sum_j W_ij x_j, all arrays in one message a round.

        With gamma, Chebyshev-accelerated: a round's result is weighed against what was two rounds before,

            y_1 = W y_0,  y_{k+1} = w_{k+1} W y_k + (1 - w_{k+1}) y_{k-1},
            w_2 = 1 / (1 - gamma^2 / 2),  w_{k+1} = 1 / (1 - gamma^2 w_k / 4)

        so that k rounds apply T_k(W / gamma) / T_k(1 / gamma), T_k the Chebyshev polynomial: the disagreement shrinks to at
        most 1 / T_k(1 / gamma) of what it was, plain gossip's gamma^k in about the square root of its rounds. Messages are
        the same; one round, or gamma = 0, is plain gossip.

        Returns a new array, or a tuple where several are given, of the same shapes and dtype. Each round sends the sum of the
        arrays' bytes to every neighbor. Keeps the network's mean. Raises ValueError for rounds < 1 or arrays of two dtypes.
        """
        if rounds < 1:
            raise ValueError(f"mix: got rounds = {rounds}, wanted at least 1")
        flat = self._link.pack(*arrays)
        mixed = np.empty_like(flat)
        if self._gamma is None:
            for _ in range(rounds - 1):
                self._round(flat, flat)
            self._round(flat, mixed)
        else:
            self._accelerate(flat, self._gamma, rounds, mixed)
        if len(arrays) == 1:
            return mixed.reshape(arrays[0].shape)
        ends = accumulate(a.size for a in arrays)  # np.split takes longer than a round of short messages
        return tuple(mixed[end - a.size : end].reshape(a.shape) for a, end in zip(arrays, ends, strict=True))

    def _round(self, flat: Array, out: Array) -> None:
        """`out`, which may be `flat`, <- one round of gossip on `flat`."""
        received = self._link.exchange(flat)
        if received is not self._received:
            self._received, self._parts = received, weighed(received, self.weights)
        combine(flat, self._parts, self.self_weight, out)

    def _accelerate(self, flat: Array, gamma: float, rounds: int, mixed: Array) -> None:
        """`mixed` <- `rounds` rounds of Chebyshev gossip on `flat`, which is overwritten: a transport plans for it alone."""
        before, omega = np.empty_like(flat), 1.0
        for k in range(1, rounds + 1):
            self._round(flat, mixed)
            if k > 1:
                omega = 1.0 / (1.0 - gamma**2 * omega / (2.0 if k == 2 else 4.0))
                np.multiply(mixed, omega, mixed)
                np.multiply(before, 1.0 - omega, before)
                np.add(mixed, before, mixed)
            if k < rounds:
                np.copyto(before, flat)
                np.copyto(flat, mixed)


Parts = Sequence[tuple[Array, Any]]
"""What was received, all at once or row by row, with what it is to be multiplied by."""


def weighed(received: Array, weights: Array) -> Parts:
    """received (degree, size) in as many parts as `combine` is to add up, with its weights (degree,), in its type."""
    if received.dtype.kind in "fc":  # NumPy refuses others
        weights = weights.astype(received.dtype)
    if received.nbytes <= _AT_ONCE:
        return [(received, weights[:, None])]
    return list(zip(received, weights.tolist(), strict=True))  # a ufunc takes Python's floats faster than NumPy's


def combine(x: Array, parts: Parts, self_weight: float, out: Array) -> None:
    """out <- self_weight x + sum_j weights[j] received[j]; overwrites what was received; `out` may be x.

    Separate multiplications and additions, in an order that follows from the sizes alone, not from a BLAS or an alignment.
    """
    np.multiply(x, self_weight, out)
    for part, weight in parts:
        np.multiply(part, weight, part)
        np.add(out, part if part.ndim == 1 else np.add.reduce(part, 0), out)


class FusionCenter:
    """A hub that all other nodes report to, on two directed stars: leaves to hub, hub to leaves (arXiv 2102.10217).

    The hub is a node like the others, with data of its own. Two stars, since a symmetric exchange would charge twice.
    """

    def __init__(self, up: Link, down: Link, hub: int = 0) -> None:
        self._up = up
        self._down = down
        self.rank = up.transport.rank
        self._is_hub = self.rank == hub

    @property
    def transcript(self) -> int:
        """See `Link.transcript`."""
        return hash((self._up.transcript, self._down.transcript))

    def at_hub(self, x: Array, compute: Callable[[Array], Array]) -> Array:
        """Send x to the hub; the hub applies `compute` to the sum over all nodes and sends the result, of x's shape, back.

        Every leaf sends x.nbytes and receives as much; the hub receives and sends that once a leaf.
        """
        x = np.asarray(x)
        received = self._up.exchange(self._up.pack(x))
        y = np.asarray(compute(x + received.sum(axis=0).reshape(x.shape))) if self._is_hub else x
        back = self._down.exchange(self._down.pack(y))
        return y if self._is_hub else back[0].reshape(x.shape).copy()

    def total(self, x: Array) -> Array:
        """The sum of x over all nodes, at every node."""
        return self.at_hub(x, lambda total: total)

    def agree(self, x: Array) -> Array:
        """x as it is: what came from the hub is the same at every node."""
        return x

    def adopt(self, x: Array) -> Array:
        """x as it is, for the same reason."""
        return x


class AllReduce:
    """Sums by MPI_Allreduce. Its bytes are the model of a bandwidth-optimal one, 2 (L-1)/L of the payload a node.

    What a library really sends depends on its algorithm (1 to 3.4 times the payload); `mpidec run --library-bytes`
    reads it from the library's own counters.
    """

    def __init__(self, reducer: Reducer, rank: int, ledger: Ledger, clock: Clock) -> None:
        self._reducer = reducer
        self._ledger = ledger
        self.rank = rank
        self.clock = clock
        self.transcript = 0
        """See `Link.transcript`."""

    def total(self, x: Array) -> Array:
        """The sum of x over all nodes, at every node."""
        x = np.asarray(x, order="C")
        start = perf_counter()
        result = self._reducer.sum(x)
        self.clock.comm += perf_counter() - start
        size = self._reducer.size
        # reduce-scatter and all-gather round a ring: 2 (L-1) messages of 1/L of the payload each
        self.transcript = hash((self.transcript, x.size, x.dtype.num))
        messages, nbytes = 2 * (size - 1), round(2 * x.nbytes * (size - 1) / size)
        self._ledger.count_collective(messages, nbytes, messages, nbytes)
        return result

    def agree(self, x: Array) -> Array:
        """x as it is: a sum is the same at every node."""
        return x

    def adopt(self, x: Array) -> Array:
        """x as it is, for the same reason."""
        return x

"""Methods that advance together: ranks that share cores take turns once for a round of all methods, not once for each.

Each method runs in a lane, a greenlet that sees a `Lane` where it would see the `World`. A lane that asks something of the
other ranks sleeps until every lane does. What lanes send along the same edges then goes in one message, what they must agree
on in one agreement; all else is done lane after lane. A method asks for the same things in the same order on all ranks, so
the ranks agree without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np
from greenlet import greenlet
from numpy.typing import NDArray

from mpidec.ledger import Ledger
from mpidec.mpi.transport import GraphTransport, MPIReducer
from mpidec.mpi.world import World

T = TypeVar("T")
Array = NDArray[Any]


def run_abreast(world: World, works: Sequence[Callable[[Lane], T]]) -> list[T]:
    """What each of `works` gives, run in a lane of its own. Collective; what one raises, whatever it asked for, ends all."""
    with world.scope():
        joint = _Joint(world)
        lanes = [Lane(world, joint) for _ in works]
        runners = [greenlet(work) for work in works]
        asked: dict[int, Any] = {}
        results: dict[int, T] = {}

        def go_on(i: int, answer: Any) -> None:
            ask = runners[i].switch(answer)
            if runners[i].dead:
                results[i] = ask
                asked.pop(i, None)
            else:
                asked[i] = ask

        for i, lane in enumerate(lanes):
            go_on(i, lane)
        while asked:
            for i, answer in _answers(world, lanes, asked).items():
                go_on(i, answer)
    return [results[i] for i in range(len(works))]


class _Send(NamedTuple):
    """A lane's wish to exchange a message along a bundle's edges."""

    bundle: _Bundle
    flat: Array


class _Agree(NamedTuple):
    """A lane's wish to do work on every rank, and to fail on all where it fails on one."""

    work: Callable[[], Any]


def _answers(world: World, lanes: Sequence[Lane], asked: dict[int, Any]) -> dict[int, Any]:
    """Do what the lanes ask for; the answers, in the lanes' order."""
    answers: dict[int, Any] = dict.fromkeys(asked)
    sends: dict[int, list[int]] = {}
    agreements = {i: ask for i, ask in asked.items() if isinstance(ask, _Agree)}
    if agreements:
        # one for all: where ranks share cores it takes milliseconds
        answers |= world.together(lambda: {i: agreement.work() for i, agreement in agreements.items()})
    for i, ask in asked.items():
        if isinstance(ask, _Send):
            sends.setdefault(id(ask.bundle), []).append(i)
        elif i not in agreements:
            world.ledger = lanes[i].ledger
            answers[i] = ask(world)
    for group in sends.values():
        received = asked[group[0]].bundle.exchange([asked[i].flat for i in group])
        answers.update(zip(group, received, strict=True))
    return answers


class Lane:
    """What a method in a lane has of the World."""

    def __init__(self, world: World, joint: _Joint) -> None:
        self.rank, self.size, self.local_ranks = world.rank, world.size, world.local_ranks
        self.ledger = Ledger(world.local_ranks)
        self._joint = joint
        self._hub = greenlet.getcurrent()

    def ask(self, what: _Send | _Agree | Callable[[World], T]) -> T:
        """The answer, once all lanes have asked."""
        return self._hub.switch(what)  # type: ignore[no-any-return]

    def together(self, work: Callable[[], T]) -> T:
        """See `World.together`."""
        return self.ask(_Agree(work))

    def share(self, value: T) -> T:
        """See `World.share`."""
        return self.ask(lambda world: world.share(value))

    def total(self, x: Array | float) -> Array:
        """See `World.total`."""
        return self.ask(lambda world: world.total(x))

    def maximum(self, x: Array | float) -> Array:
        """See `World.maximum`."""
        return self.ask(lambda world: world.maximum(x))

    def barrier(self) -> None:
        """See `World.barrier`."""
        self.ask(lambda world: world.barrier())

    @contextmanager
    def scope(self) -> Iterator[None]:
        """What is made inside is shared with other lanes, and closed after the last."""
        yield

    def transport(self, sources: Sequence[int], destinations: Sequence[int]) -> LaneTransport:
        """See `World.transport`."""
        edges = tuple(sources), tuple(destinations)
        return LaneTransport(self, self.ask(lambda _: self._joint.bundle(*edges)))

    def reducer(self) -> LaneReducer:
        """See `World.reducer`."""
        return LaneReducer(self, self.ask(lambda _: self._joint.reducer()))


class _Joint:
    """The communicators that the lanes share."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._bundles: dict[tuple[tuple[int, ...], tuple[int, ...]], _Bundle] = {}
        self._reducer: MPIReducer | None = None

    def bundle(self, sources: tuple[int, ...], destinations: tuple[int, ...]) -> _Bundle:
        """That of these edges. Collective.

        Methods talk along the run's graph, symmetric, or along the two stars of a fusion center, which are not: each
        rank tells these three apart by its own edges, so that all ranks take the same bundle unasked.
        """
        if (sources, destinations) not in self._bundles:
            self._bundles[sources, destinations] = _Bundle(self._world.transport(sources, destinations))
        return self._bundles[sources, destinations]

    def reducer(self) -> MPIReducer:
        """Sums over all ranks. Collective."""
        if self._reducer is None:
            self._reducer = self._world.reducer()
        return self._reducer


class _Shared(NamedTuple):
    """One message for several lanes: their parts of it as bytes, the message, and for each lane where it hears."""

    flats: Sequence[Array]
    parts: Sequence[Array]
    joined: Array
    heard: Sequence[Array]
    places: Sequence[tuple[Array, slice]]


class _Bundle:
    """A transport that takes the messages of several lanes in one."""

    def __init__(self, transport: GraphTransport) -> None:
        self.transport = transport
        self._shared: dict[tuple[int, ...], _Shared] = {}
        self._joined: dict[int, Array] = {}
        self._heard: dict[int, Array] = {}

    def exchange(self, flats: Sequence[Array]) -> Sequence[Array]:
        """What each would receive by itself: (in-degree, size), good until the same is sent again."""
        ids = tuple(map(id, flats))
        shared = self._shared.get(ids)
        if shared is None:
            # it holds the arrays, so their ids cannot come to mean others
            shared = self._shared[ids] = self._share(flats)
        np.concatenate(shared.parts, out=shared.joined)
        received = self.transport.exchange(shared.joined)
        for place, span in shared.places:
            np.copyto(place, received[:, span])
        return shared.heard

    def _share(self, flats: Sequence[Array]) -> _Shared:
        parts = [flat.view(np.uint8) for flat in flats]
        ends = np.cumsum([part.size for part in parts]).tolist()
        joined = self._joined.setdefault(ends[-1], np.empty(ends[-1], np.uint8))
        # contiguous and aligned, so that sums are those of a method by itself
        heard = [self._heard.setdefault(id(f), np.empty((len(self.transport.sources), f.size), f.dtype)) for f in flats]
        spans = [slice(end - part.size, end) for part, end in zip(parts, ends, strict=True)]
        return _Shared(flats, parts, joined, heard, [(h.view(np.uint8), span) for h, span in zip(heard, spans, strict=True)])


class LaneTransport:
    """A lane's `Transport`."""

    def __init__(self, lane: Lane, bundle: _Bundle) -> None:
        self.rank, self.sources, self.destinations = lane.rank, bundle.transport.sources, bundle.transport.destinations
        self._lane, self._bundle = lane, bundle

    def exchange(self, x: Array) -> Array:
        """See `Transport.exchange`."""
        return self._lane.ask(_Send(self._bundle, x))


class LaneReducer:
    """A lane's `Reducer`."""

    def __init__(self, lane: Lane, reducer: MPIReducer) -> None:
        self.size = reducer.size
        self._lane, self._reducer = lane, reducer

    def sum(self, x: Array) -> Array:
        """See `Reducer.sum`."""
        return self._lane.ask(lambda _: self._reducer.sum(x))

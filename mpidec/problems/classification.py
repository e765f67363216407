"""What all classifiers share: labeled samples dealt out to the nodes, minibatches of them, accuracy on held-out ones."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidec.options import Meta
from mpidec.problems.base import Array, Vector
from mpidec.problems.labeled import Labeled, Labels
from mpidec.problems.optimum import Optimum
from mpidec.problems.partition import SampleSplit
from mpidec.seeding import Draws

_AHEAD = 16  # steps whose batches are drawn at a time
_DRAWN = 1024  # samples of all of them: large batches are drawn for fewer steps, which a short run would draw in vain


class Own(NamedTuple):
    """What a node has beside its samples' features: their classes y (n,), the size of a batch, the seed and its number;
    its part of the held-out samples, X (m, p) as stored and classes (m,), and how many of these all nodes have.
    """

    y: Labels
    batch: int
    seed: int
    node: int
    held_out: tuple[NDArray[Any], Labels] | None = None
    held_out_total: int = 0


class Classifier(ABC):
    """A node's samples X (n, …) and classes y (n,) from 0, a `Smooth` problem."""

    shape: tuple[int, ...]

    def __init__(
        self, X: NDArray[Any], own: Own, *, optimum: Optimum | None = None, notes: dict[str, Any] | None = None
    ) -> None:
        self.y = own.y
        self.minimum: float | None = optimum.value if optimum else None
        self.optimum: Array | None = optimum.x if optimum else None
        self.score_names: tuple[str, ...] = ("test_accuracy",) if own.held_out_total else ()
        self.nbytes = X.nbytes + own.y.nbytes + sum(part.nbytes for part in own.held_out or ())
        self.notes = notes or {}
        self._own = own
        self._draws = Draws(own.seed, "batch", own.node)
        self._ahead = max(1, min(_AHEAD, _DRAWN // own.batch))
        self._drawn: tuple[int, list[Labels]] = -1, []

    def batch(self, k: int) -> Labels:
        """The samples of step k, (batch,), none twice; to be read only."""
        group, which = divmod(k, self._ahead)
        if self._drawn[0] != group:
            # together: one draw a step, when all else has been through the caches since the last, takes four times as long
            steps = range(group * self._ahead, (group + 1) * self._ahead)
            self._drawn = group, [self._draw(k) for k in steps]
        return self._drawn[1][which]

    def _draw(self, k: int) -> Labels:
        return self._draws.at(k).choice(len(self.y), self._own.batch, replace=False, shuffle=False)

    @abstractmethod
    def predict(self, x: Vector, X: NDArray[Any]) -> Labels:
        """The classes (m,) that the finite x puts samples X (m, p), as stored, into."""

    def scores(self, x: Vector) -> dict[str, float]:
        """{"test_accuracy": the share of all held-out samples that are this node's and put in the right class}.

        Not a number for an x that is not finite.
        """
        if self._own.held_out is None or not self._own.held_out_total:
            return {}
        X, y = self._own.held_out
        right = np.count_nonzero(self.predict(x, X) == y) if np.isfinite(x).all() else math.nan
        return {"test_accuracy": right / self._own.held_out_total}


class Public(NamedTuple):
    """What every node may know: the data's checksum, who has which samples (M, n), the optimum, and a token by which the
    ranks of a host find one another (see `forked`).
    """

    key: str
    parts: Labels
    optimum: Optimum | None = None
    token: str | None = None


@dataclass(frozen=True, kw_only=True)
class Classification(SampleSplit):
    """The options of all classifiers."""

    batch: Annotated[int, Meta(ge=1, description="samples of a node's stochastic gradient")] = 32

    @abstractmethod
    def data(self, key: str | None = None) -> Labeled:
        """All samples, mapped; `key` is their checksum where that is known."""

    @abstractmethod
    def sample_nbytes(self, data: Labeled) -> int:
        """Bytes that a node keeps of the features of one of its samples."""

    def check(self, nodes: int) -> None:
        """Look at the files, which puts them into the cache; raises InputError for what cannot run on `nodes` nodes."""
        data = self.data()
        self.check_data(data)
        self.check_shares(len(data.X), nodes, self.batch)

    def check_data(self, data: Labeled) -> None:
        """Raise InputError for samples that the problem cannot take."""
        del data

    def share_nbytes(self, nodes: int) -> int:
        """See `ProblemSpec.share_nbytes`; reads headers once the files are in the cache."""
        data = self.data()
        own, held_out = len(data.X) // nodes, -(-len(data.X_test) // nodes)
        one_class, columns = data.y.itemsize, data.X.shape[1]
        return int(own * (self.sample_nbytes(data) + one_class) + held_out * (columns * data.X_test.itemsize + one_class))

    def public(self, seed: int, nodes: int) -> Public:
        """Deal the samples."""
        data = self.data()
        return Public(data.key, self.deal(np.asarray(data.y), nodes, seed))

    def own(self, data: Labeled, node: int, nodes: int, seed: int, public: Public) -> Own:
        """Copy the node's classes out of the map, and its part of the held-out samples."""
        total = len(data.y_test)
        part = slice(node * total // nodes, (node + 1) * total // nodes)
        held_out = np.array(data.X_test[part]), np.array(data.y_test[part])
        return Own(np.array(data.y[public.parts[node]]), self.batch, seed, node, held_out, total)

    @staticmethod
    def notes(data: Labeled, public: Public) -> dict[str, Any]:
        """What run.json says of the shares."""
        return {"samples_a_node": public.parts.shape[1], "samples_left_over": len(data.y) - public.parts.size}


def rehearsing(data: Labeled) -> Own:
    """For a rehearsal: one sample, none held out, but as many told of as there are."""
    return Own(np.zeros(1, np.int64), batch=1, seed=0, node=0, held_out_total=len(data.y_test))

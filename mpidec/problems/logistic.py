"""Multinomial logistic regression with l2 on labeled samples dealt out to the nodes.

f_i(x) = (1/n) sum_s [log sum_c exp(a_s^T w_c) - a_s^T w_{y_s}] + l2/2 ||x||^2,   x = (w_1, …, w_C), a_s with a 1 at the end
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from mpidec.options import Meta
from mpidec.problems.base import Array, Vector
from mpidec.problems.fashion_files import FOLDER
from mpidec.problems.labeled import Labeled, Labels, digits, fashion_mnist, sample_files
from mpidec.problems.optimum import Optimum, batches, find_optimum, softmax_loss
from mpidec.problems.partition import SampleSplit, used
from mpidec.seeding import generator

# What is not finite is seen by whoever looks at the result.
_quiet = np.errstate(all="ignore")


@final
class LogisticRegression:
    """A node's samples A (n, p + 1), the last column 1, and classes y (n,) from 0, a `Smooth` problem.

    x is (d,), d = (p + 1) C, the weights (p + 1, C) row by row. `held_out` is the node's part of the held-out samples, and
    `held_out_total` how many there are in all.
    """

    def __init__(
        self,
        A: Vector,
        y: Labels,
        *,
        classes: int,
        l2: float,
        batch: int,
        seed: int,
        node: int,
        optimum: Optimum | None = None,
        held_out: tuple[NDArray[Any], Labels] | None = None,
        held_out_total: int = 0,
        scale: float = 1.0,
        notes: dict[str, Any] | None = None,
    ) -> None:
        self.A, self.y = A, y
        self.shape = (A.shape[1] * classes,)
        self.minimum: float | None = optimum.value if optimum else None
        self.optimum: Array | None = optimum.x if optimum else None
        self.score_names: tuple[str, ...] = ("test_accuracy",) if held_out_total else ()
        self.nbytes = A.nbytes + y.nbytes + sum(part.nbytes for part in held_out or ())
        self.notes = notes or {}
        self._weights = A.shape[1], classes
        self._l2, self._batch, self._seed, self._node, self._scale = l2, batch, seed, node, scale
        self._held_out, self._held_out_total = held_out, held_out_total

    def start(self, seed: int) -> Vector:
        """0, whatever the seed."""
        return np.zeros(self.shape, self.A.dtype)

    def batch(self, k: int) -> Labels:
        """The samples of step k, (batch,), none twice."""
        rng = generator(self._seed, "batch", self._node, k)
        return rng.choice(len(self.A), self._batch, replace=False, shuffle=False)

    @_quiet
    def grad(self, x: Vector, k: int) -> Vector:
        """The gradient (d,) of the mean over the batch of step k, and of l2."""
        W = x.reshape(self._weights).astype(self.A.dtype, copy=False)
        chosen = self.batch(k)
        A = self.A[chosen]
        _, pulls = softmax_loss(A @ W, self.y[chosen])
        pulls /= len(chosen)
        gradient: Vector = A.T @ pulls
        gradient += self._l2 * W
        return gradient.reshape(-1)

    @_quiet
    def loss(self, x: Vector) -> float:
        """f_i(x), in float64 whatever the data are in."""
        W, total = np.asarray(x, np.float64).reshape(self._weights), 0.0
        for where, part in batches(self.A[:, :-1], 1.0):
            total += float(softmax_loss(part @ W, self.y[where])[0].sum())
        return total / len(self.A) + self._l2 / 2 * float(np.vdot(W, W))

    @_quiet
    def scores(self, x: Vector) -> dict[str, float]:
        """{"test_accuracy": the share of all held-out samples that are this node's and put in the right class}."""
        if self._held_out is None or not self._held_out_total:
            return {}
        X, y = self._held_out
        W = np.asarray(x, np.float64).reshape(self._weights)
        right = 0
        if np.isfinite(W).all():
            for where, part in batches(X, self._scale):
                right += int(np.count_nonzero((part @ W).argmax(axis=1) == y[where]))
        return {"test_accuracy": right / self._held_out_total}


class Public(NamedTuple):
    """What every node may know: the data's checksum, who has which samples (M, n), and the optimum."""

    key: str
    parts: Labels
    optimum: Optimum | None


@dataclass(frozen=True, kw_only=True)
class Logistic(SampleSplit):
    """The options that all sources share."""

    batch: Annotated[int, Meta(ge=1, description="samples of a node's stochastic gradient")] = 32
    l2: Annotated[float, Meta(gt=0, description="l2/2 ||x||^2 is added to the loss")] = 1e-4
    dtype: Annotated[Literal["float64", "float32"], Meta(description="of data, gradients and messages")] = "float64"
    find_minimum: Annotated[bool, Meta(description="find min f, once, for the metrics that want it")] = True

    @abstractmethod
    def data(self, key: str | None = None) -> Labeled:
        """All samples, mapped; `key` is their checksum where that is known."""

    def check(self, nodes: int) -> None:
        """Look at the files, which puts them into the cache; raises InputError for what cannot run on `nodes` nodes."""
        data = self.data()
        self.check_shares(len(data.X), nodes, self.batch)

    def share_nbytes(self, nodes: int) -> int:
        """See `ProblemSpec.share_nbytes`; reads headers once the files are in the cache."""
        data = self.data()
        own, held_out = len(data.X) // nodes, -(-len(data.X_test) // nodes)
        columns, one_class = data.X.shape[1], data.y.itemsize
        nbytes = own * ((columns + 1) * np.dtype(self.dtype).itemsize + one_class)
        return int(nbytes + held_out * (columns * data.X_test.itemsize + one_class))

    def public(self, seed: int, nodes: int) -> Public:
        """Deal the samples; find the optimum, or read it from the cache."""
        data = self.data()
        best = find_optimum(data, used(len(data.y), nodes), self.l2) if self.find_minimum else None
        return Public(data.key, self.deal(np.asarray(data.y), nodes, seed), best)

    def load(self, node: int, nodes: int, seed: int, public: Public) -> LogisticRegression:
        """Copy the node's own samples out of the map, and its part of the held-out ones."""
        data, own = self.data(public.key), public.parts[node]
        A = np.ones((len(own), data.X.shape[1] + 1), self.dtype)
        np.multiply(data.X[own], data.scale, out=A[:, :-1], casting="same_kind")
        total = len(data.y_test)
        part = slice(node * total // nodes, (node + 1) * total // nodes)
        notes: dict[str, Any] = {"samples_a_node": len(own), "samples_left_over": len(data.y) - public.parts.size}
        if public.optimum:
            notes |= {"minimum": public.optimum.value, "minimum_at_most_too_high_by": public.optimum.bound}
        return LogisticRegression(
            A,
            np.array(data.y[own]),
            classes=data.classes,
            l2=self.l2,
            batch=self.batch,
            seed=seed,
            node=node,
            optimum=public.optimum,
            held_out=(np.array(data.X_test[part]), np.array(data.y_test[part])),
            held_out_total=total,
            scale=data.scale,
            notes=notes,
        )

    def rehearsal(self) -> LogisticRegression:
        """See `ProblemSpec.rehearsal`."""
        data = self.data()
        d = data.X.shape[1] + 1
        best = Optimum(np.zeros(d * data.classes), 0.0, 0.0) if self.find_minimum else None
        return LogisticRegression(
            np.ones((1, d), self.dtype),
            np.zeros(1, np.int64),
            classes=data.classes,
            l2=self.l2,
            batch=1,
            seed=0,
            node=0,
            optimum=best,
            held_out_total=len(data.y_test),
        )


@dataclass(frozen=True, kw_only=True)
class FashionLogistic(Logistic):
    """Logistic regression on Fashion-MNIST: 60,000 images of ten classes, judged on 10,000 others; d = 7,850."""

    path: Annotated[str, Meta(description="folder of the four IDX files, plain or .gz")] = FOLDER

    def data(self, key: str | None = None) -> Labeled:
        """See `Logistic.data`."""
        return fashion_mnist(self.path, key)


@dataclass(frozen=True, kw_only=True)
class DigitsLogistic(Logistic):
    """Logistic regression on scikit-learn's digits: 1,500 images of 8 x 8 pixels, judged on 297 others; d = 650."""

    def data(self, key: str | None = None) -> Labeled:
        """See `Logistic.data`."""
        return digits()


@dataclass(frozen=True, kw_only=True)
class FilesLogistic(Logistic):
    """Logistic regression on X.npy (N, p) and y.npy (N,) of a folder, or on LIBSVM text; features are taken as they are.

    X_test.npy and y_test.npy, or the text file of that name and `.t`, hold the held-out samples, if there are any.
    """

    path: Annotated[str, Meta(description="folder of X.npy and y.npy, or a file of LIBSVM text")]

    def data(self, key: str | None = None) -> Labeled:
        """See `Logistic.data`."""
        return sample_files(self.path, key)

"""Multinomial logistic regression with l2 on labeled samples dealt out to the nodes.

f_i(x) = (1/n) sum_s [log sum_c exp(a_s^T w_c) - a_s^T w_{y_s}] + l2/2 ||x||^2,   x = (w_1, …, w_C), a_s with a 1 at the end
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError
from mpidec.options import Meta
from mpidec.problems.base import Vector, machine_nbytes
from mpidec.problems.classification import Classification, Classifier, Own, Public, rehearsing
from mpidec.problems.fashion_files import FOLDER
from mpidec.problems.labeled import Labeled, Labels, digits, fashion_mnist, sample_files
from mpidec.problems.optimum import Optimum, batches, find_optimum, search_nbytes, softmax_gradient, softmax_loss
from mpidec.problems.partition import used

# OpenBLAS multiplies matrices without packing them first where that takes at most so many products: with ten columns twice as
# fast. Larger batches are multiplied in parts, unless these had so few samples that to add up the parts takes what is saved.
_UNPACKED, _FEW = 10**6, 32

# What is not finite is seen by whoever looks at the result.
_quiet = np.errstate(all="ignore")


@final
class LogisticRegression(Classifier):
    """A node's samples X (n, p) of any real type and classes y (n,) from 0, a `Smooth` problem.

    a_s is `scale` times row s of X; x is (d,), d = (p + 1) C, the weights (p + 1, C) row by row. Gradients are of `dtype`.
    """

    def __init__(
        self,
        X: NDArray[Any],
        own: Own,
        *,
        classes: int,
        l2: float,
        dtype: str = "float64",
        scale: float = 1.0,
        optimum: Optimum | None = None,
        notes: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(X, own, optimum=optimum, notes=notes)
        self.X = X
        self.shape = ((X.shape[1] + 1) * classes,)
        self._weights = X.shape[1] + 1, classes
        self._dtype = np.dtype(dtype)
        self._l2, self._scale = l2, scale
        # a batch as it is stored, and in `dtype`: in the same memory every step, since new pages cost as much as the gradient
        self._stored = np.empty((own.batch, X.shape[1]), X.dtype)
        self._samples = self._stored if X.dtype == self._dtype else np.empty(self._stored.shape, self._dtype)
        self._step, self._classes = -1, own.y[:0]  # whose batch that is, and its classes
        count = own.batch * X.shape[1] * classes // _UNPACKED + 1
        count = count if own.batch >= _FEW * count else 1
        self._parts = [slice(i * own.batch // count, (i + 1) * own.batch // count) for i in range(count)]

    def start(self, seed: int) -> Vector:
        """0, whatever the seed."""
        return np.zeros(self.shape, self._dtype)

    @_quiet
    def grad(self, x: Vector, k: int) -> Vector:
        """The gradient (d,) of the mean over the batch of step k, and of l2."""
        W = x.reshape(self._weights).astype(self._dtype, copy=False)
        if k != self._step:  # methods abreast want the same batch, one after the other
            chosen = self.batch(k)
            np.take(self.X, chosen, axis=0, out=self._stored, mode="clip")  # other modes gather into new memory first
            if self._samples is not self._stored:
                np.copyto(self._samples, self._stored)
            self._classes, self._step = self.y[chosen], k
        # scores and pulls are scaled, which are smaller than the samples
        scores = np.empty((W.shape[1], len(self._samples)), self._dtype)
        for part in self._parts:
            np.multiply((self._samples[part] @ W[:-1]).T, self._scale, out=scores[:, part])
        scores += W[-1][:, None]
        pulls = softmax_gradient(scores, self._classes)
        pulls /= len(self._classes)
        gradient = np.empty_like(W)
        np.add.reduce(pulls, 1, out=gradient[-1])
        pulls *= self._scale
        first, *rest = self._parts
        np.matmul(self._samples[first].T, pulls[:, first].T, out=gradient[:-1])
        for part in rest:
            gradient[:-1] += self._samples[part].T @ pulls[:, part].T
        gradient += self._l2 * W
        return gradient.reshape(-1)

    @_quiet
    def loss(self, x: Vector) -> float:
        """f_i(x), in float64 whatever `dtype` is."""
        W, total = np.asarray(x, np.float64).reshape(self._weights), 0.0
        for where, part in batches(self.X, self._scale):
            total += float(softmax_loss(W.T @ part.T, self.y[where])[0].sum())
        return total / len(self.X) + self._l2 / 2 * float(np.vdot(W, W))

    def predict(self, x: Vector, X: NDArray[Any]) -> Labels:
        """See `Classifier.predict`."""
        W, found = np.asarray(x, np.float64).reshape(self._weights), np.empty(len(X), np.int64)
        for where, part in batches(X, self._scale):
            found[where] = (part @ W).argmax(axis=1)
        return found


@dataclass(frozen=True, kw_only=True)
class Logistic(Classification):
    """The options that all sources share."""

    l2: Annotated[float, Meta(gt=0, description="l2/2 ||x||^2 is added to the loss")] = 1e-4
    dtype: Annotated[Literal["float64", "float32"], Meta(description="of gradients and messages")] = "float64"
    find_minimum: Annotated[bool, Meta(description="find min f, once, for the metrics that want it")] = True

    def check_data(self, data: Labeled) -> None:
        """Raise InputError for so many features that this machine has not the memory to find min f."""
        features = data.X.shape[1]
        needed, there = search_nbytes(features), machine_nbytes()
        if self.find_minimum and needed > there:
            raise InputError(
                f"problem: to find min f with {features:,} features takes {needed / 2**30:,.0f} GiB, and this machine has "
                f"{there / 2**30:,.0f} GiB; give find_minimum = false to do without"
            )

    def sample_nbytes(self, data: Labeled) -> int:
        """See `Classification.sample_nbytes`."""
        return int(data.X.shape[1] * self._kept(data).itemsize)

    def _kept(self, data: Labeled) -> np.dtype[Any]:
        """The type in which a node keeps its samples: bytes of images stay bytes."""
        return min(data.X.dtype, np.dtype(self.dtype), key=lambda dtype: dtype.itemsize)

    def public(self, seed: int, nodes: int) -> Public:
        """Deal the samples; find the optimum, or read it from the cache."""
        data = self.data()
        best = find_optimum(data, used(len(data.y), nodes), self.l2) if self.find_minimum else None
        return super().public(seed, nodes)._replace(optimum=best)

    def load(self, node: int, nodes: int, seed: int, public: Public) -> LogisticRegression:
        """Copy the node's own samples out of the map, and its part of the held-out ones."""
        data = self.data(public.key)
        with np.errstate(over="ignore"):
            X = np.array(data.X[public.parts[node]], self._kept(data))
        if X.dtype.kind == "f" and not np.isfinite(X).all():
            raise InputError(
                f'problem: a feature is too large for dtype = "{self.dtype}"; take "float64", or scale the features'
            )
        notes = self.notes(data, public)
        if public.optimum:
            notes |= {"minimum": public.optimum.value, "minimum_at_most_too_high_by": public.optimum.bound}
        own = self.own(data, node, nodes, seed, public)
        return self._made(X, data, own, public.optimum, notes)

    def rehearsal(self) -> LogisticRegression:
        """See `ProblemSpec.rehearsal`."""
        data = self.data()
        best = Optimum(np.zeros((data.X.shape[1] + 1) * data.classes), 0.0, 0.0) if self.find_minimum else None
        return self._made(np.zeros((1, data.X.shape[1]), self._kept(data)), data, rehearsing(data), best)

    def _made(
        self, X: NDArray[Any], data: Labeled, own: Own, best: Optimum | None, notes: dict[str, Any] | None = None
    ) -> LogisticRegression:
        options: Any = {"classes": data.classes, "l2": self.l2, "dtype": self.dtype, "scale": data.scale}
        return LogisticRegression(X, own, **options, optimum=best, notes=notes)


@dataclass(frozen=True, kw_only=True)
class FashionLogistic(Logistic):
    """Logistic regression on Fashion-MNIST: 60,000 images of ten classes, judged on 10,000 others; d = 7,850."""

    path: Annotated[str, Meta(description="folder of the four IDX files, plain or .gz")] = FOLDER

    def data(self, key: str | None = None) -> Labeled:
        """See `Classification.data`."""
        try:
            return fashion_mnist(self.path, key)
        except InputError as error:
            raise InputError(f'{error} (or take source = "digits", which needs no files)') from None


@dataclass(frozen=True, kw_only=True)
class DigitsLogistic(Logistic):
    """Logistic regression on scikit-learn's digits: 1,500 images of 8 x 8 pixels, judged on 297 others; d = 650."""

    def data(self, key: str | None = None) -> Labeled:
        """See `Classification.data`."""
        return digits(key)


@dataclass(frozen=True, kw_only=True)
class FilesLogistic(Logistic):
    """Logistic regression on X.npy (N, p) and y.npy (N,) of a folder, or on LIBSVM text; features are taken as they are.

    X_test.npy and y_test.npy, or the text file of that name and `.t`, hold the held-out samples, if there are any.
    """

    path: Annotated[str, Meta(description="folder of X.npy and y.npy, or a file of LIBSVM text")]

    def data(self, key: str | None = None) -> Labeled:
        """See `Classification.data`."""
        return sample_files(self.path, key)

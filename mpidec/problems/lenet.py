"""LeNet-5 on labeled images dealt out to the nodes: a model that is not convex, with gradients by PyTorch (`lenet_network`)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError
from mpidec.options import Meta
from mpidec.problems.base import Vector
from mpidec.problems.classification import Classification, Classifier, Own, Public, rehearsing
from mpidec.problems.fashion_files import FOLDER
from mpidec.problems.forked import Forked, token
from mpidec.problems.labeled import Labeled, Labels, fashion_mnist
from mpidec.problems.lenet_network import GRADIENT, PARAMETERS, SCORES, SIDE, SIZES, Board, board, board_nbytes, lacking
from mpidec.problems.optimum import softmax_loss
from mpidec.seeding import generator

_IMAGES = 100  # looked at together outside of training: more are no faster, and take tens of megabytes


def threads() -> int:
    """Those of a rank."""
    given = os.environ.get("OMP_NUM_THREADS", "1").partition(",")[0]
    return int(given) if given.isdigit() else 1


@final
class LeNet(Classifier):
    """A node's images X (n, 784), bytes, and classes y (n,) from 0, a `Smooth` problem with x (61706,) in float32.

    `token` is that of the host's process for PyTorch, which is not asked for anything before `begin` or the first x.
    """

    def __init__(
        self, X: NDArray[np.uint8], own: Own, *, l2: float = 0.0, notes: dict[str, Any] | None = None, token: str | None = None
    ) -> None:
        super().__init__(X, own, notes=notes)
        self.X = X
        self.shape = (sum(SIZES),)
        self._l2 = l2
        self._token = token
        self._network: tuple[Forked, Board] | None = None

    def begin(self) -> tuple[Forked, Board]:
        """The process that computes for this node, and what both see. Raises InputError where PyTorch cannot be imported."""
        if self._network is None:
            nbytes = board_nbytes(max(self._own.batch, _IMAGES))
            forked = Forked("mpidec.problems.lenet_network", nbytes, self._token or token(), threads())
            self._network = forked, board(forked.memory)
        return self._network

    def start(self, seed: int) -> Vector:
        """Weights and biases uniform within 1 / sqrt(inputs of the unit), the same at every node."""
        rng = generator(seed, "start")
        inputs = [math.prod(weights[1:]) for weights in PARAMETERS[::2] for _ in range(2)]
        drawn = [rng.uniform(-1.0, 1.0, size) / math.sqrt(n) for size, n in zip(SIZES, inputs, strict=True)]
        return np.concatenate(drawn).astype(np.float32)

    def grad(self, x: Vector, k: int) -> Vector:
        """The gradient (61706,) of the mean over the batch of step k, and of l2."""
        forked, seen = self.begin()
        chosen = self.batch(k)
        m = len(chosen)
        seen.x[:] = x
        np.take(self.X, chosen, axis=0, out=seen.images[:m], mode="clip")  # other modes gather into new memory first
        np.take(self.y, chosen, out=seen.classes[:m], mode="clip")
        forked.compute(GRADIENT, m)
        gradient: Vector = seen.gradient.copy()
        if self._l2:
            gradient += self._l2 * x
        return gradient

    def loss(self, x: Vector) -> float:
        """f_i(x)."""
        total = 0.0
        with np.errstate(all="ignore"):
            for where, scores in self._in_parts(x, self.X):
                total += float(softmax_loss(scores.T.astype(np.float64, "C"), self.y[where])[0].sum())
            return total / len(self.y) + self._l2 / 2 * float(np.vdot(x.astype(np.float64), x))

    def predict(self, x: Vector, X: NDArray[Any]) -> Labels:
        """See `Classifier.predict`."""
        found = np.empty(len(X), np.int64)
        for where, scores in self._in_parts(x, X):
            found[where] = scores.argmax(axis=1)
        return found

    def _in_parts(self, x: Vector, X: NDArray[np.uint8]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """The scores (m, 10) of some images after the other; they stand until the next."""
        forked, seen = self.begin()
        seen.x[:] = x
        for first in range(0, len(X), _IMAGES):
            part = X[first : first + _IMAGES]
            seen.images[: len(part)] = part
            forked.compute(SCORES, len(part))
            yield slice(first, first + len(part)), seen.scores[: len(part)]


@dataclass(frozen=True, kw_only=True)
class FashionLeNet(Classification):
    """LeNet-5 on Fashion-MNIST: 60,000 images of ten classes, judged on 10,000 others; d = 61,706, in float32."""

    host_nbytes: ClassVar[int] = 250_000_000
    rank_nbytes: ClassVar[int] = 30_000_000

    l2: Annotated[float, Meta(ge=0, description="l2/2 ||x||^2 is added to the loss")] = 0.0
    path: Annotated[str, Meta(description="folder of the four IDX files, plain or .gz")] = FOLDER

    def check(self, nodes: int) -> None:
        """See `Classification.check`; raises InputError also without PyTorch, and for images of another size."""
        if find_spec("torch") is None:
            raise lacking("is not installed")
        super().check(nodes)

    def data(self, key: str | None = None) -> Labeled:
        """See `Classification.data`."""
        data = fashion_mnist(self.path, key)
        if data.X.shape[1] != SIDE * SIDE:
            raise InputError(f"{self.path}: images of {data.X.shape[1]} pixels; LeNet-5 takes {SIDE} x {SIDE}")
        return data

    def sample_nbytes(self, data: Labeled) -> int:
        """See `Classification.sample_nbytes`: images stay bytes."""
        return int(data.X.shape[1])

    def public(self, seed: int, nodes: int) -> Public:
        """Deal the samples; name the process in which PyTorch is loaded on each host."""
        return super().public(seed, nodes)._replace(token=token())

    def load(self, node: int, nodes: int, seed: int, public: Public) -> LeNet:
        """Copy the node's own images out of the map, and its part of the held-out ones; wait for PyTorch."""
        data = self.data(public.key)
        own = self.own(data, node, nodes, seed, public)
        options: Any = {"notes": self.notes(data, public), "token": public.token}
        made = LeNet(np.array(data.X[public.parts[node]]), own, l2=self.l2, **options)
        made.begin()
        return made

    def rehearsal(self) -> LeNet:
        """See `ProblemSpec.rehearsal`."""
        return LeNet(np.zeros((1, SIDE * SIDE), np.uint8), rehearsing(self.data()), l2=self.l2)

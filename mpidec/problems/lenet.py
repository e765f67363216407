"""LeNet-5 on labeled images dealt out to the nodes: a model that is not convex, with gradients by PyTorch.

The network of LeCun et al. (Proc. IEEE 86, 1998) with rectifiers and max-pooling in place of its sigmoids and averages
(choice): 28 x 28 pixels -> 6 maps by 5 x 5 -> pooled to 14 x 14 -> 16 maps by 5 x 5 -> pooled to 5 x 5 -> 120 -> 84 -> 10,
61,706 parameters. They are one flat float32 vector x, which is what travels; PyTorch sees pieces of it, and copies none.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError
from mpidec.options import Meta
from mpidec.problems.base import Vector
from mpidec.problems.classification import Classification, Classifier, Own, Public, rehearsing
from mpidec.problems.fashion_files import CLASSES, FOLDER
from mpidec.problems.labeled import Labeled, Labels, fashion_mnist
from mpidec.seeding import generator

SIDE = 28
"""Pixels in a row, and rows."""

PARAMETERS = ((6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (120, 400), (120,), (84, 120), (84,), (CLASSES, 84), (CLASSES,))
"""Shapes of the weights and biases of its layers, in the order in which they stand in x."""

_SIZES = [math.prod(shape) for shape in PARAMETERS]
_IMAGES = 100  # looked at together outside of training: more are no faster, and take tens of megabytes


def pytorch() -> Any:
    """PyTorch, held to the threads of a rank. Raises InputError where it is not installed."""
    try:
        import torch
    except ImportError:
        raise InputError(
            'kind "lenet" takes its gradients from PyTorch, which is not installed: install the extra mpidec[torch]'
        ) from None
    threads = os.environ.get("OMP_NUM_THREADS", "1").partition(",")[0]
    torch.set_num_threads(int(threads) if threads.isdigit() else 1)
    return torch


@final
class LeNet(Classifier):
    """A node's images X (n, 784), bytes, and classes y (n,) from 0, a `Smooth` problem with x (61706,) in float32."""

    def __init__(self, X: NDArray[np.uint8], own: Own, *, l2: float = 0.0, notes: dict[str, Any] | None = None) -> None:
        super().__init__(X, own, notes=notes)
        self.X = X
        self.shape = (sum(_SIZES),)
        self._torch = pytorch()
        self._l2 = l2

    def start(self, seed: int) -> Vector:
        """Weights and biases uniform within 1 / sqrt(inputs of the unit), the same at every node."""
        rng = generator(seed, "start")
        inputs = [math.prod(weights[1:]) for weights in PARAMETERS[::2] for _ in range(2)]
        drawn = [rng.uniform(-1.0, 1.0, size) / math.sqrt(n) for size, n in zip(_SIZES, inputs, strict=True)]
        return np.concatenate(drawn).astype(np.float32)

    def grad(self, x: Vector, k: int) -> Vector:
        """The gradient (61706,) of the mean over the batch of step k, and of l2."""
        torch = self._torch
        flat = self._tensor(x).requires_grad_()
        chosen = self.batch(k)
        losses = torch.nn.functional.cross_entropy(self._scores(flat, self.X[chosen]), torch.from_numpy(self.y[chosen]))
        gradient: Vector = torch.autograd.grad(losses, flat)[0].numpy()
        if self._l2:
            gradient += self._l2 * x
        return gradient

    def loss(self, x: Vector) -> float:
        """f_i(x)."""
        torch, flat, total = self._torch, self._tensor(x), 0.0
        for where, scores in self._in_parts(flat, self.X):
            total += float(torch.nn.functional.cross_entropy(scores, torch.from_numpy(self.y[where]), reduction="sum"))
        with np.errstate(all="ignore"):
            return total / len(self.y) + self._l2 / 2 * float(np.vdot(x.astype(np.float64), x))

    def predict(self, x: Vector, X: NDArray[Any]) -> Labels:
        """See `Classifier.predict`."""
        found = np.empty(len(X), np.int64)
        for where, scores in self._in_parts(self._tensor(x), X):
            found[where] = scores.argmax(dim=1).numpy()
        return found

    def _tensor(self, x: Vector) -> Any:
        """x as PyTorch sees it: the same memory where it is float32, one vector, and may be written to."""
        return self._torch.from_numpy(np.require(x, np.float32, ["C", "W"]))

    def _in_parts(self, flat: Any, X: NDArray[np.uint8]) -> Iterator[tuple[slice, Any]]:
        with self._torch.no_grad():
            for first in range(0, len(X), _IMAGES):
                where = slice(first, first + _IMAGES)
                yield where, self._scores(flat, X[where])

    def _scores(self, flat: Any, X: NDArray[np.uint8]) -> Any:
        """(m, 10) of the images X (m, 784)."""
        f = self._torch.nn.functional
        pieces = (piece.view(shape) for piece, shape in zip(flat.split(_SIZES), PARAMETERS, strict=True))
        layers = list(zip(pieces, pieces, strict=True))  # weights and biases by turns
        h = self._torch.from_numpy(X).to(self._torch.float32).mul_(1 / 255).view(-1, 1, SIDE, SIDE)
        h = f.max_pool2d(f.relu(f.conv2d(h, *layers[0], padding=2)), 2)
        h = f.max_pool2d(f.relu(f.conv2d(h, *layers[1])), 2).flatten(1)
        for layer in layers[2:4]:
            h = f.relu(f.linear(h, *layer))
        return f.linear(h, *layers[4])


@dataclass(frozen=True, kw_only=True)
class FashionLeNet(Classification):
    """LeNet-5 on Fashion-MNIST: 60,000 images of ten classes, judged on 10,000 others; d = 61,706, in float32."""

    imported_nbytes: ClassVar[int] = 150_000_000

    l2: Annotated[float, Meta(ge=0, description="l2/2 ||x||^2 is added to the loss")] = 0.0
    path: Annotated[str, Meta(description="folder of the four IDX files, plain or .gz")] = FOLDER

    def check(self, nodes: int) -> None:
        """See `Classification.check`; raises InputError also without PyTorch, and for images of another size."""
        pytorch()
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

    def load(self, node: int, nodes: int, seed: int, public: Public) -> LeNet:
        """Copy the node's own images out of the map, and its part of the held-out ones."""
        data = self.data(public.key)
        own = self.own(data, node, nodes, seed, public)
        return LeNet(np.array(data.X[public.parts[node]]), own, l2=self.l2, notes=self.notes(data, public))

    def rehearsal(self) -> LeNet:
        """See `ProblemSpec.rehearsal`."""
        return LeNet(np.zeros((1, SIDE * SIDE), np.uint8), rehearsing(self.data()), l2=self.l2)

"""The network LeNet-5 in PyTorch, computed in processes that share what PyTorch takes (see `forked`).

The network of LeCun et al. (Proc. IEEE 86, 1998) with rectifiers and max-pooling in place of its sigmoids and averages
(choice): 28 x 28 pixels -> 6 maps by 5 x 5 -> pooled to 14 x 14 -> 16 maps by 5 x 5 -> pooled to 5 x 5 -> 120 -> 84 -> 10,
61,706 parameters. They are one flat float32 vector x, which is what travels; PyTorch sees pieces of it, and copies none.
"""

from __future__ import annotations

import math
import mmap
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError
from mpidec.problems.fashion_files import CLASSES
from mpidec.problems.forked import Work

SIDE = 28
"""Pixels in a row, and rows."""

PARAMETERS = ((6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (120, 400), (120,), (84, 120), (84,), (CLASSES, 84), (CLASSES,))
"""Shapes of the weights and biases of its layers, in the order in which they stand in x."""

SIZES = [math.prod(shape) for shape in PARAMETERS]
"""How many numbers each has."""

GRADIENT, SCORES = range(2)
"""What can be computed: the gradient of the mean cross-entropy of the images, or their scores."""


class Board(NamedTuple):
    """What a rank and its process both see: x and the gradient (61706,), scores (m, 10), classes (m,), images (m, 784)."""

    x: NDArray[np.float32]
    gradient: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    images: NDArray[np.uint8]


def _parts(images: int) -> list[np.dtype[Any]]:
    d = sum(SIZES)
    shapes: list[Any] = [("f4", d), ("f4", d), ("f4", (images, CLASSES)), ("i8", images), ("u1", (images, SIDE * SIDE))]
    return [np.dtype(shape) for shape in shapes]


def board_nbytes(images: int) -> int:
    """Bytes of a board for so many images."""
    return sum(part.itemsize for part in _parts(images))


def board(memory: mmap.mmap) -> Board:
    """The board for as many images as fill the memory."""
    images = (len(memory) - board_nbytes(0)) // (board_nbytes(1) - board_nbytes(0))
    parts = _parts(images)
    ends = np.cumsum([part.itemsize for part in parts])
    views: list[Any] = []
    for part, end in zip(parts, ends, strict=True):
        views.append(np.frombuffer(memory, part.base, math.prod(part.shape), int(end) - part.itemsize).reshape(part.shape))
    return Board(*views)


def load() -> None:
    """Import PyTorch. Raises InputError where that fails, which it may in many ways."""
    try:
        import torch  # noqa: F401
    except Exception as error:
        raise lacking(f"cannot be imported ({type(error).__name__}: {error})") from None


def lacking(how: str) -> InputError:
    """What to say where PyTorch is not to be had."""
    return InputError(f'kind "lenet" takes its gradients from PyTorch, which {how}: install the extra mpidec[torch]')


def begin(memory: mmap.mmap, threads: int) -> Work:
    """What computes on the board in `memory`, with so many threads."""
    import torch

    torch.set_num_threads(threads)
    f = torch.nn.functional
    own = board(memory)
    flat, classes, images = torch.from_numpy(own.x), torch.from_numpy(own.classes), torch.from_numpy(own.images)

    def scores(x: Any, m: int) -> Any:
        pieces = (piece.view(shape) for piece, shape in zip(x.split(SIZES), PARAMETERS, strict=True))
        layers = list(zip(pieces, pieces, strict=True))  # weights and biases by turns
        h = images[:m].to(torch.float32).mul_(1 / 255).view(-1, 1, SIDE, SIDE)
        h = f.max_pool2d(f.relu(f.conv2d(h, *layers[0], padding=2)), 2)
        h = f.max_pool2d(f.relu(f.conv2d(h, *layers[1])), 2).flatten(1)
        for layer in layers[2:4]:
            h = f.relu(f.linear(h, *layer))
        return f.linear(h, *layers[4])

    def work(what: int, m: int) -> None:
        if what == GRADIENT:
            x = flat.detach().requires_grad_()
            loss = f.cross_entropy(scores(x, m), classes[:m])
            own.gradient[:] = torch.autograd.grad(loss, x)[0].numpy()
        else:
            with torch.no_grad():
                own.scores[:m] = scores(flat, m).numpy()

    return work

"""Small sets of labeled images in the four IDX files of Fashion-MNIST."""

import gzip
from pathlib import Path

import numpy as np

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(items):
    """An array of bytes as IDX."""
    return np.array([0x0800 + items.ndim, *items.shape], ">u4").tobytes() + items.astype(np.uint8).tobytes()


def write_images(folder: Path, counts: tuple[int, int], shape: tuple[int, int]) -> None:
    """So many training and held-out images, compressed: noise, and a bright pixel by which the ten classes can be told."""
    rng = np.random.default_rng(0)
    for names, count in ((NAMES[:2], counts[0]), (NAMES[2:], counts[1])):
        y = np.arange(count) % 10
        X = rng.integers(0, 128, (count, shape[0] * shape[1]))
        X[np.arange(count), y % X.shape[1]] = 255
        for name, items in zip(names, (X.reshape(count, *shape), y), strict=True):
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(items)))

"""The four IDX files of Fashion-MNIST (arXiv 1708.07747): 60,000 training and 10,000 held-out images of ten classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError
from mpidec.problems.idx import Idx, open_idx

CLASSES = 10
FOLDER = "/usr/share/datasets/fashion-mnist"
"""Where the Debian package dataset-fashion-mnist puts them."""

Bytes = NDArray[np.uint8]


def open_part(folder: Path, part: str) -> tuple[Idx, Idx]:
    """Headers of the images and labels of a part, `train` or `t10k`. Raises InputError where they do not belong together."""
    images = open_idx(folder, f"{part}-images-idx3-ubyte", 3)
    labels = open_idx(folder, f"{part}-labels-idx1-ubyte", 1)
    if labels.count != images.count:
        raise InputError(f"{labels.path}: {labels.count} labels for the {images.count} images of {images.path.name}")
    return images, labels


def labels_of(file: Idx, public: int) -> Bytes:
    """All labels. Raises InputError unless each class is there, beyond the first `public` ones, and no other."""
    labels = file.all()
    if labels.max() >= CLASSES:
        first = int(np.argmax(labels >= CLASSES))
        raise InputError(
            f"{file.path}: label {labels[first]} of image {first}, counted from 0, at byte {file.header_bytes + first} of the "
            f"uncompressed file; wanted 0 to {CLASSES - 1}"
        )
    missing = sorted(set(range(CLASSES)) - set(labels[public:].tolist()))
    if missing:
        beyond = f" after the first {public}, which are public" if public else ""
        raise InputError(f"{file.path}: no image of class {missing[0]}{beyond}; use the whole data set")
    return labels

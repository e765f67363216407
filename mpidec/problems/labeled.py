"""Labeled samples for classification, mapped into memory: Fashion-MNIST, scikit-learn's digits, a user's files."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError
from mpidec.problems.cache import Arrays, cache_folder, checksum, keep
from mpidec.problems.fashion_files import CLASSES, labels_of, open_part
from mpidec.problems.files import map_array
from mpidec.problems.libsvm import read_libsvm

Labels = NDArray[np.int64]

DIGITS_HELD_OUT = 297
"""The last of the 1,797 digits, so that 1,500 are to be learned from."""

_NAMES = ("X", "y", "X_test", "y_test")


class Labeled(NamedTuple):
    """X (N, p) of any real type, to be multiplied by `scale`, and classes y (N,) from 0; held-out ones, perhaps none.

    `key` is a checksum of the data, `folder` where what follows from them may be kept.
    """

    X: NDArray[Any]
    y: Labels
    X_test: NDArray[Any]
    y_test: Labels
    classes: int
    scale: float
    key: str
    folder: Path


def fashion_mnist(path: str, key: str | None) -> Labeled:
    """The images' bytes, uncompressed in the cache. With `key`, the checksum is taken for granted.

    Raises InputError for files that are missing, damaged or do not belong together.
    """
    folder = Path(path)
    parts = [open_part(folder, part) for part in ("train", "t10k")]
    (images, _), (held_out, _) = parts
    if held_out.shape != images.shape:
        raise InputError(f"{held_out.path}: images of {held_out.shape}, but the training images are of {images.shape}")

    def make() -> Arrays:
        arrays: list[NDArray[Any]] = []
        for pictures, labels in parts:
            X = np.empty((pictures.count, pictures.item_bytes), np.uint8)
            for first, batch in pictures.batches():
                X[first : first + len(batch)] = batch
            arrays += [X, labels_of(labels, 0).astype(np.int64)]
        return dict(zip(_NAMES, arrays, strict=True))

    key = key or "fashion-" + checksum([file.path for part in parts for file in part])
    home = cache_folder(folder)
    arrays = keep(home, key, _NAMES, make)
    return _labeled(arrays, CLASSES, 1 / 255, key, home)


def digits(key: str | None) -> Labeled:
    """The 1,797 images of 8 x 8 pixels that come with scikit-learn. With `key`, the checksum is taken for granted.

    Raises InputError where it is not installed.
    """
    lacking = 'source "digits" is part of scikit-learn, which is not installed: install the extra mpidec[digits]'

    def make() -> Arrays:
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise InputError(lacking) from None
        X, y = load_digits(return_X_y=True)
        X, y, split = X.astype(np.uint8), y.astype(np.int64), len(X) - DIGITS_HELD_OUT
        return dict(zip(_NAMES, (X[:split], y[:split], X[split:], y[split:]), strict=True))

    if key is None:
        package = find_spec("sklearn")  # its import takes a second
        if package is None or package.origin is None:
            raise InputError(lacking)
        try:
            key = "digits-" + checksum([Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"])
        except OSError as error:
            raise InputError(f"{error.filename}: cannot be read: {error.strerror}; install scikit-learn again") from None
    home = cache_folder(None)
    arrays = keep(home, key, _NAMES, make)
    return _labeled(arrays, CLASSES, 1 / 16, key, home)


def sample_files(path: str, key: str | None) -> Labeled:
    """X.npy (N, p) and y.npy (N,) of a folder, with X_test.npy and y_test.npy if they are there; or LIBSVM text, with
    held-out samples in the file of that name and `.t`.

    Labels are whole numbers; the training labels in ascending order are the classes. Raises InputError naming the file and the
    sample or line for what is missing, truncated, not finite or out of range.
    """
    place = Path(path)
    text = place.is_file()
    if text and place.suffix in (".npy", ".npz"):
        raise InputError(f"{place}: got one array, wanted the folder that holds X.npy and y.npy")
    held_out = place.with_name(place.name + ".t") if text else place / "X_test.npy"
    files = [place] if text else [place / "X.npy", place / "y.npy"]
    if held_out.exists():
        files += [held_out] if text else [held_out, place / "y_test.npy"]
    elif not text and (place / "y_test.npy").exists():
        raise InputError(f"{place / 'y_test.npy'}: there is no X_test.npy beside it; add it, or take the labels away")

    def make() -> Arrays:
        lines: NDArray[np.int64] | None = None
        if text:
            X, y, _ = read_libsvm(place)
            X_test, y_test, lines = read_libsvm(held_out, X.shape[1]) if held_out.exists() else (X[:0], y[:0], None)
        else:
            X, y = _pair(files[0], files[1])
            X_test, y_test = _pair(files[2], files[3]) if len(files) > 2 else (X[:0], y[:0])
            if X_test.shape[1] != X.shape[1]:
                raise InputError(f"{files[2]}: {X_test.shape[1]} features, but {files[0].name} has {X.shape[1]}")
        y_file, y_test_file = (place, held_out) if text else (files[1], files[-1])
        kinds = np.unique(_whole(y, y_file))
        if len(kinds) < 2:
            raise InputError(f"{y_file}: all labels are {kinds[0]:g}; wanted at least two classes")
        _whole(y_test, y_test_file)
        strange = np.flatnonzero(~np.isin(y_test, kinds))
        if len(strange):
            first = strange[0]
            where = f"of sample {first}, counted from 0," if lines is None else f"on line {lines[first]}"
            raise InputError(
                f"{y_test_file}: label {y_test[first]:g} {where} is out of range: the "
                f"training labels are {kinds[0]:g} to {kinds[-1]:g}, of {len(kinds)} classes"
            )
        classes = [np.searchsorted(kinds, labels).astype(np.int64) for labels in (y, y_test)]
        return dict(zip(_NAMES, (X, classes[0], X_test, classes[1]), strict=True))

    if key is None:
        try:
            key = "files-" + checksum(files)
        except OSError as error:
            raise InputError(
                f"{error.filename}: cannot be read: {error.strerror}; `path` names a folder of X.npy and y.npy, or LIBSVM text"
            ) from None
    home = cache_folder(place.parent if text else place)
    arrays = keep(home, key, _NAMES if text else ("y", "y_test"), make)
    if not text and "X" not in arrays:  # they can be mapped where they lie
        X = map_array(files[0], 2, "(samples, features)")
        arrays |= {"X": X, "X_test": map_array(files[2], 2, "(samples, features)") if len(files) > 2 else X[:0]}
    return _labeled(arrays, int(arrays["y"].max()) + 1, 1.0, key, home)


def _labeled(arrays: Arrays, classes: int, scale: float, key: str, folder: Path) -> Labeled:
    X, y, X_test, y_test = (arrays[name] for name in _NAMES)
    return Labeled(X, y, X_test, y_test, classes, scale, key, folder)


def _pair(X_file: Path, y_file: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Features and labels of two .npy files. Raises InputError where they do not fit, or a feature is not finite."""
    X, y = map_array(X_file, 2, "(samples, features)"), map_array(y_file, 1, "(samples,)")
    if len(y) != len(X):
        raise InputError(f"{y_file}: {len(y)} labels for the {len(X)} samples of {X_file.name}")
    if X.dtype.kind == "f":
        for first in range(0, len(X), 4096):
            sound = np.isfinite(X[first : first + 4096]).all(axis=1)
            if not sound.all():
                raise InputError(
                    f"{X_file}: sample {first + int(sound.argmin())}, counted from 0, holds a value that is not finite"
                )
    return X, np.asarray(y, np.float64)


def _whole(labels: NDArray[np.float64], file: Path) -> NDArray[np.float64]:
    """The labels. Raises InputError for one that is no whole number."""
    wrong = np.flatnonzero(~(np.isfinite(labels) & (labels == np.rint(labels))))
    if len(wrong):
        raise InputError(
            f"{file}: label {labels[wrong[0]]:g} of sample {wrong[0]}, counted from 0; wanted whole numbers, one a class"
        )
    return labels

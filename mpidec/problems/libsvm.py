"""LIBSVM text: a sample a line, `label index:value index:value …`, indexes from 1 and ascending, values not named are 0."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError
from mpidec.problems.base import machine_nbytes

_LARGEST = float(np.finfo(np.float32).max)
_SPARSEST = 1e-5  # share of values given in what takes gigabytes; the sparsest common sets of text have 1e-4


class Samples(NamedTuple):
    """X (N, p), labels (N,), whole numbers, and the line of each (N,), counted from 1."""

    X: NDArray[np.float32]
    labels: NDArray[np.float64]
    lines: NDArray[np.int64]


def read_libsvm(path: Path, features: int | None = None) -> Samples:
    """The samples, of as many features as the largest index, or `features`. What follows a # is left out.

    Raises InputError naming the line for what is no such sample, for an index beyond `features`, and for one so large that X,
    which is dense, would take more than half of this machine's memory, or gigabytes of hardly anything but zeros.
    """
    largest, at = 0, 0
    labels: list[float] = []
    lines: list[int] = []
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                words = _ascii(line, path, number).partition("#")[0].split()
                if not words:
                    continue
                labels.append(_label(words[0], path, number))
                lines.append(number)
                before = 0
                for word in words[1:]:
                    index, value = _entry(word, path, number)
                    if index <= before:
                        raise InputError(f"{path}: line {number}: index {index} after {before}, wanted ascending ones from 1")
                    if features is not None and index > features:
                        raise InputError(f"{path}: line {number}: index {index}, but the training file has {features} features")
                    before = index
                    if index > largest:
                        largest, at = index, number
                    rows.append(len(labels) - 1)
                    columns.append(index - 1)
                    values.append(value)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}; give a file of LIBSVM text") from None
    if not labels:
        raise InputError(f"{path}: holds no sample; wanted lines `label index:value …`")
    width = features or max(largest, 1)
    needed, there = 4 * len(labels) * width, machine_nbytes()
    size = f"{len(labels)} samples of {width} features, {needed / 2**30:,.1f} GiB with {len(values)} values in them"
    if features is None and needed > 2**30 and 4 * len(values) < _SPARSEST * needed:
        raise InputError(f"{path}: line {at}: index {largest} makes {size}; number the features from 1 without gaps")
    if needed > there / 2:
        raise InputError(
            f"{path}: {size}, more than half of the {there / 2**30:,.0f} GiB of this machine; give fewer samples or features"
        )
    X = np.zeros((len(labels), width), np.float32)
    X[rows, columns] = values
    return Samples(X, np.array(labels), np.array(lines))


def _ascii(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("ascii")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: line {number}: byte {error.start + 1} is not ASCII text; wanted LIBSVM lines, or a folder of .npy files"
        ) from None


def _label(word: str, path: Path, number: int) -> float:
    if ":" in word:
        raise InputError(f"{path}: line {number}: no label before {word!r}; wanted `label index:value …`")
    try:
        if "_" in word:  # which Python allows between digits
            raise ValueError
        label = float(word)
    except ValueError:
        hint = "; is it CSV? convert it to LIBSVM text or .npy" if "," in word else ""
        raise InputError(f"{path}: line {number}: label {word[:40]!r}, wanted a number{hint}") from None
    if not label.is_integer():  # which what is not finite is neither
        raise InputError(f"{path}: line {number}: label {word[:40]}; wanted whole numbers, one a class")
    return label


def _entry(word: str, path: Path, number: int) -> tuple[int, float]:
    index, colon, value = word.partition(":")
    try:
        if not colon or "_" in word or not abs(given := float(value)) <= _LARGEST:
            raise ValueError
        return int(index), given
    except ValueError:
        raise InputError(
            f"{path}: line {number}: {word[:40]!r}, wanted index:value with a finite value, at most 3.4e38"
        ) from None

"""LIBSVM text: a sample a line, `label index:value index:value …`, indexes from 1 and ascending, values not named are 0."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError


def read_libsvm(path: Path, features: int | None = None) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """X (N, p) and labels (N,), p the largest index, or `features`. What follows a # is left out.

    Raises InputError naming the line for what is no such sample, and for an index beyond `features`.
    """
    labels: list[float] = []
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    try:
        with path.open(encoding="ascii") as file:
            for number, line in enumerate(file, 1):
                words = line.partition("#")[0].split()
                if not words:
                    continue
                labels.append(_label(words[0], path, number))
                before = 0
                for word in words[1:]:
                    index, value = _entry(word, path, number)
                    if index <= before:
                        raise InputError(f"{path}: line {number}: index {index} after {before}, wanted ascending ones from 1")
                    if features is not None and index > features:
                        raise InputError(f"{path}: line {number}: index {index}, but the training file has {features} features")
                    before = index
                    rows.append(len(labels) - 1)
                    columns.append(index - 1)
                    values.append(value)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.start} is not ASCII text; wanted LIBSVM lines, or a folder of .npy files"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}; give a file of LIBSVM text") from None
    if not labels:
        raise InputError(f"{path}: holds no sample; wanted lines `label index:value …`")
    X = np.zeros((len(labels), features or max(columns, default=0) + 1), np.float32)
    X[rows, columns] = values
    return X, np.array(labels)


def _label(word: str, path: Path, number: int) -> float:
    if ":" in word:
        raise InputError(f"{path}: line {number}: no label before {word!r}; wanted `label index:value …`")
    try:
        return float(word)
    except ValueError:
        hint = "; is it CSV? convert it to LIBSVM text or .npy" if "," in word else ""
        raise InputError(f"{path}: line {number}: label {word[:40]!r}, wanted a number{hint}") from None


def _entry(word: str, path: Path, number: int) -> tuple[int, float]:
    index, colon, value = word.partition(":")
    try:
        if not colon or not math.isfinite(float(value)):
            raise ValueError
        return int(index), float(value)
    except ValueError:
        raise InputError(f"{path}: line {number}: {word[:40]!r}, wanted index:value with a finite value") from None

"""IDX files (the format of MNIST and its kin), plain or gzipped, read as a stream."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError

_BATCH_BYTES = 1 << 18
_DEFLATED = 1032  # times shorter at most (zlib's technical details)


@dataclass(frozen=True)
class Idx:
    """The header of a file of bytes: `count` items of `shape`."""

    path: Path
    count: int
    shape: tuple[int, ...]

    @property
    def item_bytes(self) -> int:
        """Bytes an item."""
        return math.prod(self.shape)

    @property
    def header_bytes(self) -> int:
        """Bytes before the first item, uncompressed."""
        return 8 + 4 * len(self.shape)

    @property
    def length(self) -> int:
        """Bytes in all, uncompressed, header included."""
        return self.header_bytes + self.count * self.item_bytes

    def batches(self, stop: int | None = None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """The first `stop` items (all by default) in order: number of a batch's first item, batch (m, item bytes).

        Raises InputError for a file that ends early, goes on too long, or is damaged.
        """
        stop = self.count if stop is None else min(stop, self.count)
        size = max(1, _BATCH_BYTES // self.item_bytes)
        with _open(self.path) as file:
            _read(file, self.header_bytes, self)
            for first in range(0, stop, size):
                m = min(size, stop - first)
                data = _read(file, m * self.item_bytes, self)
                yield first, np.frombuffer(data, np.uint8).reshape(m, self.item_bytes)
            if stop == self.count and _read(file, 1, self, at_most=True):
                raise InputError(f"{self.path}: longer than {_wanted(self)}; is it the right file?")

    def all(self) -> NDArray[np.uint8]:
        """All items, (count, *shape). Raises InputError as `batches` does."""
        return np.concatenate([batch for _, batch in self.batches()]).reshape(self.count, *self.shape)

    def check_whole(self) -> None:
        """Raise InputError unless the file is as long as its header promises and, if gzipped, its checksum is right."""
        if self.path.suffix == ".gz":
            for _ in self.batches():
                pass  # the checksum stands at the end
        else:
            length = self.path.stat().st_size
            if length != self.length:
                raise _wrong_length(self, length)


def open_idx(folder: Path, name: str, dimensions: int) -> Idx:
    """Read the header of `name` or `name`.gz in `folder`.

    Raises InputError where neither is there, or the file is not an IDX file of bytes with so many dimensions.
    """
    path = folder / name
    if not path.exists():
        path = folder / f"{name}.gz"
    header = Idx(path, 0, (1,) * (dimensions - 1))
    try:
        with _open(path) as file:
            data = _read(file, 4 + 4 * dimensions, header)
    except OSError as error:
        raise InputError(
            f"{folder / name}(.gz): cannot be read: {error.strerror or error}; give the `path` of a folder of IDX "
            "files, or install the Debian package dataset-fashion-mnist"
        ) from None
    magic, *sizes = (int(k) for k in np.frombuffer(data, ">u4"))
    if magic != 0x0800 + dimensions:
        raise InputError(
            f"{path}: magic number {magic}, wanted {0x0800 + dimensions} (IDX, bytes, {dimensions} dimensions); "
            "is it the right file?"
        )
    if 0 in sizes:
        raise InputError(f"{path}: is empty: its header says {' x '.join(map(str, sizes))}")
    found = Idx(path, sizes[0], tuple(sizes[1:]))
    length = path.stat().st_size
    if found.length > length * (_DEFLATED if path.suffix == ".gz" else 1):  # before room is made for what it promises
        raise _wrong_length(found, length)
    return found


def _open(path: Path) -> BufferedReader | gzip.GzipFile:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _read(file: BufferedReader | gzip.GzipFile, size: int, header: Idx, at_most: bool = False) -> bytes:
    """Exactly `size` bytes more, or at most as many."""
    before, data = file.tell(), b""
    try:
        while len(data) < size and (more := file.read1(size - len(data))):
            data += more
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        there = before + len(data)
        raise InputError(
            f"{header.path}: truncated or damaged after {there} bytes of {_wanted(header)} ({error}); copy it again"
        ) from None
    if len(data) < size and not at_most:
        raise _wrong_length(header, before + len(data))
    return data


def _wrong_length(header: Idx, length: int) -> InputError:
    return InputError(f"{header.path}: {length} bytes, wanted {_wanted(header)}; copy it again")


def _wanted(header: Idx) -> str:
    if not header.count:
        return "an IDX header"
    items = " x ".join(str(k) for k in (header.count, *header.shape))
    return f"the {header.length} that its header promises ({items})"

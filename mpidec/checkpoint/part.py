"""One rank's part of a checkpoint, a file: a line of JSON, the arrays as .npy one after the other, a CRC-32 of all that.

No pickles: what a part can hold is numbers. CRC-32 notices every damage within 32 neighboring bits, and of other damage
all but one in 2^32.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mpidec.engine import Meter, Start
from mpidec.errors import InputError

Array = NDArray[Any]
Layout = tuple[list[int], list[int]]
"""Shape and strides."""

_FORMAT = 1
_TRAILER = 9  # eight hexadecimal digits and a line's end
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Snapshot:
    """All that a rank needs to go on: where it stood, and what it cost so far.

    `costs` are numbers and lists of them; `library` as in `Meter.library`.
    """

    start: Start
    costs: dict[str, Any]
    library: dict[Any, tuple[Array, Array]]

    @staticmethod
    def of(start: Start, meter: Meter, transcript: int) -> Snapshot:
        """That of this rank, its meter paused."""
        costs = {
            "seconds": meter.seconds,
            "checkpoint_seconds": meter.checkpoint_seconds,
            "comm": meter.clock.comm,
            "transcript": transcript,
            "ledger": meter.ledger.counts(),
        }
        return Snapshot(start, costs, dict(meter.library))

    @property
    def transcript(self) -> int:
        """See `Link.transcript`."""
        return int(self.costs["transcript"])

    def put_back(self, meter: Meter) -> None:
        """Make a new meter stand where this one stood; what it has counted since it was made stays."""
        meter.seconds = self.costs["seconds"]
        meter.checkpoint_seconds = self.costs["checkpoint_seconds"]
        meter.clock.comm = self.costs["comm"]
        meter.ledger.add(self.costs["ledger"])
        meter.library = dict(self.library)


def write_part(path: Path, tag: dict[str, Any], snapshot: Snapshot) -> None:
    """Write a part and see it to the disk; `tag` says what it is a part of. Raises OSError, with a part of it written."""
    state = snapshot.start.state
    arrays = [_dense(np.asarray(x)) for x in (*state, *(part for counts in snapshot.library.values() for part in counts))]
    head = {
        "format": _FORMAT,
        "tag": tag,
        "step": snapshot.start.step,
        "bad_step": snapshot.start.bad_step,
        "class": [type(state).__module__, type(state).__qualname__],
        "fields": {name: _kind(x) for name, x in zip(state._fields, state, strict=True)},
        "accounts": list(snapshot.library),
        "layouts": [(x.shape, x.strides) for x in arrays],
        "costs": snapshot.costs,
    }
    with path.open("wb") as file:
        sink = _Summing(file)
        sink.write(json.dumps(head).encode() + b"\n")
        for x in arrays:
            _write_array(sink, x)
        file.write(f"{sink.crc:08x}\n".encode())
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def read_part(path: Path, tag: dict[str, Any]) -> Snapshot:
    """Read a part back. Raises InputError where it is not there, is damaged or is not what `tag` says."""
    try:
        with path.open("rb") as file:
            _check_sum(file, path)
            head = json.loads(file.readline())
            if (head["format"], head["tag"]) != (_FORMAT, tag):
                raise InputError(f"{path} is of another set: got {head['tag']}, wanted {tag}")
            layouts = iter(head["layouts"])
            fields = {name: _as_kind(_read_array(file, next(layouts)), kind) for name, kind in head["fields"].items()}
            library = {name: (_read_array(file, next(layouts)), _read_array(file, next(layouts))) for name in head["accounts"]}
    except FileNotFoundError:
        raise InputError(f"there is no {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    state = _state_class(head["class"], tuple(fields))(*fields.values())
    return Snapshot(Start(state, head["step"], head["bad_step"]), head["costs"], library)


def sync_folder(folder: Path) -> None:
    """See a folder's entries to the disk, so that a file that was written there is found after a power cut."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


class _Summing:
    """A file that knows the CRC-32 of what was written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.crc = 0

    def write(self, data: bytes | memoryview) -> None:
        self.crc = zlib.crc32(data, self.crc)
        self._file.write(data)


def _check_sum(file: IO[bytes], path: Path) -> None:
    """Raise InputError where the file's end is not the CRC-32 of the rest; leave it at its start."""
    left = os.fstat(file.fileno()).st_size - _TRAILER
    crc = 0
    while left > 0 and (data := file.read(min(left, _CHUNK))):
        crc = zlib.crc32(data, crc)
        left -= len(data)
    if left or file.read() != f"{crc:08x}\n".encode():
        raise InputError(f"{path} is damaged: its checksum does not fit")
    file.seek(0)


def _dense(x: Array) -> Array:
    """x, or a copy of it without gaps between its numbers."""
    dense = sum((n - 1) * stride for n, stride in zip(x.shape, x.strides, strict=True)) + x.itemsize == x.nbytes
    return x if dense and min(x.strides, default=0) >= 0 else x.copy(order="K")


def _write_array(sink: _Summing, x: Array) -> None:
    """The numbers of a dense array, in the order in which they lie in memory."""
    flat = np.lib.stride_tricks.as_strided(x, (x.size,), (x.itemsize,))
    np.lib.format.write_array_header_1_0(sink, np.lib.format.header_data_from_array_1_0(flat))
    sink.write(flat.view(np.uint8).data)


def _read_array(file: IO[bytes], layout: Layout) -> Array:
    # as it lay in memory: BLAS may add up in another order where rows and columns lie the other way round
    flat = np.lib.format.read_array(file, allow_pickle=False)
    return np.ndarray(tuple(layout[0]), flat.dtype, flat, strides=tuple(layout[1]))


def _kind(x: Any) -> str:
    """What a field was: Python's numbers take the precision of what they meet, NumPy's do not."""
    return "array" if isinstance(x, np.ndarray) else "scalar" if isinstance(x, np.generic) else "number"


def _as_kind(x: Array, kind: str) -> Any:
    return x if kind == "array" else x[()] if kind == "scalar" else x.item()


def _state_class(known_as: list[str], fields: tuple[str, ...]) -> Any:
    """The class of a state: the algorithm's own where it can be found by its name, else one with the same fields."""
    from collections import namedtuple

    module, name = known_as
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if getattr(found, "_fields", None) == fields else namedtuple("State", fields)  # noqa: PYI024

"""The run folder, written by rank 0 as the run goes, so that an interrupted run leaves a usable one."""

from __future__ import annotations

import json
import os
import shutil
import threading
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import IO, Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from mpidec.engine import Row
from mpidec.errors import InputError
from mpidec.ledger import LedgerRow

FORMAT = 1
"""Of the run folder, in run.json: goes up when files or columns change so that what reads them must know."""

LEDGER_COLUMNS = (
    "method",
    "account",
    "rank",
    "neighbor",
    "messages",
    "bytes",
    "received_messages",
    "received_bytes",
    "same_host",
    "basis",
    "library_messages",
    "library_bytes",
)


def now() -> str:
    """The time of day, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def default_folder(name: str) -> Path:
    """`runs/NAME-DATE-TIME` under the current folder."""
    return Path("runs") / f"{name}-{datetime.now().strftime('%Y%m%d-%H%M%S')}"


def check_new(folder: Path) -> None:
    """Raise InputError where something of this name is there, or a folder could not be."""
    try:
        str(folder).encode()
        folder.lstat()
    except FileNotFoundError:
        return
    except UnicodeEncodeError:
        raise InputError(f"the output folder {str(folder)!a} is not UTF-8: give another --out") from None
    except OSError as error:
        raise InputError(f"cannot make the output folder {folder}: {error.strerror}; give another --out") from None
    raise InputError(f"the output folder {folder} exists and is never overwritten: give another --out")


def replace(path: Path, data: bytes) -> None:
    """Put a new content in place whole: by renaming a finished copy, or, on a full disk, into the blocks that it has.

    Raises OSError where neither goes; the former content stays.
    """
    temporary = path.with_name(path.name + ".partial")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        if not path.exists():
            raise
        with path.open("r+b", buffering=0) as file:
            before = file.read()
            try:
                _write_all(file, 0, data)
            except OSError:
                _write_all(file, 0, before)
                raise


class Recorder:
    """Writes experiment.toml, run.json, graph.txt, trace.csv, ledger.csv and final.npz into a new folder.

    `folder` None takes the first free one of `default_folder(name)`, the same with -2, with -3, and so on. Raises
    InputError when the folder exists or cannot be made; OSError when a write fails later. Every file is complete
    after each call, run.json and final.npz by renaming a finished copy. `finish` may be called from another thread.
    """

    def __init__(self, folder: Path | None, experiment: dict[str, Any], about: dict[str, Any]) -> None:
        self.folder = _make(folder) if folder is not None else _make_next(default_folder(experiment["name"]))
        self._about = {"format": FORMAT, **about, "status": "running", "start": now(), "end": None, "methods": {}}
        self._lock = threading.Lock()
        self._trace: IO[bytes] | None = None
        self._trace_columns: list[str] = []
        try:
            replace(self.folder / "experiment.toml", tomli_w.dumps(experiment).encode())
            self._write_about()
            replace(self.folder / "ledger.csv", _line(LEDGER_COLUMNS).encode())
        except OSError as error:
            raise InputError(f"cannot write into {self.folder}: {error.strerror}; give another --out") from None

    def graph(self, nodes: int, rank: int, neighbors: Sequence[int]) -> None:
        """Add one rank's edges to graph.txt, ranks ascending: a file that `topology = "edge_list"` reads."""
        lines = [f"# nodes {nodes}\n"] if rank == 0 else []
        lines += [f"{rank} {other}\n" for other in neighbors if other > rank]
        with self._lock, (self.folder / "graph.txt").open("ab", buffering=0) as file:
            _append(file, "".join(lines))

    def row(self, method: str, row: Row) -> None:
        """Add one observation to trace.csv."""
        with self._lock:
            if self._trace is None:
                self._trace_columns = ["method", *row]
                self._trace = (self.folder / "trace.csv").open("wb", buffering=0)
                _append(self._trace, _line(self._trace_columns))
            values = {"method": method, **row}
            _append(self._trace, _line([_number(values[c]) for c in self._trace_columns]))

    def ledger(self, method: str, rank: int, rows: Sequence[LedgerRow]) -> None:
        """Add one rank's ledger of a method to ledger.csv."""
        lines = []
        for r in rows:
            counts = (r.messages, r.bytes, r.received_messages, r.received_bytes, int(r.same_host), r.basis)
            library = ("" if n is None else n for n in (r.library_messages, r.library_bytes))
            lines.append(_line([method, r.account, rank, r.neighbor, *counts, *library]))
        with self._lock, (self.folder / "ledger.csv").open("ab", buffering=0) as file:
            _append(file, "".join(lines))

    def outcome(self, method: str, how: dict[str, Any]) -> None:
        """Note in run.json how a method ended."""
        with self._lock:
            self._about["methods"][method] = how
            self._write_about()

    def finish(self, status: str, **more: Any) -> None:
        """Write the end into run.json; the first call counts."""
        with self._lock:
            if self._about["end"] is None:
                self._about.update(status=status, end=now(), **more)
                self._write_about()

    def _write_about(self) -> None:
        replace(self.folder / "run.json", json.dumps(self._about, indent=2, default=str).encode() + b"\n")


def _make(folder: Path) -> Path:
    check_new(folder)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"cannot make the output folder {folder}: {error.strerror}; give another --out") from None
    return folder


def _make_next(folder: Path) -> Path:
    """A folder of this name or the next: runs that start in the same second each get their own."""
    for i in count(1):
        numbered = folder if i == 1 else folder.with_name(f"{folder.name}-{i}")
        try:
            numbered.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise InputError(f"cannot make the output folder {numbered}: {error.strerror}; give --out") from None
        return numbered
    raise AssertionError  # a count has no end


class FinalArrays:
    """Adds arrays of all nodes to final.npz, one node's part at a time, as `(L, *shape)` each.

    Writes a copy and renames it at `close`, so that final.npz is always whole.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "final.npz"
        self._partial = folder / "final.npz.partial"
        self._zip: zipfile.ZipFile | None = None
        self._entry: IO[bytes] | None = None

    def begin(self, name: str, nodes: int, like: NDArray[Any]) -> None:
        """Start the array `name` of shape (nodes, *like.shape) and like's dtype."""
        self._end()
        if self._zip is None:
            if self._path.exists():
                shutil.copyfile(self._path, self._partial)
            self._zip = zipfile.ZipFile(self._partial, "a", zipfile.ZIP_STORED, allowZip64=True)
        self._entry = self._zip.open(f"{name}.npy", "w", force_zip64=True)
        description = np.lib.format.dtype_to_descr(like.dtype)
        header = {"descr": description, "fortran_order": False, "shape": (nodes, *like.shape)}
        np.lib.format.write_array_header_1_0(self._entry, header)

    def take(self, x: NDArray[Any]) -> None:
        """Add the next node's part; nodes come in ascending order."""
        assert self._entry is not None
        self._entry.write(x.tobytes())

    def close(self) -> None:
        """End the file and put it in place."""
        self._end()
        if self._zip is not None:
            self._zip.close()
            os.replace(self._partial, self._path)
            self._zip = None

    def abandon(self) -> None:
        """Give up a file that was not closed: what cannot be written is dropped, and the file before it stays."""
        if self._zip is not None:
            with suppress(OSError):
                self._end()
            with suppress(OSError, ValueError):
                self._zip.close()
            self._entry = self._zip = None
            self._partial.unlink(missing_ok=True)

    def _end(self) -> None:
        if self._entry is not None:
            self._entry.close()
            self._entry = None


def _append(file: IO[bytes], line: str) -> None:
    """Write a line whole or not at all: a full disk takes a part of it, which is taken back."""
    start = file.seek(0, os.SEEK_END)
    try:
        _write_all(file, start, line.encode())
    except OSError:
        file.truncate(start)
        raise


def _write_all(file: IO[bytes], start: int, data: bytes) -> None:
    """Write from `start` on and end the file there; raises OSError with a part written."""
    file.seek(start)
    while data:
        data = data[file.write(data) :]
    file.truncate()


def _number(value: Any) -> Any:
    return repr(float(value)) if isinstance(value, float) else value


def _line(values: Sequence[Any]) -> str:
    return ",".join(_quoted(str(v)) for v in values) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text

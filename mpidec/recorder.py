"""The run folder, written by rank 0 as the run goes, so that an interrupted run leaves a usable one."""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
import shutil
import socket
import threading
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from mpidec.checkpoint.part import sync_folder
from mpidec.engine import Row
from mpidec.errors import InputError
from mpidec.ledger import LedgerRow
from mpidec.resuming import Opened, cut_back
from mpidec.run_folder import (
    FORMAT,
    LEDGER_COLUMNS,
    SETTINGS,
    default_folder,
    hold,
    make,
    make_next,
    now,
    replace,
    write_all,
)


class Recorder:
    """Writes experiment.toml, run.json, graph.txt, trace.csv, ledger.csv and final.npz into a new folder, or one opened again.

    `folder` None takes the first free one of `default_folder(name)`, the same with -2, with -3, and so on. Raises
    InputError when the folder exists or cannot be made; OSError when a write fails later. Every file is complete
    after each call, run.json and final.npz by renaming a finished copy. `finish` may be called from another thread.
    The folder is held against other runs as long as the recorder is there.
    """

    def __init__(
        self, folder: Path | None, experiment: dict[str, Any], about: dict[str, Any], opened: Opened | None = None
    ) -> None:
        start = {"command": about.get("command"), "time": now(), "host": socket.gethostname(), "method": None, "step": None}
        self._about = {
            "format": FORMAT,
            "run_id": secrets.token_hex(8),
            **about,
            "status": "running",
            "start": now(),
            "end": None,
            "methods": {},
            "starts": [start],
        }
        self._lock = threading.Lock()
        self._trace: IO[bytes] | None = None
        self._trace_columns: list[str] = []
        self._graph_before: bytes | None = None
        self._graph_again = zlib.crc32(b"")
        self._durable = "checkpoint" in experiment
        self._before = opened.about if opened is not None else {}
        if opened is not None:
            self.folder, self._settings = opened.folder, opened.settings
        else:
            self.folder = make(folder) if folder is not None else make_next(default_folder(experiment["name"]))
            self._settings = hold(self.folder, must=self._durable)
        if self._before:
            self._about |= {name: self._before[name] for name in ("start", "methods", "run_id") if name in self._before}
            self._about["starts"] = [*self._before.get("starts", []), start]
            return
        try:
            self._settings.truncate(0)
            write_all(self._settings, 0, tomli_w.dumps(experiment).encode())
            self._write_about()
            replace(self.folder / "ledger.csv", _lines(LEDGER_COLUMNS).encode())
        except OSError as error:
            raise InputError(f"cannot write into {self.folder}: {error.strerror}; give another --out") from None

    @property
    def run_id(self) -> str:
        """What tells this run from all others, started again or not."""
        return str(self._about["run_id"])

    def go_on(self, method: str | None, step: int | None) -> None:
        """In a folder opened again: drop what is ahead of the step that `method` goes on from, and note this start.

        A `step` None begins the method anew; a `method` None says that there is none left. Raises InputError where that
        cannot be written.
        """
        if not self._before:
            return
        with self._lock:
            self._about["starts"][-1] |= {"method": method, "step": step}
            try:
                cut_back(self.folder, self._about["methods"], method, -1 if step is None else step)
                ledger, trace, graph = (self.folder / name for name in ("ledger.csv", "trace.csv", "graph.txt"))
                if not ledger.exists():
                    replace(ledger, _lines(LEDGER_COLUMNS).encode())
                if trace.exists():
                    self._trace = trace.open("r+b", buffering=0)
                    with trace.open(newline="") as file:
                        self._trace_columns = next(csv.reader(file))
                if self._about["methods"] or step is not None:
                    self._graph_before = graph.read_bytes()
                else:
                    graph.unlink(missing_ok=True)  # it may be a part of it
                self._write_about()
            except OSError as error:
                raise InputError(f"cannot go on in {self.folder}: {error.strerror}; make room there") from None

    def sync(self) -> None:
        """See what was written to the disk. Raises OSError."""
        with self._lock:
            self._sync()

    def _sync(self) -> None:
        for name in (SETTINGS, "graph.txt", "trace.csv", "ledger.csv", "final.npz", "run.json"):
            path = self.folder / name
            if path.exists():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        sync_folder(self.folder)

    def graph(self, nodes: int, rank: int, neighbors: Sequence[int]) -> None:
        """Add one rank's edges to graph.txt, ranks ascending: a file that `topology = "edge_list"` reads."""
        lines = [f"# nodes {nodes}\n"] if rank == 0 else []
        lines += [f"{rank} {other}\n" for other in neighbors if other > rank]
        if self._graph_before is not None:
            self._graph_again = zlib.crc32("".join(lines).encode(), self._graph_again)
            return
        with self._lock, (self.folder / "graph.txt").open("ab", buffering=0) as file:
            _append(file, "".join(lines))

    def check_graph(self) -> None:
        """Once all edges are there: raise InputError where they are not those of the run that is to go on."""
        if self._graph_before is not None and zlib.crc32(self._graph_before) != self._graph_again:
            raise InputError(f"{self.folder} holds a run on another graph (see graph.txt): give another --out")

    def row(self, method: str, row: Row) -> None:
        """Add one observation to trace.csv."""
        with self._lock:
            if self._trace is None:
                self._trace_columns = ["method", *row]
                self._trace = (self.folder / "trace.csv").open("wb", buffering=0)
                _append(self._trace, _lines(self._trace_columns))
            values = {"method": method, **row}
            _append(self._trace, _lines([values[c] for c in self._trace_columns]))

    def ledger(self, lines: str) -> None:
        """Add `ledger_lines` to ledger.csv."""
        with self._lock, (self.folder / "ledger.csv").open("ab", buffering=0) as file:
            _append(file, lines)

    def outcomes(self, ends: Mapping[str, dict[str, Any]]) -> None:
        """Note in run.json how methods ended, of all or of none: they are not run again when the run goes on.

        The rows of methods that went abreast alternate in trace.csv, so that it can be cut for all of them only.
        """
        with self._lock:
            if self._durable:
                self._sync()
            before = self._about["methods"]
            self._about["methods"] = {**before, **ends}
            try:
                self._write_about()
            except OSError:
                self._about["methods"] = before
                raise
            if self._durable:
                self._sync()

    def finish(self, status: str, **more: Any) -> None:
        """Write the end into run.json; the first call counts."""
        with self._lock:
            if self._about["end"] is None:
                self._about.update(status=status, end=now(), **more)
                self._write_about()

    def _write_about(self) -> None:
        replace(self.folder / "run.json", json.dumps(self._about, indent=2, default=str).encode() + b"\n")


def ledger_lines(method: str, rank: int, rows: Sequence[LedgerRow]) -> str:
    """One rank's ledger of a method, in lines of ledger.csv."""
    lines = []
    for r in rows:
        counts = (r.messages, r.bytes, r.received_messages, r.received_bytes, int(r.same_host), r.basis)
        lines.append((method, r.account, rank, r.neighbor, *counts, r.library_messages, r.library_bytes))
    return _lines(*lines)


class FinalArrays:
    """Adds arrays of all nodes to final.npz, one node's part at a time, as `(L, *shape)` each.

    Writes a copy and renames it at `close`, so that final.npz is always whole.
    """

    def __init__(self, folder: Path, nodes: int) -> None:
        self._path = folder / "final.npz"
        self._partial = folder / "final.npz.partial"
        self._nodes = nodes
        self._zip: zipfile.ZipFile | None = None
        self._entry: IO[bytes] | None = None

    def take(self, name: str, node: int, x: NDArray[Any]) -> None:
        """Add a node's part of the array `name`; nodes come in ascending order."""
        if node == 0:
            self._begin(name, x)
        assert self._entry is not None
        self._entry.write(x.tobytes())

    def _begin(self, name: str, like: NDArray[Any]) -> None:
        self._end()
        if self._zip is None:
            goes_on = self._path.exists()
            if goes_on:
                shutil.copyfile(self._path, self._partial)
            # what a killed run left there is no part of it
            self._zip = zipfile.ZipFile(self._partial, "a" if goes_on else "w", zipfile.ZIP_STORED, allowZip64=True)
        self._entry = self._zip.open(f"{name}.npy", "w", force_zip64=True)
        description = np.lib.format.dtype_to_descr(like.dtype)
        header = {"descr": description, "fortran_order": False, "shape": (self._nodes, *like.shape)}
        np.lib.format.write_array_header_1_0(self._entry, header)

    def close(self) -> None:
        """End the file and put it in place."""
        self._end()
        if self._zip is not None:
            self._zip.close()
            os.replace(self._partial, self._path)
            self._zip = None

    def abandon(self) -> None:
        """Give up what was not closed, a copy that did not fit too; the file before it stays."""
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
        write_all(file, start, line.encode())
    except OSError:
        file.truncate(start)
        raise


def _lines(*rows: Sequence[Any]) -> str:
    """Rows of CSV; None is an empty field."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()

"""Going on in a run folder: opening it again, and cutting back what is ahead of the checkpoint that a run goes on from."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mpidec.config import read_table
from mpidec.errors import InputError
from mpidec.overrides import as_read, difference
from mpidec.reader import read_about
from mpidec.run_folder import SET_UP, SETTINGS, hold

MAY_DIFFER = "checkpoint"
"""The section of an experiment file that does not decide what a run computes."""


@dataclass(frozen=True)
class Opened:
    """A run folder that is held. `about` is its run.json, empty where the run was killed before it wrote one."""

    folder: Path
    settings: IO[bytes]
    about: dict[str, Any]

    @property
    def finished(self) -> dict[str, dict[str, Any]]:
        """How the methods ended that need not be run again."""
        return dict(self.about.get("methods", {}))


def open_again(folder: Path, experiment: Mapping[str, Any], library_bytes: bool) -> Opened | None:
    """Hold the folder of a run that is to go on; None where there is nothing yet.

    Raises InputError where another run holds it, or it is of other settings than `experiment`, resolved.
    """
    if not folder.exists():
        return None
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else {str(folder)}
    if there and SETTINGS not in there:
        raise InputError(f"{folder} is no run folder, and there is nothing in it to go on with: give another --out")
    settings = hold(folder, must=True)
    if not (folder / "run.json").exists():
        if foreign := there - {SETTINGS} - {name for name in there if name.endswith(".partial")}:
            raise InputError(f"{folder} has no run.json, but {min(foreign)}: give another --out")
        return Opened(folder, settings, {})
    read_about(folder)  # which says what is wrong with it
    about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    before, wanted = read_table(folder / SETTINGS), as_read(experiment)
    before["--library-bytes"], wanted["--library-bytes"] = bool(about.get("library_bytes")), library_bytes
    for table in (before, wanted):
        table.pop(MAY_DIFFER, None)
    if different := difference(before, wanted):
        raise InputError(f"{folder} holds a run of other settings ({different}): give those again, or another --out")
    return Opened(folder, settings, about)


def cut_back(folder: Path, finished: Collection[str], method: str | None, step: int) -> None:
    """Take out of trace.csv, ledger.csv and final.npz what will come again. Raises OSError.

    What stays is of `finished` methods, and of `method` the observations up to `step`. In both tables that is all up to
    some line, so they are cut off there, which needs no room on the disk.
    """

    def traced(line: bytes) -> bool:
        label, number = line.split(b",", 2)[:2]
        return label.decode() in finished or (label.decode() == method and int(number) <= step)

    _cut(folder / "trace.csv", traced)
    _cut(folder / "ledger.csv", lambda line: line.split(b",", 1)[0].decode() in (*finished, SET_UP))
    path = folder / "final.npz"
    if path.exists():
        with zipfile.ZipFile(path) as all_arrays:
            kept = [entry for entry in all_arrays.infolist() if entry.filename.rpartition("/")[0] in finished]
            if len(kept) == len(all_arrays.infolist()):
                return
            partial = folder / "final.npz.partial"
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED, allowZip64=True) as left:
                for entry in kept:
                    with all_arrays.open(entry) as source, left.open(entry.filename, "w", force_zip64=True) as copy:
                        shutil.copyfileobj(source, copy)
        os.replace(partial, path)


def _cut(path: Path, keep: Callable[[bytes], bool]) -> None:
    """Cut a table off at the first line that is not whole or not to keep; a table without a heading is removed."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = 0
        for i, line in enumerate(file):
            if not line.endswith(b"\n") or (i > 0 and not keep(line)):
                break
            end += len(line)
        file.truncate(end)
        os.fsync(file.fileno())
    if end == 0:
        path.unlink()

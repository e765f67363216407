"""Folders to runs: what was given is a run folder, or holds run folders; all are of one problem."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpidec.config import read_table
from mpidec.errors import InputError
from mpidec.reader import About, Trace, Traffic, read_about, read_edges, read_trace, read_traffic

Settings = dict[str, Any]
"""Settings by dotted keys, those of a method under `method.LABEL`."""

_FILES = ("run.json", "trace.csv", "ledger.csv")
"""Any of these makes a folder a run folder, whole or not."""


@dataclass(frozen=True)
class Run:
    """One run folder, read. `name` is how the page calls it; `edges` (m, 2); `traffic` knows methods whose ledger is whole."""

    name: str
    folder: Path
    about: About
    experiment: Mapping[str, Any]
    trace: Trace
    traffic: Mapping[str, Traffic]
    edges: NDArray[np.int64]

    @property
    def seed(self) -> int:
        """The experiment's seed."""
        return int(self.experiment.get("seed", 0))

    @cached_property
    def methods(self) -> dict[str, Settings]:
        """The settings of each method by its label."""
        return {str(table["label"]): flat(table) for table in self.experiment["method"]}

    @cached_property
    def settings(self) -> Settings:
        """All settings beside the methods'."""
        return flat({key: value for key, value in self.experiment.items() if key != "method"})

    def troubles(self) -> list[str]:
        """What a reader must know before believing the numbers: an unfinished run, a method that diverged or never began."""
        told = []
        status = self.about.status
        if status == "running":
            told.append("it was still running when this page was made, or ended without a word: its figures are of a part")
        elif status in ("interrupted", "failed"):
            reason = f" ({self.about.reason})" if self.about.reason else ""
            told.append(f"it was {status}{reason}" if status == "interrupted" else f"it failed{reason}")
        if self.about.abreast:
            told.append("its methods went abreast: seconds are those of all together, and where the time went is no one's")
        for label in self.methods:
            how = self.about.methods.get(label)
            if label not in self.trace:
                told.append(f"{label} has no observation: it did not begin")
            elif how is None:
                told.append(
                    f"{label} was cut off after iteration {self.trace[label][-1]['step']:,.0f}; its ledger is not there"
                )
            elif how.ending == "diverged":
                told.append(f"{label} diverged: an estimate or its error was beyond all bounds at iteration {how.bad_step:,}")
        return told


@dataclass(frozen=True)
class Collection:
    """The runs of a report, and sentences on folders that were found but left out."""

    runs: tuple[Run, ...]
    left_out: tuple[str, ...]


def collect(folders: Sequence[Path]) -> Collection:
    """Read all runs in `folders`, each once, in the order given and by name inside a folder that holds several.

    Raises InputError where a folder holds no run, a run cannot be read, or problems differ. A run without an observation
    is refused where it was named itself; found inside a folder, where a sweep may still be going on, it is left out and told.
    """
    places: dict[Path, bool] = {}  # whether it was named itself
    for folder in folders:
        if not folder.exists():
            raise InputError(f"there is no folder {folder}: give a folder that mpidec run has written, or one that holds such")
        if not folder.is_dir():
            raise InputError(f"{folder} is a file: give the run folder it lies in")
        named = any((folder / name).is_file() for name in _FILES)
        found = [folder] if named else list(_inside(folder))
        if not found:
            raise InputError(f"{folder} is no run folder and holds none: give a folder that mpidec run has written")
        for place in found:
            places[place.resolve()] = places.get(place.resolve(), False) or named
    base = Path(os.path.commonpath([place.parent for place in places]))
    runs, left_out = [], []
    for place, named in places.items():
        about = read_about(place)
        if not named and not _observed(place):
            left_out.append(f"{place.relative_to(base)} is left out: it holds no observation yet (status: {about.status})")
            continue
        runs.append(_read(place, str(place.relative_to(base)), about))
    if not runs:
        raise InputError(f"{', '.join(map(str, folders))}: no run holds an observation yet; wait for the first, or run again")
    _require_one_problem(runs)
    return Collection(tuple(runs), tuple(left_out))


def flat(table: Mapping[str, Any], prefix: str = "") -> Settings:
    """A nested table by dotted keys."""
    settings: Settings = {}
    for key, value in table.items():
        settings |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return settings


def _inside(folder: Path) -> Iterator[Path]:
    """The run folders under `folder`, by name."""
    for place, below, files in os.walk(folder):
        below.sort()
        if any(name in files for name in _FILES):
            below.clear()
            yield Path(place)


def _observed(place: Path) -> bool:
    path = place / "trace.csv"
    if not path.exists():
        return False
    with path.open("rb") as file:
        return sum(1 for _ in zip(file, range(2), strict=False)) == 2


def _read(place: Path, name: str, about: About) -> Run:
    experiment = read_table(place / "experiment.toml")
    methods = experiment.get("method")
    if not isinstance(methods, list) or not all(isinstance(m, dict) and isinstance(m.get("label"), str) for m in methods):
        raise InputError(f"{place / 'experiment.toml'}: wanted [[method]] tables with a label each; copy the run folder again")
    if not isinstance(experiment.get("problem"), dict):
        raise InputError(f"{place / 'experiment.toml'}: wanted a table [problem]; copy the run folder again")
    if not isinstance(experiment.get("seed"), int):
        raise InputError(f"{place / 'experiment.toml'}: wanted a whole number for seed; copy the run folder again")
    trace, ledger = read_trace(place), read_traffic(place)
    if strangers := trace.keys() - {m["label"] for m in methods}:
        raise InputError(f"{place}: trace.csv tells of {min(strangers)!r}, experiment.toml does not; copy the run folder again")
    for link in (link for one in ledger.values() for link in one.links):
        if not 0 <= min(link) <= max(link) < about.ranks:
            raise InputError(f"{place}: ledger.csv has bytes from rank {link[0]} to {link[1]} in a run of {about.ranks} ranks")
    traffic = {label: ledger.get(label, Traffic()) for label in about.methods}  # on one node there is none to write down
    return Run(name, place, about, experiment, trace, traffic, read_edges(place, about.ranks))


def _require_one_problem(runs: Sequence[Run]) -> None:
    first = flat(runs[0].experiment["problem"])
    for run in runs[1:]:
        other = flat(run.experiment["problem"])
        keys = [key for key in {**first, **other} if first.get(key) != other.get(key)]
        if keys:
            told = ", ".join(f"problem.{k} ({first.get(k, 'none')!r} and {other.get(k, 'none')!r})" for k in keys)
            raise InputError(
                f"{runs[0].folder} and {run.folder} are of different problems, whose errors cannot be compared; they differ "
                f"in {told}: make a report of each"
            )

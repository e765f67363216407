"""Run folders read back, as `recorder.py` wrote them. What is missing, cut short or of another format is told as InputError."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError
from mpidec.graph.facts import GraphFacts
from mpidec.ledger import COLLECTIVE
from mpidec.run_folder import FORMAT, LEDGER_COLUMNS

Trace = dict[str, list[dict[str, float]]]
"""The rows of trace.csv by method, in order."""

CHARGED = ("init", "iterate")
"""The accounts that a method pays for: what `bytes_max` and `bytes_total` in trace.csv add up."""

_COSTS = ("step", "seconds", "compute_seconds", "comm_seconds", "rounds", "bytes_max", "bytes_total")
_AGAIN = "the run was cut off or the file was not copied whole: copy it again, or run again"


@dataclass(frozen=True)
class Ending:
    """How a method ended: its steps, the first at which it was seen to diverge, and counted bytes between hosts."""

    ending: str
    steps: int
    bad_step: int | None
    bytes_between_hosts: int = 0


@dataclass(frozen=True)
class About:
    """run.json, as far as something here reads it."""

    name: str
    status: str
    command: str
    start: str
    end: str | None
    ranks: int
    cores: int
    platform: str
    mpi_library: str
    blas_threads: str | None
    git: str | None
    hosts: dict[str, int]
    versions: dict[str, str]
    graph: GraphFacts
    references: dict[str, float]
    methods: dict[str, Ending]
    reason: str = ""
    abreast: bool = False
    problem: dict[str, Any] = field(default_factory=dict)


@dataclass
class Traffic:
    """What one method sent on some accounts, in bytes of payload.

    `links` are counted bytes from one rank to another, `collective` the modeled ones of each rank.
    """

    links: dict[tuple[int, int], int] = field(default_factory=dict)
    collective: dict[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Bytes of all ranks, counted and modeled."""
        return sum(self.links.values()) + sum(self.collective.values())


def read_about(folder: Path) -> About:
    """run.json. Raises InputError where it is missing, broken, or of another format than this version writes."""
    path = folder / "run.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder} is no run folder: it has no run.json; give a folder that mpidec run has written") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}; {_AGAIN}") from None
    if isinstance(about, dict) and (got := about.get("format")) != FORMAT:
        told = "no format number, as before version 0.1.0" if got is None else f"format {got!r}"
        raise InputError(
            f"{path}: got {told}, wanted format {FORMAT}, which mpidec here reads and writes: use the version that wrote it "
            f"({_version(about)}), or run again"
        )
    try:
        return msgspec.convert(about, About)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {error}; {_AGAIN}") from None


def _version(about: Mapping[str, Any]) -> str:
    versions = about.get("versions")
    return str(versions.get("mpidec", "not told")) if isinstance(versions, dict) else "not told"


def read_trace(folder: Path) -> Trace:
    """trace.csv. Raises InputError where it is missing, has no row yet, or a line is cut short or holds no numbers."""
    path = folder / "trace.csv"
    if not path.exists():
        raise InputError(f"{folder} holds no observation yet: it has no trace.csv; wait for the first one, or run again")
    methods: Trace = {}
    for number, row in _rows(path, ("method", *_COSTS)):
        method = row.pop("method")
        try:
            values = {key: float(text) for key, text in row.items() if text}
        except ValueError as error:
            raise InputError(f"{path}: line {number}: {error}; {_AGAIN}") from None
        if lacking := [key for key in _COSTS if not math.isfinite(values.get(key, math.nan))]:
            raise InputError(f"{path}: line {number}: wanted a number for {lacking[0]!r}; {_AGAIN}")
        rows = methods.setdefault(method, [])
        if rows and values["step"] <= rows[-1]["step"]:
            raise InputError(f"{path}: line {number}: step {values['step']:.0f} does not come after the one before; {_AGAIN}")
        rows.append(values)
    if not methods:
        raise InputError(f"{folder} holds no observation yet: {path.name} has no row; wait for the first one, or run again")
    return methods


def read_traffic(folder: Path, accounts: Container[str] = CHARGED) -> dict[str, Traffic]:
    """ledger.csv's bytes on `accounts` by method. Raises InputError where it is missing or a line of it is broken."""
    path = folder / "ledger.csv"
    methods: dict[str, Traffic] = {}
    for number, row in _rows(path, LEDGER_COLUMNS):
        if row["account"] not in accounts or row["basis"] == "library":
            continue
        traffic = methods.setdefault(row["method"], Traffic())
        try:
            rank, sent = int(row["rank"]), int(row["bytes"])
            if row["neighbor"] == COLLECTIVE:
                traffic.collective[rank] = traffic.collective.get(rank, 0) + sent
            else:
                link = rank, int(row["neighbor"])
                traffic.links[link] = traffic.links.get(link, 0) + sent
        except ValueError as error:
            raise InputError(f"{path}: line {number}: {error}; {_AGAIN}") from None
    return methods


def read_edges(folder: Path, nodes: int) -> NDArray[np.int64]:
    """graph.txt, each edge once, (m, 2), ascending. Raises InputError where it is missing or is not of `nodes` nodes."""
    path = folder / "graph.txt"
    try:
        text = path.read_text(encoding="utf-8")
        if not text.endswith("\n"):
            raise ValueError("the last line is cut short")
        pairs = [line.split() for line in text.splitlines() if not line.startswith("#")]
        edges = np.array(pairs, dtype=np.int64).reshape(len(pairs), 2)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}; {_AGAIN}") from None
    if edges.size and not (edges.min() >= 0 and edges.max() < nodes):
        raise InputError(f"{path}: got the nodes {edges.min()} to {edges.max()} in a run of {nodes} nodes; {_AGAIN}")
    return edges


def _rows(path: Path, wanted: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line numbers and rows of a CSV file that has at least the columns `wanted`, each row with a value a column."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                raise InputError(f"{path}: the last line is cut short; {_AGAIN}")
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            columns = next(reader, [])
            if lacking := [name for name in wanted if name not in columns]:
                raise InputError(f"{path}: wanted a column {lacking[0]!r}, got {', '.join(columns) or 'nothing'}; {_AGAIN}")
            for values in reader:
                if len(values) != len(columns):
                    got = f"got {len(values)} values, wanted {len(columns)}"
                    raise InputError(f"{path}: line {reader.line_num} is cut short: {got}; {_AGAIN}")
                yield reader.line_num, dict(zip(columns, values, strict=True))
    except InputError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}; {_AGAIN}") from None

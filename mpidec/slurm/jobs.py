"""Submitted jobs, each with a folder NAME.job of its own: script, settings, Slurm's output, and job.json about it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from mpidec.errors import InputError
from mpidec.metrics import leading
from mpidec.sweep.folders import run_json
from mpidec.sweep.table import last_rows

SUFFIX = ".job"
_RECORD = "job.json"


@dataclass(frozen=True)
class Job:
    """What was submitted: the job's number, and the run folder that each of its tasks writes (one, but for an array)."""

    job: str
    array: bool
    folders: list[str]
    ranks: int
    submitted: str

    def write(self, folder: Path) -> None:
        """Keep it in the job's folder."""
        (folder / _RECORD).write_text(json.dumps(asdict(self), indent=2) + "\n")

    def tasks(self) -> list[tuple[str, Path]]:
        """Its tasks as Slurm numbers them, with their run folders."""
        return [(f"{self.job}_{i}" if self.array else self.job, Path(folder)) for i, folder in enumerate(self.folders)]


def read_jobs(folder: Path) -> list[Job]:
    """The jobs that were submitted from below `folder`, the oldest first. Raises InputError where a record is broken."""
    found = []
    for path in folder.glob(f"*{SUFFIX}/{_RECORD}"):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Job))
        except (OSError, msgspec.DecodeError) as error:
            raise InputError(f"cannot read {path}: {error}; remove its folder to forget the job") from None
    return sorted(found, key=lambda job: (job.submitted, int(job.job) if job.job.isdigit() else 0))


@dataclass(frozen=True)
class Progress:
    """How far a run has come, from its folder: its status there, the method's step of how many, and its error."""

    status: str = ""
    method: str = ""
    step: int | None = None
    steps: int | None = None
    error: tuple[str, float] | None = None
    reason: str = ""


def progress(folder: Path) -> Progress:
    """What the run folder tells by now; nothing where there is none yet."""
    about = run_json(folder)
    trace = folder / "trace.csv"
    status, reason = str(about.get("status", "")), str(about.get("reason", ""))
    if not trace.is_file() or not (rows := last_rows(trace)):
        return Progress(status, reason=reason)
    method, row = list(rows.items())[-1]
    numbers = {name: float(text) for name, text in row.items() if text}
    shown = [(name, numbers[name]) for name in leading(numbers)]
    return Progress(status, method, int(numbers["step"]), _steps(folder, method), shown[0] if shown else None, reason)


def _steps(folder: Path, method: str) -> int | None:
    """The iterations that a method has in the experiment, None where that cannot be read."""
    try:
        tables: Sequence[Mapping[str, Any]] = tomllib.loads((folder / "experiment.toml").read_text()).get("method", [])
    except (OSError, tomllib.TOMLDecodeError):
        return None
    return next((int(t["iterations"]) for t in tables if t.get("label", t.get("algorithm")) == method), None)

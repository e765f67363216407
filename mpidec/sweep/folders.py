"""How each run of a sweep stands, read from its folder, its log and who holds the log's lock.

The lock is flock(2) on the log. It belongs to the open file, which a run's processes inherit as their output, so a run counts
as running until the last of them has gone, even if the sweep that started it was killed. Between hosts (tasks of a job array)
that takes a file system which carries flock from one to the other: NFS and Lustre mounted with `flock` do, Lustre mounted
with `localflock` does not, and there two tasks on different hosts must not be given the same run.
"""

from __future__ import annotations

import fcntl
import json
import time
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path
from typing import IO, Any, Literal

from mpidec.checkpoint.sets import FOLDER as CHECKPOINTS
from mpidec.overrides import as_read, difference
from mpidec.run_folder import NEXT, lock
from mpidec.sweep.plan import Run, Sweep

Status = Literal["to do", "running", "finished", "diverged", "interrupted", "failed", "killed", "blocked"]
WRITTEN = (
    "experiment.toml",
    "run.json",
    "graph.txt",
    "trace.csv",
    "ledger.csv",
    "final.npz",
    "report.html",
    "*.png",
    "*.partial",
)
"""The files of a run folder: one that holds anything else, checkpoints too, is never removed."""

# another process that looks whether a run is running holds its lock for some microseconds
_TRIES, _PAUSE = 5, 0.02


@dataclass(frozen=True)
class State:
    """How a run stands. `reason`: why it failed or diverged, or why its folder is in the way (blocked)."""

    status: Status
    reason: str = ""

    @property
    def done(self) -> bool:
        """Whether it need not be run again."""
        return self.status in ("finished", "diverged")


def states(sweep: Sweep, out: Path) -> list[State]:
    """The state of every run of the sweep in the folder `out`, in order; changes nothing."""
    return [state(run, out) for run in sweep.runs]


def state(run: Run, out: Path, *, held: bool = False) -> State:
    """How a run stands; `held` says that the caller holds its lock.

    A folder of other settings blocks the run, and so does one that is not done and holds what no run writes: neither may
    be taken for this run's or removed.
    """
    folder, log = run.folder(out), run.log(out)
    if not held and _is_held(log):
        return State("running")
    if not folder.is_dir() or folder.is_symlink():
        if folder.is_symlink() or folder.exists():
            return State("blocked", f"{folder} is in the way of a run folder; move it away or give another --out")
        return _without_folder(log)
    settings, about = _settings(folder / "experiment.toml"), run_json(folder)
    if settings is not None and (different := difference(settings, as_read(run.experiment.resolved))):
        return State("blocked", f"{folder} holds a run of other settings ({different}); move it away or give another --out")
    status = about.get("status")
    if status in ("finished", "diverged") and settings is not None and (folder / "trace.csv").is_file():
        return State(status, reason(log) if status == "diverged" else "")
    foreign = [path.name for path in sorted(folder.iterdir()) if not _is_written(path)]
    if foreign or not log.exists():
        what = f"holds {foreign[0]}, which no run writes" if foreign else "has no log of a sweep beside it"
        return State("blocked", f"{folder} is not done and {what}; move it away or give another --out")
    if status == "failed":
        return State("failed", reason(log) or str(about.get("reason", "")))
    return State("interrupted" if status == "interrupted" else "killed")


def run_json(folder: Path) -> dict[str, Any]:
    """What run.json says; nothing where it is missing or torn."""
    try:
        about = json.loads((folder / "run.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def reason(log: Path) -> str:
    """The last sentence of a run's log: what a rank raised, or what mpidec said in the end; empty where nothing was told.

    What is said of further runs by the same ranks stands there too until they have ended, and is left out.
    """
    try:
        lines = log.read_text(errors="replace").splitlines()[1:]  # the first is the command
    except FileNotFoundError:
        return ""
    lines = list(takewhile(lambda line: not line.startswith(NEXT), lines))
    spoken = [line.removeprefix("mpidec: ") for line in lines if line.startswith("mpidec: ") and "mpidec: note:" not in line]
    raised = [line for line in lines if line.startswith("[rank ")]
    told = raised or spoken or [line for line in lines if line.strip()]
    return told[-1].strip().partition(" Started as: ")[0] if told else ""


def claim(run: Run, out: Path) -> IO[bytes] | None:
    """The run's log, locked until this process and all that inherit it have closed it; None while another process has it.

    Raises InputError where the file system has no locks.
    """
    log = run.log(out).open("ab", buffering=0)
    for _ in range(_TRIES):
        if lock(log, fcntl.LOCK_EX):
            return log
        time.sleep(_PAUSE)
    log.close()
    return None


def clear(run: Run, out: Path) -> None:
    """Remove the folder of a run that is not done and not blocked; only its lock's holder may."""
    folder = run.folder(out)
    if folder.exists():
        # its settings go last: as long as they are there, the rest can be told to be this run's
        for path in sorted(folder.iterdir(), key=lambda path: path.name == "experiment.toml"):
            path.unlink()
        folder.rmdir()


def _is_held(log: Path) -> bool:
    try:
        with log.open("rb") as file:
            return not lock(file, fcntl.LOCK_SH)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _without_folder(log: Path) -> State:
    if not log.exists() or not log.stat().st_size:
        return State("to do")
    told = reason(log)
    if told.startswith("interrupted"):
        return State("interrupted")
    return State("failed", told) if told else State("killed")


def _is_written(path: Path) -> bool:
    if path.is_dir():
        return path.name == CHECKPOINTS
    return path.is_file() and any(fnmatchcase(path.name, pattern) for pattern in WRITTEN)


def _settings(path: Path) -> dict[str, Any] | None:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None

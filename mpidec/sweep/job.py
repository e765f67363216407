"""A process that makes runs of a sweep one after another by the same ranks: its start, how far it is, its end.

Each run has a log, whose lock the process inherits; what it says of all of them goes into the first until it has ended.
"""

from __future__ import annotations

import fcntl
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mpidec.errors import BAD_INPUT
from mpidec.mpi.launcher import PYTHON
from mpidec.run_folder import CHECKED, NEXT
from mpidec.sweep.folders import claim, clear, state
from mpidec.sweep.plan import Run

LOOK_EVERY = 0.05
"""Seconds between two looks at what is running."""

_LINGERING = 5.0  # seconds that ranks may take to notice that `mpidec run` was killed


@dataclass
class Job:
    """Runs under way by the same ranks: their process, their locked logs, how many of the signals it has heard of, and which
    run it is at, as far as was told. What the process says goes into the first log until it has ended.
    """

    runs: list[Run]
    child: subprocess.Popen[bytes]
    logs: list[IO[bytes]]
    heard: int = 0
    at: int = 0

    def pass_on(self, asked: Sequence[int]) -> None:
        """Tell it of the signals that came. The first always ends it in order, a SIGINT after that at once."""
        for number in asked[self.heard :]:
            if self.heard == 0 or number == signal.SIGINT:
                self.child.send_signal(signal.SIGINT if self.heard else signal.SIGTERM)
            self.heard += 1

    def goes_on(self, out: Path) -> bool:
        """Go to the next run, if that has begun; the lock of one that is done is given back, so that others see that it is."""
        begun = self.at + 1 < len(self.runs) and (self.runs[self.at + 1].folder(out) / "run.json").exists()
        if begun:
            if state(self.runs[self.at], out, held=True).done:
                fcntl.flock(self.logs[self.at], fcntl.LOCK_UN)
            self.at += 1
        return begun

    def refused(self) -> bool:
        """Whether several runs were refused together, for the sake of any of them, before ranks were started."""
        if len(self.runs) == 1 or self.child.returncode != BAD_INPUT:
            return False
        return CHECKED not in Path(self.logs[0].name).read_text(errors="replace")

    def divide(self) -> int:
        """Give each log what was said of its own run, and take what stands in those of runs that never began; how many did."""
        parts: list[list[bytes]] = [[]]
        text = Path(self.logs[0].name).read_bytes()
        for line in text.splitlines(keepends=True):
            if line.startswith(NEXT.encode()) and len(parts) < len(self.runs):
                parts.append([])
            else:
                parts[-1].append(line)
        if len(self.runs) > 1:
            self.logs[0].truncate(0)
            self.logs[0].write(b"".join(parts[0]))
            for log, part in zip(self.logs[1:], parts[1:], strict=False):
                log.write(b"".join(part))
            for log in self.logs[len(parts) :]:
                log.truncate(0)
        return len(parts)


def start(group: Sequence[tuple[Run, object]], out: Path, environment: dict[str, str]) -> Job | None:
    """Start those runs of a group that no other process makes, or has made since the sweep began and their logs were stamped;
    None where none is left.
    """
    runs: list[Run] = []
    logs: list[IO[bytes]] = []
    try:
        for each, before in group:
            if (log := claim(each, out)) is None:
                continue
            logs.append(log)
            found = state(each, out, held=True)
            made_meanwhile = found.status == "failed" and stamp(each.log(out)) != before
            if found.done or found.status == "blocked" or made_meanwhile:
                logs.pop().close()
                continue
            runs.append(each)
            if each.experiment.checkpoint is None:
                clear(each, out)
            log.truncate(0)
            log.write(f"$ {shlex.join(['mpidec', 'run', *_arguments(each, out)])}\n".encode())
        if not runs:
            return None
        more = [f"--next={shlex.join(_arguments(each, out))}" for each in runs[1:]]
        # a session of its own: Ctrl-C on the terminal reaches the sweep alone, which passes it on once; the other logs are
        # passed on for the sake of their locks
        child = subprocess.Popen(
            [*PYTHON, "-m", "mpidec", "run", *_arguments(runs[0], out), *more],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=logs[0],
            stderr=logs[0],
            pass_fds=[log.fileno() for log in logs[1:]],
            start_new_session=True,
        )
    except BaseException:
        for log in logs:
            log.close()
        raise
    return Job(runs, child, logs)


def _arguments(each: Run, out: Path) -> list[str]:
    """What `mpidec run` takes to make a run by itself."""
    arguments = [str(each.base), *(f"--set={setting}" for setting in each.settings)]
    arguments += [f"--seed={each.seed}", f"--out={each.folder(out)}", "--no-picture"]
    arguments += ["--library-bytes"] if each.library_bytes else []
    return arguments + (["--resume"] if each.experiment.checkpoint is not None else [])


def close(job: Job, out: Path, *, interrupted: bool) -> int:
    """Give back the locks of runs whose process has ended, once nobody else of them holds one; how many had begun."""
    begun = job.divide()
    last, log = job.runs[begun - 1], job.logs[begun - 1]
    if interrupted and state(last, out, held=True).status == "killed":
        log.write(b"mpidec: interrupted before it began\n")
    for each in job.logs:
        each.close()
    until = time.monotonic() + _LINGERING if (job.child.returncode or 0) < 0 else 0.0
    while time.monotonic() < until and state(last, out).status == "running":
        time.sleep(LOOK_EVERY)
    return begun


def stamp(log: Path) -> tuple[int, int] | None:
    """What changes when a log is written; None for one that never was."""
    about = log.stat() if log.exists() else None
    return (about.st_mtime_ns, about.st_size) if about is not None and about.st_size else None

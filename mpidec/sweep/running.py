"""Making the runs of a sweep: `mpidec run` for those that are not done, some at a time.

Runs on as many ranks are made by the same ones, one after another: to start twenty takes as long as many a run.

Nothing is left running at the end, unless the sweep is killed outright: then its runs go on, and hold their locks.
"""

from __future__ import annotations

import fcntl
import os
import resource
import shlex
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from mpidec.errors import BAD_INPUT, REQUEUE, InputError, RunError, Stopped
from mpidec.mpi.launcher import PYTHON, sharing_cores
from mpidec.run_folder import NEXT
from mpidec.sweep.folders import State, claim, clear, state
from mpidec.sweep.plan import Run, Sweep
from mpidec.sweep.table import write_tables

MOST = 64
"""Runs by the same ranks, at most: each has a log that is open meanwhile, and its arguments on one command line."""

_FILES = 64  # that this process may want open beside those logs

_LOOK_EVERY = 0.05  # seconds between two looks at what is running
_LINGERING = 5.0  # seconds that ranks may take to notice that `mpidec run` was killed
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Hear = Callable[[Run, State], None]


def run(sweep: Sweep, out: Path, *, runs: Sequence[Run] | None = None, jobs: int = 1, hear: Hear | None = None) -> list[State]:
    """Make those of `runs` (all of the sweep) that are not done in the folder `out`, `jobs` at a time; their states, in order.

    Runs with few ranks come first. A run that another process is making is left to it. One that failed, was interrupted or
    was killed is made again, in place of its old folder, or goes on there if it keeps checkpoints. runs.csv is written after
    each. `hear` is told of each run that is done already, starts or ends. Only the main thread can call this: SIGINT, SIGTERM
    and SIGHUP end the runs that are under way, in order, and raise KeyboardInterrupt once they have gone (Stopped where all of
    them ended well or at a checkpoint, and no SIGINT came); a second SIGINT ends them at once.

    Raises InputError, before anything runs, where a folder is in the way of a run or `out` cannot be made, and RunError
    where a file cannot be read or written; the runs under way are ended then too.
    """
    runs = sweep.runs if runs is None else runs
    environment = {**sharing_cores(), **os.environ} if jobs > 1 else dict(os.environ)
    started: list[_Job] = []
    at_checkpoints = True

    def tell(each: Run, found: State) -> None:
        # a terminal that was closed cannot be written to, and the runs are still to be ended in order
        with suppress(OSError) if asked else nullcontext():
            if hear is not None:
                hear(each, found)

    try:
        with _signals() as asked, _leaving_nothing(started):
            waiting = _not_done(runs, out, tell)
            sizes = Counter(each.experiment.ranks for each, _ in waiting)
            most = _most(jobs)
            alone: set[str] = set()
            while started or (waiting and not asked):
                while waiting and len(started) < jobs and not asked:
                    group = _together(waiting, min(most, -(-sizes[waiting[0][0].experiment.ranks] // jobs)), alone)
                    job = _start(group, out, environment)
                    for each, _ in group:
                        taken = job is not None and any(own is each for own in job.runs)
                        if not taken and (found := state(each, out)).status != "running":
                            tell(each, found)  # made meanwhile by another
                    if job is not None:
                        started.append(job)
                        tell(job.runs[0], State("running"))
                time.sleep(_LOOK_EVERY)
                for job in started:
                    job.pass_on(asked)
                    ended = job.child.poll() is not None
                    while not ended and job.goes_on(out):
                        write_tables(sweep, out, job.runs[job.at - 1])
                        tell(job.runs[job.at - 1], state(job.runs[job.at - 1], out, held=True))
                        tell(job.runs[job.at], State("running"))
                for job in [job for job in started if job.child.returncode is not None]:
                    started.remove(job)
                    at_checkpoints = at_checkpoints and (not asked or job.child.returncode in (0, REQUEUE))
                    refused = not asked and job.refused(out)
                    begun = _close(job, out, interrupted=bool(asked))
                    if refused:  # for the sake of one: each by itself tells which
                        begun = 0
                        alone.update(each.id for each in job.runs)
                    for i, each in enumerate(job.runs[job.at : begun]):
                        write_tables(sweep, out, each)
                        if i:
                            tell(each, State("running"))  # too short for a look at it
                        tell(each, state(each, out))
                    waiting[:0] = [(each, _stamp(each.log(out))) for each in job.runs[begun:]]
            write_tables(sweep, out)
        if asked:
            raise Stopped if at_checkpoints and signal.SIGINT not in asked else KeyboardInterrupt
        return [state(each, out) for each in runs]
    except BrokenPipeError:
        raise  # by `hear`: nobody reads what it prints
    except OSError as error:
        raise RunError(f"cannot go on with {error.filename or out}: {error.strerror}") from None


def _not_done(runs: Sequence[Run], out: Path, tell: Hear) -> list[tuple[Run, object]]:
    """The runs to make, those with few ranks first, with stamps of their logs; and the folders for them."""
    before = [(each, state(each, out)) for each in runs]
    for _, found in before:
        if found.status == "blocked":
            raise InputError(found.reason)
    for folder in dict.fromkeys([out, *(each.log(out).parent for each in runs)]):
        if (folder / "experiment.toml").exists():
            raise InputError(f"{folder} is the folder of one run, wanted one for the runs of a sweep; give another --out")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {folder}: {error.strerror}; give another --out") from None
    for each, found in before:
        if found.done:
            tell(each, found)
    waiting = sorted((each for each, found in before if not found.done), key=lambda each: each.experiment.ranks)
    return [(each, _stamp(each.log(out))) for each in waiting]


@dataclass
class _Job:
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

    def refused(self, out: Path) -> bool:
        """Whether several runs were refused together, before any rank was started."""
        first = self.runs[0].folder(out) / "run.json"
        return len(self.runs) > 1 and self.child.returncode == BAD_INPUT and not first.exists()

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


def share_ranks(one: Run, other: Run) -> bool:
    """Whether the same ranks can make two runs: they want as many, keep no checkpoints, and want no counters of the library's,
    which know no runs.
    """
    alone = any(each.library_bytes or each.experiment.checkpoint is not None for each in (one, other))
    return one.experiment.ranks == other.experiment.ranks and not alone


def _most(jobs: int) -> int:
    """How many runs each job may have, by the number of files that this process may have open."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST if files == resource.RLIM_INFINITY else max(1, min(MOST, (files - _FILES) // jobs))


def _together(waiting: list[tuple[Run, object]], most: int, alone: Container[str]) -> list[tuple[Run, object]]:
    """Take the next runs, `most` at most, that the same ranks can make; one of `alone` by itself."""
    group = [waiting.pop(0)]
    while waiting and len(group) < most and share_ranks(group[0][0], waiting[0][0]):
        if group[0][0].id in alone or waiting[0][0].id in alone:
            break
        group.append(waiting.pop(0))
    return group


def _start(group: Sequence[tuple[Run, object]], out: Path, environment: dict[str, str]) -> _Job | None:
    """Start those runs of a group that no other process makes, or has made since the sweep began and their logs were stamped;
    None where none is left.
    """
    runs: list[Run] = []
    logs: list[IO[bytes]] = []
    try:
        for each, stamp in group:
            if (log := claim(each, out)) is None:
                continue
            logs.append(log)
            found = state(each, out, held=True)
            made_meanwhile = found.status == "failed" and _stamp(each.log(out)) != stamp
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
    return _Job(runs, child, logs)


def _arguments(each: Run, out: Path) -> list[str]:
    """What `mpidec run` takes to make a run by itself."""
    arguments = [str(each.base), *(f"--set={setting}" for setting in each.settings)]
    arguments += [f"--seed={each.seed}", f"--out={each.folder(out)}", "--no-picture"]
    arguments += ["--library-bytes"] if each.library_bytes else []
    return arguments + (["--resume"] if each.experiment.checkpoint is not None else [])


def _close(job: _Job, out: Path, *, interrupted: bool) -> int:
    """Give back the locks of runs whose process has ended, once nobody else of them holds one; how many had begun."""
    begun = job.divide()
    last, log = job.runs[begun - 1], job.logs[begun - 1]
    if interrupted and state(last, out, held=True).status == "killed":
        log.write(b"mpidec: interrupted before it began\n")
    for each in job.logs:
        each.close()
    until = time.monotonic() + _LINGERING if (job.child.returncode or 0) < 0 else 0.0
    while time.monotonic() < until and state(last, out).status == "running":
        time.sleep(_LOOK_EVERY)
    return begun


def _stamp(log: Path) -> tuple[int, int] | None:
    """What changes when a log is written; None for one that never was."""
    about = log.stat() if log.exists() else None
    return (about.st_mtime_ns, about.st_size) if about is not None and about.st_size else None


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The signals that came while inside. One that was ignored before, as nohup has it, stays so."""
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, note)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _leaving_nothing(started: Sequence[_Job]) -> Iterator[None]:
    """End what is under way if this block is left by an exception."""
    try:
        yield
    finally:
        for job in started:
            job.pass_on([signal.SIGTERM])
        for job in started:
            job.child.wait()
            job.divide()
            for log in job.logs:
                log.close()

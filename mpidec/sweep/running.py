"""Making the runs of a sweep: `mpidec run` for each that is not done, some at a time.

Nothing is left running at the end, unless the sweep is killed outright: then its runs go on, and hold their locks.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from mpidec.errors import REQUEUE, InputError, RunError, Stopped
from mpidec.mpi.launcher import PYTHON, sharing_cores
from mpidec.sweep.folders import State, claim, clear, state
from mpidec.sweep.plan import Run, Sweep
from mpidec.sweep.table import write_table

_LOOK_EVERY = 0.05  # seconds between two looks at what is running
_LINGERING = 5.0  # seconds that ranks may take to notice that `mpidec run` was killed
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Hear = Callable[[Run, State], None]


def run(sweep: Sweep, out: Path, *, runs: Sequence[Run] | None = None, jobs: int = 1, hear: Hear | None = None) -> list[State]:
    """Make those of `runs` (all of the sweep) that are not done in the folder `out`, `jobs` at a time; their states, in order.

    A run that another process is making is left to it. One that failed, was interrupted or was killed is made again, in
    place of its old folder, or goes on there if it keeps checkpoints. runs.csv is written after each. `hear` is told of each
    run that is done already, starts or ends. Only the main thread can call this: SIGINT, SIGTERM and SIGHUP end the runs that
    are under way, in order, and raise KeyboardInterrupt once they have gone (Stopped where all of them ended well or at a
    checkpoint, and no SIGINT came); a second SIGINT ends them at once.

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
            while started or (waiting and not asked):
                while waiting and len(started) < jobs and not asked:
                    each, stamp = waiting.pop(0)
                    if (job := _start(sweep, each, out, stamp, environment)) is not None:
                        started.append(job)
                        tell(each, State("running"))
                    elif (found := state(each, out)).status != "running":
                        tell(each, found)  # made meanwhile by another
                time.sleep(_LOOK_EVERY)
                for job in started:
                    job.pass_on(asked)
                for job in [job for job in started if job.child.poll() is not None]:
                    started.remove(job)
                    at_checkpoints = at_checkpoints and (not asked or job.child.returncode in (0, REQUEUE))
                    _close(job, out, interrupted=bool(asked))
                    write_table(sweep, out)
                    tell(job.run, state(job.run, out))
            write_table(sweep, out)
        if asked:
            raise Stopped if at_checkpoints and signal.SIGINT not in asked else KeyboardInterrupt
        return [state(each, out) for each in runs]
    except BrokenPipeError:
        raise  # by `hear`: nobody reads what it prints
    except OSError as error:
        raise RunError(f"cannot go on with {error.filename or out}: {error.strerror}") from None


def _not_done(runs: Sequence[Run], out: Path, tell: Hear) -> list[tuple[Run, object]]:
    """The runs to make, with stamps of their logs, and the folder for them."""
    before = [(each, state(each, out)) for each in runs]
    for _, found in before:
        if found.status == "blocked":
            raise InputError(found.reason)
    if (out / "experiment.toml").exists():
        raise InputError(f"{out} is the folder of one run, wanted one for the runs of a sweep; give another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out}: {error.strerror}; give another --out") from None
    for each, found in before:
        if found.done:
            tell(each, found)
    return [(each, _stamp(each.log(out))) for each, found in before if not found.done]


@dataclass
class _Job:
    """A run under way: its process, its locked log, and how many of the signals it has heard of."""

    run: Run
    child: subprocess.Popen[bytes]
    log: IO[bytes]
    heard: int = 0

    def pass_on(self, asked: Sequence[int]) -> None:
        """Tell it of the signals that came. The first always ends it in order, a SIGINT after that at once."""
        for number in asked[self.heard :]:
            if self.heard == 0 or number == signal.SIGINT:
                self.child.send_signal(signal.SIGINT if self.heard else signal.SIGTERM)
            self.heard += 1


def _start(sweep: Sweep, each: Run, out: Path, stamp: object, environment: dict[str, str]) -> _Job | None:
    """Start a run, unless another process makes it, or has made it since the sweep began and its log had this stamp."""
    log = claim(each, out)
    if log is None:
        return None
    try:
        found = state(each, out, held=True)
        made_meanwhile = found.status == "failed" and _stamp(each.log(out)) != stamp
        if found.done or found.status == "blocked" or made_meanwhile:
            log.close()
            return None
        resume = each.experiment.checkpoint is not None
        if not resume:
            clear(each, out)
        log.truncate(0)
        arguments = ["run", str(sweep.base), *(f"--set={setting}" for setting in each.settings)]
        arguments += [f"--seed={each.seed}", f"--out={each.folder(out)}", "--no-picture"]
        arguments += ["--library-bytes"] if sweep.library_bytes else []
        arguments += ["--resume"] if resume else []
        log.write(f"$ {shlex.join(['mpidec', *arguments])}\n".encode())
        command = [*PYTHON, "-m", "mpidec", *arguments]
        # a session of its own: Ctrl-C on the terminal reaches the sweep alone, which passes it on once
        child = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    except BaseException:
        log.close()
        raise
    return _Job(each, child, log)


def _close(job: _Job, out: Path, *, interrupted: bool) -> None:
    """Give back the lock of a run whose process has ended, once nobody else of the run holds it."""
    with job.log:
        if interrupted and state(job.run, out, held=True).status == "killed":
            job.log.write(b"mpidec: interrupted before it began\n")
    until = time.monotonic() + _LINGERING if (job.child.returncode or 0) < 0 else 0.0
    while time.monotonic() < until and state(job.run, out).status == "running":
        time.sleep(_LOOK_EVERY)


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
            job.log.close()

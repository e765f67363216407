"""Making the runs of a sweep: `mpidec run` for those that are not done, some at a time.

Runs on as many ranks are made by the same ones, one after another: to start twenty takes as long as many a run.

Nothing is left running at the end, unless the sweep is killed outright: then its runs go on, and hold their locks.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType

from mpidec.errors import REQUEUE, InputError, RunError, Stopped
from mpidec.mpi.launcher import sharing_cores
from mpidec.sweep.folders import State, state
from mpidec.sweep.job import LOOK_EVERY, Job, close, stamp, start
from mpidec.sweep.plan import Run, Sweep
from mpidec.sweep.table import write_tables

MOST = 64
"""Runs by the same ranks, at most: each has a log that is open meanwhile, and its arguments on one command line."""

_FILES = 64  # that this process may want open beside those logs

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
    started: list[Job] = []
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
                    job = start(group, out, environment)
                    for each, _ in group:
                        taken = job is not None and any(own is each for own in job.runs)
                        if not taken and (found := state(each, out)).status != "running":
                            tell(each, found)  # made meanwhile by another
                    if job is not None:
                        started.append(job)
                        tell(job.runs[0], State("running"))
                time.sleep(LOOK_EVERY)
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
                    refused = not asked and job.refused()
                    begun = close(job, out, interrupted=bool(asked))
                    if refused:  # for the sake of one: each by itself tells which
                        begun = 0
                        alone.update(each.id for each in job.runs)
                    for i, each in enumerate(job.runs[job.at : begun]):
                        write_tables(sweep, out, each)
                        if i:
                            tell(each, State("running"))  # too short for a look at it
                        tell(each, state(each, out))
                    waiting[:0] = [(each, stamp(each.log(out))) for each in job.runs[begun:]]
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
    return [(each, stamp(each.log(out))) for each in waiting]


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
def _leaving_nothing(started: Sequence[Job]) -> Iterator[None]:
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

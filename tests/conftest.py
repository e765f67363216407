"""Counts of a run for tests/run, and a fence between the ranks when the tests run under mpirun.

Without a fence a rank that fails before a collective goes on to the next test, its peers wait for ever, and rank 0
takes a failure elsewhere for a pass. With it the ranks agree on every phase (set-up, call, teardown) of every test
before they go on: failed on one is failed on all, and rank 0, the only one that writes to the terminal, shows the
tracebacks of the others. A rank whose peers do not come says what it knows and ends the job.

Environment: MPIDEC_FENCE_GRACE   seconds a failed rank waits for its peers (5)
             MPIDEC_FENCE_LIMIT   seconds a rank without a failure waits for them (60)
             MPIDEC_RANKS         ranks that were started: a world of another size is an error
             MPIDEC_TALLY         file to which the counts are appended
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
import traceback
import zlib
from array import array
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

PARALLEL = Path(__file__).parent / "parallel"
LARGEST = 8  # ranks of the largest world in tests/run
GRACE = float(os.environ.get("MPIDEC_FENCE_GRACE", "5"))
LIMIT = float(os.environ.get("MPIDEC_FENCE_LIMIT", "60"))
STATES = ("passed", "failed", "skipped", "xfailed", "xpassed")
HARNESS = re.compile(r"[/\\](_pytest|pytest|pluggy)[/\\]|^<frozen runpy>")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # Taken out of the environment: pytest runs that a test starts must not count here.
    tally = os.environ.pop("MPIDEC_TALLY", "")
    # Without --with-mpi, MPI never starts in this process: an mpirun started from it would take itself for a child.
    if not config.getoption("with_mpi", False):
        if tally:
            config.pluginmanager.register(Tally(config, tally))
        return
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    promised = int(os.environ.get("MPIDEC_RANKS", world.size))
    if promised != world.size:
        raise pytest.UsageError(
            f"{promised} ranks were started, but MPI sees {world.size}: mpirun and mpi4py use different MPI libraries"
        )
    if tally and world.rank == 0:
        config.pluginmanager.register(Tally(config, tally))
    if world.size > 1:
        config.pluginmanager.register(Fence(world), "mpi-fence")
        if config.option.basetemp:  # pytest empties this folder when it starts: each rank needs its own
            os.makedirs(config.option.basetemp, exist_ok=True)
            config.option.basetemp = os.path.join(config.option.basetemp, f"rank{world.rank}")


def pytest_sessionstart(session: pytest.Session) -> None:
    for plugin in session.config.pluginmanager.get_plugins():
        if type(plugin).__name__ == "MPIPlugin":
            plugin._is_testing_mpi = False  # its closing section: forty lines a run, none of them about a test


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if PARALLEL in item.path.parents and not item.get_closest_marker("mpi"):
            item.add_marker("mpi")
    if not config.getoption("with_mpi", False):
        return
    from mpi4py import MPI

    def ranks(item: pytest.Item) -> int:
        return max((mark.kwargs.get("min_size") or 1 for mark in item.iter_markers("mpi")), default=1)

    # A test for more ranks than there are runs in a larger world, so it is left out here and not skipped. One that no
    # world of tests/run is large enough for stays, and pytest-mpi skips it for all to see.
    left_out = [item for item in items if MPI.COMM_WORLD.size < ranks(item) <= LARGEST]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


class Tally:
    """Plugin that writes a line per outcome as it comes (`passed`, `failed`, `skip reason`) and `done` at the end.

    The texts of failures go to a second file at once: a job that dies later never comes to print them.
    """

    def __init__(self, config: pytest.Config, path: str) -> None:
        self.config = config
        self.lines = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 (in use until the process ends)
        self.failures = open(f"{path}.failures", "a", encoding="utf-8", buffering=1)  # noqa: SIM115

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        category = self.config.hook.pytest_report_teststatus(report=report, config=self.config)[0]
        if category == "passed":
            self.lines.write("passed\n")
        elif category in {"failed", "error"}:
            self.fail(report)
        elif category in {"skipped", "xfailed"}:
            self.skip(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.fail(report)
        elif report.skipped:
            self.skip(report)

    def pytest_terminal_summary(self) -> None:
        self.lines.write("done\n")

    def fail(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        self.lines.write("failed\n")
        self.failures.write(f"_____ {report.nodeid} _____\n{traceback_of(report)}\n")

    def skip(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        expected = getattr(report, "wasxfail", None)
        reason = traceback_of(report).removeprefix("Skipped: ") if expected is None else f"expected failure {expected}"
        self.lines.write(f"skip\t{report.nodeid.partition('::')[0]}: {' '.join(reason.split())}\n")


class Fence:
    """Plugin by which the ranks agree, on a communicator of its own that never mixes with what a test sends."""

    def __init__(self, world: Any) -> None:
        self.comm = world.Dup()
        self.rank = world.rank
        self.errors = os.fdopen(os.dup(2), "w")  # taken before pytest captures descriptor 2
        self.waiting = False
        self.until = 0.0  # when the running test's own time limit ends
        self.collection_errors: list[str] = []

    def meet(self, place: str, state: str = "passed", text: str = "") -> list[str]:
        """Wait for all ranks at `place` and return the states they bring; `text` is this rank's failure, if any."""
        from mpi4py import MPI

        crc = zlib.crc32(place.encode())
        mine = array("q", [*(state == known for known in STATES), crc, -crc])
        seen = array("q", mine)
        request = self.comm.Iallreduce(mine, seen, op=MPI.MAX)
        start = time.monotonic()
        # A peer that still has time of its own gets it: the stack it then prints says more than this rank can.
        patience = GRACE if text else max(LIMIT, self.until + GRACE - start)
        self.waiting = True
        while not request.Test():
            if time.monotonic() > start + patience:
                self.abort(f"waited {patience:.0f} s in vain for the other ranks at {place}\n{text}")
            time.sleep(0.001)
        self.waiting = False
        if seen[-2] != -seen[-1]:
            places = self.comm.gather(f"{place}\n{text}")
            if places:
                self.abort("the ranks are at different places\n" + by_rank(places))
            time.sleep(GRACE)
            self.abort(f"at {place}, and other ranks elsewhere")
        return [known for known, there in zip(STATES, seen, strict=False) if there]

    def abort(self, text: str) -> NoReturn:
        self.say(text)
        time.sleep(0.2)  # mpirun passes on what it has read before the abort
        self.comm.Abort(1)
        os._exit(1)

    def say(self, text: str) -> None:
        self.errors.write(f"\n*** rank {self.rank}: {text.rstrip()}\n")
        self.errors.flush()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if self.rank and reporter:
            reporter._tw._file = open(os.devnull, "w")  # noqa: SIM115 (in use until the process ends)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.collection_errors.append(traceback_of(report))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Stop where the ranks collected different tests, which would wait for each other for ever."""
        self.meet("end of collection")
        mine = [item.nodeid for item in session.items]
        names = self.comm.allgather(mine)
        errors = self.comm.allgather("\n".join(self.collection_errors))
        if all(other == mine for other in names) and all(errors) == any(errors):
            return
        everywhere = set.intersection(*map(set, names))
        alone = [[name for name in other if name not in everywhere] for other in names]
        lists = [f"{len(other)} tests, elsewhere not: {extra[:5]}" for other, extra in zip(names, alone, strict=True)]
        if self.rank == 0:
            self.say(f"the ranks collected different tests or in another order\n{by_rank(lists)}\n{by_rank(errors)}")
        pytest.exit("the ranks collected different tests", returncode=1)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Make this rank's report of a phase the report of all ranks."""
        report = yield
        state = str(report.outcome)
        if hasattr(report, "wasxfail"):
            state = "xfailed" if report.skipped else "xpassed"
        text = traceback_of(report) if report.failed else ""
        seen = self.meet(f"{report.when} of {report.nodeid}", state, text)
        if len(seen) == 1 and state != "failed":
            return report
        if not text and "failed" not in seen:
            text = f"{state} here, but not on every rank\n{traceback_of(report) if report.longrepr else ''}"
        if self.rank:  # what rank 0 captured, pytest shows itself
            text += "".join(f"\n----- {name} -----\n{content}" for name, content in report.sections if text)
        crash = getattr(report.longrepr, "reprcrash", None)
        texts, messages = zip(*self.comm.allgather((text, getattr(crash, "message", ""))), strict=True)
        first = next(rank for rank, other in enumerate(texts) if other)
        report.outcome = "failed"
        report.longrepr = Verdict(by_rank(texts), f"rank {first}: {messages[first] or texts[first]}")
        if hasattr(report, "wasxfail"):
            del report.wasxfail
        return report

    @pytest.hookimpl(optionalhook=True)
    def pytest_timeout_set_timer(self, item: Any, settings: Any) -> bool:
        """Stand in for pytest-timeout's thread, which prints to the terminal that only rank 0 has."""

        def end() -> None:
            text = f"{item.nodeid} ran past its time limit of {settings.timeout:g} s; "
            frames = traceback.extract_stack(sys._current_frames()[threading.main_thread().ident or 0])
            stack = "".join(traceback.format_list([frame for frame in frames if not HARNESS.search(frame.filename)]))
            self.say(text + ("this rank waits for the others" if self.waiting else f"stack of this rank:\n{stack}"))
            time.sleep(1)  # the first rank to leave ends the job: let the others print theirs
            os._exit(1)

        timer = threading.Timer(settings.timeout, end)
        timer.daemon = True
        timer.start()
        self.until = time.monotonic() + settings.timeout
        item.cancel_timeout = timer.cancel  # where pytest-timeout looks for it
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excrepr: Any) -> None:
        self.abort(f"internal error of pytest\n{excrepr}")

    def pytest_unconfigure(self) -> None:
        """Wait for rank 0's last words: the first rank that leaves with an error ends the job."""
        sys.stdout.flush()
        self.meet("end of the session")
        self.comm.Free()


class Verdict:
    """What pytest prints for a test that failed on some rank."""

    def __init__(self, text: str, message: str) -> None:
        self.text = text
        self.reprcrash = SimpleNamespace(message=message)

    def toterminal(self, terminal: Any) -> None:
        terminal.line(self.text)

    def __str__(self) -> str:
        return self.text


def by_rank(texts: list[str] | tuple[str, ...]) -> str:
    """Join the texts that are not empty under headings that name their ranks, equal ones once."""
    ranks: dict[str, list[str]] = {}
    for rank, text in enumerate(texts):
        if text.strip():
            ranks.setdefault(text.strip("\n"), []).append(str(rank))
    return "\n".join(f"----- rank {', '.join(group)} of {len(texts)} -----\n{text}" for text, group in ranks.items())


def traceback_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):  # a skip: file, line, reason
        return report.longrepr[2]
    return report.longreprtext or "no traceback"

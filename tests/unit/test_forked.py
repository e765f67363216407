"""Forks of one process a host: who computes, what they share, and that nothing is left of them, whoever ends first."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mpidec.errors import InputError
from mpidec.problems import forked
from mpidec.problems.forked import Forked, token

# stands for a large library: `load` notes in which process it is, work 0 adds up, work 1 fails
LIBRARY = """
import os
import numpy as np

loaded = []

def load():
    loaded.append(os.getpid())

def begin(memory, threads):
    seen = np.frombuffer(memory, np.int64)

    def work(what, samples):
        if what:
            raise ValueError("this cannot be computed")
        affinity = os.sched_getaffinity(0)
        seen[-5:] = seen[:samples].sum(), os.getpid(), loaded[0], threads, sum(1 << core for core in affinity)

    return work
"""
LACKING = """
from mpidec.errors import InputError
def load():
    raise InputError("install the extra of that name")
"""
BROKEN = """
def load():
    raise OSError("libother.so.12: cannot open shared object file")
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    (tmp_path / "large.py").write_text(LIBRARY)
    (tmp_path / "lacking.py").write_text(LACKING)
    (tmp_path / "broken.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "large"


class Asked:
    """A rank's fork of the library, and what both see."""

    def __init__(self, mark, threads=1):
        self.forked = Forked("large", 8 * 20, mark, threads)
        self.seen = np.frombuffer(self.forked.memory, np.int64)

    def __call__(self, *numbers):
        self.seen[: len(numbers)] = numbers
        self.forked.compute(0, len(numbers))
        return dict(zip(("sum", "pid", "parent", "threads", "affinity"), self.seen[-5:].tolist(), strict=True))


def gone(pid, seconds=10):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def test_each_has_a_fork_of_its_own_and_all_share_one_parent(library):
    one, other = Asked("a" + token()), Asked("a" + token(), threads=3)
    first, second = one(1, 2, 3), other(10, 20)
    assert (first["sum"], second["sum"]) == (6, 30)
    assert (first["threads"], second["threads"]) == (1, 3)
    assert first["parent"] == second["parent"] == one(1)["parent"]
    assert len({first["pid"], second["pid"], first["parent"], os.getpid()}) == 4
    assert one(5)["pid"] == first["pid"]
    # another token, another parent
    assert Asked("b" + token())(1)["parent"] != first["parent"]


def test_a_fork_runs_on_the_cores_of_its_rank(library):
    all_cores = os.sched_getaffinity(0)
    one = Asked("c" + token())
    assert one(1)["affinity"] == sum(1 << core for core in all_cores)
    core = max(all_cores)
    os.sched_setaffinity(0, {core})
    try:
        assert Asked("c" + token())(1)["affinity"] == 1 << core
    finally:
        os.sched_setaffinity(0, all_cores)


def test_a_fork_ends_with_the_object_that_asks_it_and_no_signal_to_all_ends_it_before(library):
    one, other = Asked("d" + token()), Asked("d" + token())
    pid, parent = one(1)["pid"], one(1)["parent"]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
        os.kill(parent, number)
    assert one(2, 2)["sum"] == 4
    del one
    assert gone(pid)
    assert other(1, 1)["sum"] == 2
    assert Asked("d" + token())(1)["parent"] == parent


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("lacking", "^install the extra of that name$"),
        ("broken", "^broken: OSError: libother.so.12: cannot open shared object file$"),
    ],
)
def test_where_the_library_cannot_be_loaded_everybody_who_asks_is_told(library, module, told):
    for _ in range(2):
        with pytest.raises(InputError, match=told):
            Forked(module, 8, token(), 1)


def test_a_fork_that_was_killed_or_failed_is_told_of(library, capfd):
    idle, busy, failed = (Asked("e" + token()) for _ in range(3))
    ended = "the process that computes for large has ended; was it killed"
    pid = idle(1)["pid"]
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    with pytest.raises(RuntimeError, match=ended):  # nobody takes what is asked
        idle(1)
    os.kill(busy(1)["pid"], signal.SIGSTOP)
    busy.forked._socket.sendall(bytes(8))
    os.kill(int(busy.seen[-4]), signal.SIGKILL)
    with pytest.raises(RuntimeError, match=ended):  # nobody answers
        busy(1)
    with pytest.raises(RuntimeError, match=ended):
        failed.forked.compute(1, 1)
    assert "ValueError: this cannot be computed" in capfd.readouterr().err


def test_a_rank_that_goes_while_its_fork_computes_leaves_no_word(library, capfd):
    one, other = Asked("g" + token()), Asked("g" + token())
    pid = one(1)["pid"]
    os.kill(pid, signal.SIGSTOP)
    one.forked._socket.sendall(bytes(8))
    one.forked.close()
    os.kill(pid, signal.SIGCONT)
    assert gone(pid)
    assert other(1)["sum"] == 1
    assert capfd.readouterr().err == ""


def test_once_the_parent_was_killed_another_is_started_and_forks_go_on(library):
    one = Asked("h" + token())
    parent = one(1)["parent"]
    os.kill(parent, signal.SIGKILL)
    assert gone(parent)
    assert one(2)["sum"] == 2
    other = Asked("h" + token())
    assert other(3)["sum"] == 3 and other(3)["parent"] not in (parent, one(3)["parent"])


def test_where_sockets_have_no_other_names_they_are_files_that_go(library, tmp_path, monkeypatch):
    monkeypatch.setattr(forked.sys, "platform", "other")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr(forked.tempfile, "tempdir", None)
    (tmp_path / "scratch").mkdir()
    program = RANK.replace("import sys", "import sys; sys.platform = 'other'")
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parent)])}
    mark = "i" + token()
    with subprocess.Popen(
        [sys.executable, "-c", program, mark], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=paths
    ) as rank:
        told = list(map(int, rank.stdout.readline().split()))
        assert len(list((tmp_path / "scratch").iterdir())) == 1
        mine = Asked(mark)(4, 5)
        assert (mine["sum"], mine["parent"]) == (9, told[2])
        time.sleep(0.1)
        rank.communicate()
    assert gone(told[1]) and gone(told[2])
    assert list((tmp_path / "scratch").iterdir()) == []


RANK = """
import sys
from test_forked import Asked
asked = Asked(sys.argv[1])
print(*asked(1, 2).values(), flush=True)
for line in sys.stdin:
    print(*asked(*map(int, line.split())).values(), flush=True)
"""


def test_ranks_find_one_another_and_the_end_of_the_first_costs_no_other_its_fork(library, tmp_path):
    here = Path(__file__).parent
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(here)])}
    command, mark = [sys.executable, "-c", RANK], "f" + token()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": paths}
    ranks = [subprocess.Popen([*command, mark], **pipes) for _ in range(4)]
    try:
        told = [list(map(int, rank.stdout.readline().split())) for rank in ranks]
        assert [each[0] for each in told] == [3] * 4
        parents, forks = {each[2] for each in told}, {each[1] for each in told}
        assert (len(parents), len(forks)) == (1, 4)
        (parent,) = parents
        status = Path(f"/proc/{parent}/status").read_text()
        owner = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))
        first = next(rank for rank in ranks if rank.pid == owner)
        first.kill()
        first.wait()
        assert gone(told[ranks.index(first)][1]) and not gone(parent, seconds=0.5)  # it waits for its forks
        for rank in ranks:
            if rank is not first:
                rank.stdin.write("4 5 6\n")
                rank.stdin.flush()
                assert rank.stdout.readline().split()[0] == "15"
    finally:
        for rank in ranks:
            rank.communicate()
    assert all(gone(process) for process in (parent, *forks))


def test_a_process_that_ends_well_waits_for_what_it_started(library, tmp_path):
    """So that none is left to whoever adopts orphans: in a container that may be nobody."""
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parent)])}
    program = RANK.partition("for line")[0]
    done = subprocess.run([sys.executable, "-c", program, token()], capture_output=True, text=True, env=paths, check=True)
    _, fork, parent, *_ = map(int, done.stdout.split())
    assert not Path(f"/proc/{fork}").exists() and not Path(f"/proc/{parent}").exists()
    assert done.stderr == ""

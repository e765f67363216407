"""However a run ends (Ctrl-C, a closed terminal, a killed parent or pipe), no process stays and the folder is in order."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from commands import assert_one_sentence, clean_environment, finish, mpidec, rows, small, start, write
from processes import inside, wait_for

from mpidec.commands import start as commands_start
from mpidec.mpi.launcher import family, find_launcher, library_version

RUN = [sys.executable, "-m", "mpidec", "run"]
OPEN_MPI = family(library_version()) == "openmpi"
LAUNCHERS = ("mpiexec", "mpirun", "prterun", "mpiexec.hydra")


def long_run(folder):
    table = small(observe={"every": 10}, method=[{"algorithm": "dif_altgdmin", "rounds": 1, "iterations": 10_000_000}])
    return write(folder, table)


@pytest.fixture(autouse=True)
def nothing_left(tmp_path):
    """A test that fails leaves a run without end: end it."""
    yield
    for pid in inside(tmp_path):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def started(folder, **environment):
    """A long run that has recorded some rows."""
    process = start([*RUN, long_run(folder), "--out", "out"], folder, **environment)
    trace = folder / "out" / "trace.csv"
    assert wait_for(lambda: trace.exists() and trace.read_text().count("\n") > 5)
    assert len(inside(folder)) >= 4  # the command and three ranks
    return process


def status(folder):
    return json.loads((folder / "out" / "run.json").read_text())["status"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_a_usable_folder(number, tmp_path):
    process = started(tmp_path)
    process.send_signal(number)
    assert_one_sentence(finish(process, 30), 130, "interrupted", "out")
    assert status(tmp_path) == "interrupted"
    assert int(rows(tmp_path / "out" / "trace.csv")[-1]["step"]) >= 10
    assert wait_for(lambda: inside(tmp_path) == [], 10)


def test_what_a_run_writes_for_its_start_is_in_one_folder_of_its_own_and_goes_with_it(tmp_path):
    """Launchers side by side that share a folder now and then fail."""
    scratch = tmp_path / "a long name, with blanks".ljust(200, "x")
    scratch.mkdir()
    process = started(tmp_path, TMPDIR=str(scratch))
    (own,) = scratch.iterdir()
    assert own.name.startswith("mpidec-")
    assert any(path.name.startswith("ompi.") for path in own.iterdir()) == OPEN_MPI
    process.terminate()
    assert_one_sentence(finish(process, 30), 130, "interrupted", "out")
    assert list(scratch.iterdir()) == []


def test_a_suspended_run_goes_on_when_it_is_continued(tmp_path):
    """As a batch system suspends a job: all its processes are stopped, for longer than ranks wait for a signal."""
    process, trace = started(tmp_path), tmp_path / "out" / "trace.csv"
    stopped = inside(tmp_path)
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in stopped:
            os.kill(pid, number)
        if number == signal.SIGSTOP:
            time.sleep(2.5)
    before = trace.read_text().count("\n")
    assert wait_for(lambda: trace.read_text().count("\n") > before + 5)
    assert inside(tmp_path) == stopped and status(tmp_path) == "running"
    process.terminate()
    assert_one_sentence(finish(process, 30), 130, "interrupted", "out")


def test_ranks_end_when_the_process_that_started_them_is_killed(tmp_path):
    process = started(tmp_path)
    process.kill()
    process.communicate(timeout=30)
    assert wait_for(lambda: inside(tmp_path) == [], 20)
    assert status(tmp_path) == "interrupted"


def test_a_killed_rank_ends_the_run_as_failed(tmp_path):
    process = started(tmp_path)
    told = {pid: Path(f"/proc/{pid}/environ").read_bytes() for pid in inside(tmp_path)}
    rank = next(pid for pid, text in told.items() if b"OMPI_COMM_WORLD_RANK=0" in text or b"PMI_RANK=0" in text)
    os.kill(rank, signal.SIGKILL)
    done = finish(process, 30)
    assert done.returncode not in (0, 2, 3, 4, 130)
    assert "the ranks ended with status" in done.stderr
    assert status(tmp_path) == "failed"
    assert wait_for(lambda: inside(tmp_path) == [], 10)


def launcher_that_crashes(folder, times):
    """The real launcher, but for its first starts: it dies as ranks do that crash in MPI_Init, before they have met."""
    found = find_launcher(family(library_version())).path
    script = folder / "crashes"
    script.write_text(
        f"""#!/bin/sh
[ "$1" != --version ] || exec {found} --version
echo >>{folder}/starts
[ $(wc -l <{folder}/starts) -gt {times} ] || kill -SEGV $$
exec {found} "$@"
"""
    )
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize(("times", "status"), [(1, 0), (2, 0), (9, 128 + signal.SIGSEGV)])
def test_ranks_that_crash_before_anything_is_recorded_are_started_again_twice_at_most(times, status, tmp_path):
    launcher = launcher_that_crashes(tmp_path, times)
    done = mpidec("run", write(tmp_path, small()), "--out=out", cwd=tmp_path, MPIDEC_MPIEXEC=launcher)
    assert done.returncode == status, done.stderr
    again = min(times, 2)
    assert (tmp_path / "starts").read_text().count("\n") == 1 + again
    told, rest = done.stderr.splitlines()[:again], done.stderr.splitlines()[again:]
    assert told == ["mpidec: note: status 139 before anything was recorded: starting the ranks again"] * again
    assert [line.startswith("mpidec: the ranks ended with status 139") for line in rest] == [True] * (status != 0)
    assert (tmp_path / "out" / "run.json").exists() == (status == 0)


def test_ctrl_c_twice_ends_all_at_once(tmp_path):
    process = started(tmp_path)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    assert finish(process, 30).returncode == 130
    assert wait_for(lambda: inside(tmp_path) == [], 20)
    assert status(tmp_path) == "interrupted"


@pytest.mark.parametrize("moment", range(4))
def test_ctrl_c_as_soon_as_the_launcher_is_there_ends_it(moment, tmp_path):
    """The signal comes within the very start of the child, at several delays."""
    process = start([*RUN, long_run(tmp_path), "--out", "out"], tmp_path)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    assert wait_for(lambda: any(program(child) in LAUNCHERS for child in children.read_text().split()))
    time.sleep(0.01 * moment**2)
    process.send_signal(signal.SIGINT)
    done = finish(process, 60)
    assert (done.returncode, "Traceback" in done.stderr) == (130, False)
    assert wait_for(lambda: inside(tmp_path) == [], 10)


def test_a_launcher_that_loses_its_first_signal_is_told_again(tmp_path, monkeypatch):
    """MPICH's does within its first milliseconds, in which it has a handler, and no pipe to hand the signal on by."""
    monkeypatch.setattr(commands_start, "_INSIST_EVERY", 0.3)
    deaf = "import signal, time; signal.signal(15, lambda *_: signal.signal(15, lambda *_: exit(7)))"
    command = [sys.executable, "-c", f"{deaf}; open('{tmp_path}/on', 'w'); time.sleep(60)"]

    def press():
        assert wait_for((tmp_path / "on").exists)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)
    thread = threading.Thread(target=press)
    thread.start()
    ended = commands_start.run_and_forward_signals(command, dict(os.environ))
    thread.join()
    assert ended == (7, True)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def program(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().rpartition("/")[2]
    except OSError:
        return ""


@pytest.mark.parametrize("redirection", ["| head -1", "2>&1 | head -1", ">&-", ">&- 2>&-", ">/dev/full", "> log 2>&1"])
def test_a_run_goes_on_when_nobody_reads_what_it_says(redirection, tmp_path):
    """`mpidec run | head` must not lose the results."""
    table = small(method=[{"algorithm": "dif_altgdmin", "rounds": 1, "iterations": 40}])
    command = f"{sys.executable} -m mpidec run {write(tmp_path, table)} --out out {redirection}"
    subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=clean_environment(), timeout=100, check=False, capture_output=True
    )
    assert status(tmp_path) == "finished"
    assert rows(tmp_path / "out" / "trace.csv")[-1]["step"] == "40"
    assert (tmp_path / "out" / "subspace_distance.png").stat().st_size > 10_000


def test_runs_that_start_in_the_same_second_get_folders_of_their_own(tmp_path):
    file = write(tmp_path, small())
    both = [start([*RUN, file], tmp_path) for _ in range(2)]
    assert [finish(process).returncode for process in both] == [0, 0]
    folders = sorted((tmp_path / "runs").iterdir())
    assert len(folders) == 2
    first, second = (rows(folder / "trace.csv") for folder in folders)
    assert [r["loss"] for r in first] == [r["loss"] for r in second]


def test_the_command_is_what_was_typed(tmp_path):
    assert mpidec("run", write(tmp_path, small()), "--out", "out", "--set", "ranks=2", cwd=tmp_path).returncode == 0
    about = json.loads((tmp_path / "out" / "run.json").read_text())
    assert about["command"] == f"mpidec run {tmp_path}/small.toml --out out --set ranks=2"
    assert about["ranks"] == 2

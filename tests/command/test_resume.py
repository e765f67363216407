"""Runs that are stopped or killed go on and end as an unbroken one, bit for bit; what cannot go on is refused."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import assert_one_sentence, by_hand, finish, mpidec, rows, small, start, under_mpirun, write
from kill_and_resume import broken, instants
from processes import inside, kill, wait_for
from resuming import assert_same, lasting, several

ITERATIONS = 60
SLOW = """
import time
from dataclasses import dataclass
import mpidec

@dataclass(frozen=True, kw_only=True)
class Slow(mpidec.DifAltGDmin):
    '''Takes `pause` seconds more a step, which changes nothing else.'''
    pause: float = 0.0

    def step(self, net, problem, state, k):
        time.sleep(self.pause)
        return super().step(net, problem, state, k)
"""


@pytest.fixture(autouse=True)
def nothing_left(tmp_path):
    """A test that fails leaves a run without end: end it."""
    yield
    kill(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an unbroken run leaves."""
    folder = tmp_path_factory.mktemp("whole")
    done = mpidec("run", write(folder, several(ITERATIONS)), "--out", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert not (folder / "out" / "checkpoints").exists()
    return lasting(folder / "out")


@pytest.mark.parametrize("number", range(5))
def test_killed_at_random_instants_it_ends_as_if_it_had_not_been(number, whole, tmp_path):
    """The rest of 50 by tests/kill_and_resume.py."""
    when = instants(random.Random(f"of {number}"), 1 + number % 2, len(whole["trace"]))
    broken(tmp_path, write(tmp_path, several(ITERATIONS)), when)
    assert_same(tmp_path / "out", whole)


def test_one_without_checkpoints_goes_on_with_the_methods_that_are_left(whole, tmp_path):
    table = several(ITERATIONS)
    del table["checkpoint"]
    broken(tmp_path, write(tmp_path, table), [(20, 0.0)])
    assert_same(tmp_path / "out", whole)


# -- asked to stop ----------------------------------------------------------------------------------------------------


def slow(folder, pause, **changes):
    (folder / "slow.py").write_text(SLOW)
    methods = [
        {"algorithm": "slow.py:Slow", "rounds": 3, "iterations": 300},
        {"algorithm": "altgdmin_fusion", "iterations": 20},
    ]
    methods[0]["pause"] = pause
    return write(folder, small(method=methods, observe={"every": 7}, **({"checkpoint": {}} | changes)))


@pytest.fixture(scope="module")
def slow_whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slow")
    done = mpidec("run", slow(folder, 0.0), "--out", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    return lasting(folder / "out")


def traced(folder, number):
    """Wait for so many rows of the trace."""
    trace = folder / "out" / "trace.csv"
    assert wait_for(lambda: trace.exists() and trace.read_text().count("\n") > number)


def of_rank(folder, rank):
    """The process of a rank."""
    names = {f"OMPI_COMM_WORLD_RANK={rank}", f"PMI_RANK={rank}"}
    return next(pid for pid in inside(folder) if names & set(Path(f"/proc/{pid}/environ").read_text().split("\0")))


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_asked_to_stop_it_asks_to_be_started_again_and_then_ends_as_if_it_had_not_been(number, slow_whole, tmp_path):
    command = [sys.executable, "-m", "mpidec", "run", slow(tmp_path, 0.02), "--out", "out", "--resume"]
    process = start(command, tmp_path)
    traced(tmp_path, 5)
    process.send_signal(number)
    began = time.monotonic()
    assert_one_sentence(finish(process, 60), 75, "stopped Slow after step", "with a checkpoint", "--resume")
    assert time.monotonic() - began < 30
    about = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (about["status"], about["methods"]) == ("interrupted", {})
    assert "with a checkpoint of step" in about["reason"]
    (part, *others) = sorted((tmp_path / "out" / "checkpoints").glob("*/*.part"))
    step = int(part.parent.name.split("step")[1].split("-")[0])
    assert len(others) == 2
    assert 28 <= step < 300
    last = int(rows(tmp_path / "out" / "trace.csv")[-1]["step"])
    assert last == 7 * (step // 7)
    done = finish(start(command, tmp_path))
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "out", slow_whole)
    starts = json.loads((tmp_path / "out" / "run.json").read_text())["starts"]
    assert [(each["method"], each["step"]) for each in starts] == [(None, None), ("Slow", step)]
    seconds = [float(r["checkpoint_seconds"]) for r in rows(tmp_path / "out" / "trace.csv") if r["method"] == "Slow"]
    assert seconds == sorted(seconds)
    assert seconds[-1] > 0


def test_a_signal_to_one_rank_of_a_launcher_stops_all_with_that_status(slow_whole, tmp_path):
    """As when srun passes on what the batch system sends; the launcher tells the status of a rank."""
    command, settings = by_hand(tmp_path, 3, "-m", "mpidec", "run", slow(tmp_path, 0.02), "--out=out", "--resume")
    process = start(command, tmp_path, **settings)
    traced(tmp_path, 5)
    os.kill(of_rank(tmp_path, 1), signal.SIGUSR1)
    done = finish(process, 60)
    assert done.returncode == 75, done.stderr
    assert "with a checkpoint of step" in done.stderr
    again = under_mpirun(3, "run", slow(tmp_path, 0.02), "--out=out", "--resume", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert_same(tmp_path / "out", slow_whole)


def test_a_second_sigterm_and_ctrl_c_end_it_at_once(tmp_path):
    file = slow(tmp_path, 5.0)  # which gives the second signal time to come before the checkpoint
    for numbers in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT,)):
        process = start([sys.executable, "-m", "mpidec", "run", file, "--out", "out", "--resume"], tmp_path)
        traced(tmp_path, 1)
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.3)  # two of a kind that wait together are one
        assert finish(process, 30).returncode == 130
        assert wait_for(lambda: inside(tmp_path) == [], 10)
        assert not list((tmp_path / "out").glob("checkpoints/*.json"))
        shutil.rmtree(tmp_path / "out")


# -- what goes on, and what is refused --------------------------------------------------------------------------------


@pytest.fixture
def stopped(tmp_path):
    """A folder with a run that was killed, with checkpoints of steps 30 and 45 of its first method, and its file."""
    table = small(method=[{"algorithm": "dif_altgdmin", "rounds": 3, "iterations": 50}], checkpoint={"every": 15})
    (tmp_path / "slow.py").write_text(SLOW)
    table["method"].append({"algorithm": "slow.py:Slow", "iterations": 50, "pause": 0.0})
    file = write(tmp_path, table)
    done = mpidec("run", file, "--out", "whole", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    late = "import os\nimport signal\n" + SLOW.replace(
        "time.sleep(self.pause)", "k == 47 and os.kill(os.getpid(), signal.SIGKILL)"
    )
    (tmp_path / "slow.py").write_text(late)
    done = mpidec("run", file, "--out", "out", "--resume", cwd=tmp_path)
    assert done.returncode not in (0, 75)
    kill(tmp_path)
    (tmp_path / "slow.py").write_text(SLOW)
    return tmp_path, file


def test_a_set_that_is_damaged_gives_way_to_the_one_before(stopped):
    folder, file = stopped
    sets = sorted((folder / "out" / "checkpoints").glob("*/"))
    assert [path.name.split("-")[1] for path in sets if path.is_dir()] == ["step30", "step45"]
    part = sets[-1] / "rank1.part" if sets[-1].is_dir() else sets[-2] / "rank1.part"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    done = mpidec("run", file, "--out", "out", "--resume", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("mpidec: note:") == 1
    assert "the checkpoint of step 45 cannot be used" in done.stderr
    assert "rank1.part is damaged" in done.stderr
    assert_same(folder / "out", lasting(folder / "whole"))
    about = json.loads((folder / "out" / "run.json").read_text())
    assert [(each["method"], each["step"]) for each in about["starts"]] == [(None, None), ("Slow", 30)]
    # and once more: there is nothing left to do, and nothing is done
    before = (folder / "out" / "trace.csv").read_bytes()
    again = mpidec("run", file, "--out", "out", "--resume", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert (folder / "out" / "trace.csv").read_bytes() == before
    assert not (folder / "out" / "checkpoints").exists()


def test_other_settings_are_refused_and_told(stopped):
    folder, file = stopped
    before = {path: path.read_bytes() for path in (folder / "out").rglob("*") if path.is_file()}
    for setting, words in {
        "seed=2": ["seed: 1 there, 2 wanted"],
        "graph.topology=star": ["graph.topology", "ring", "star"],
        "problem.samples=11": ["problem.samples: 10 there, 11 wanted"],
        "ranks=2": ["ranks: 3 there, 2 wanted"],
        "method.1.iterations=60": ["method.1.iterations: 50 there, 60 wanted"],
    }.items():
        done = mpidec("run", file, "--out", "out", "--resume", "--set", setting, cwd=folder)
        assert_one_sentence(done, 2, "other settings", *words)
    done = under_mpirun(3, "run", file, "--out", "out", "--resume", "--set", "seed=2", cwd=folder)
    assert_one_sentence(done, 2, "other settings", "seed: 1 there, 2 wanted")
    assert {path: path.read_bytes() for path in (folder / "out").rglob("*") if path.is_file()} == before
    assert_one_sentence(mpidec("run", file, "--out", "out", cwd=folder), 2, "never overwritten")
    assert_one_sentence(mpidec("run", file, "--resume", cwd=folder), 2, "--resume", "--out")
    done = mpidec("run", file, "--out", ".", "--resume", cwd=folder)
    assert_one_sentence(done, 2, "no run folder")
    # how often to keep checkpoints is no part of what is computed
    done = mpidec("run", file, "--out", "out", "--resume", "--set", "checkpoint.every=20", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert_same(folder / "out", lasting(folder / "whole"))


def test_a_second_run_that_would_go_on_in_the_same_folder_is_refused(tmp_path):
    command = [sys.executable, "-m", "mpidec", "run", slow(tmp_path, 0.2), "--out", "out", "--resume"]
    first = start(command, tmp_path)
    traced(tmp_path, 1)
    assert_one_sentence(finish(start(command, tmp_path)), 2, "another run is writing into out", "wait")
    assert first.poll() is None
    first.send_signal(signal.SIGINT)
    assert finish(first, 30).returncode == 130


def test_a_method_that_diverged_is_told_again(tmp_path):
    methods = [{"algorithm": "dif_altgdmin", "iterations": 20, "step_size": 1e308, "label": "wild"}]
    file = write(tmp_path, small(method=methods, checkpoint={"every": 5}))
    done = [mpidec("run", file, "--out", "out", "--resume", cwd=tmp_path) for _ in range(2)]
    for each in done:
        assert_one_sentence(each, 3, "'wild'", "non-finite at step", "step size")
    assert done[0].stderr == done[1].stderr


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, small."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", folder]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_without_room_for_a_checkpoint_the_run_goes_on_and_says_so_once(disk, tmp_path):
    """Parts of 58 kB on 3 ranks do not fit on 128 kB beside the tables: not one set, and no other trouble."""
    table = small(problem={"d": 3600}, method=[{"algorithm": "dif_altgdmin", "iterations": 20}])
    table |= {"checkpoint": {"every": 3, "folder": str(disk)}}
    done = mpidec("run", write(tmp_path, table), "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("mpidec: note:") == 1
    assert "No space left" in done.stderr
    assert "the run goes on, there is none before" in done.stderr
    assert [int(r["step"]) for r in rows(tmp_path / "out" / "trace.csv")] == [0, 5, 10, 15, 20]
    assert list(disk.rglob("*.part")) == []
    # and where there is room the parts are there, in a folder of the run's own, and the manifests in the run's folder
    table["checkpoint"] |= {"folder": "local", "every": 1}
    process = start([sys.executable, "-m", "mpidec", "run", write(tmp_path, table), "--out", "again"], tmp_path)
    assert wait_for(lambda: list((tmp_path / "local").glob("*/*/rank2.part")) or process.poll() is not None)
    run_id = json.loads((tmp_path / "again" / "run.json").read_text())["run_id"]
    assert [path.name for path in (tmp_path / "local").iterdir()] == [run_id]
    assert finish(process).returncode == 0
    assert list((tmp_path / "local").iterdir()) == []
    assert_same(tmp_path / "again", lasting(tmp_path / "out"))


def test_a_folder_for_checkpoints_that_cannot_be_is_refused_before_the_first_message(tmp_path):
    (tmp_path / "file").write_text("")
    file = write(tmp_path, small(checkpoint={"every": 3, "folder": "file/x"}))
    assert_one_sentence(mpidec("run", file, "--out", "out", cwd=tmp_path), 2, "cannot keep checkpoints in", "file/x")
    assert not (tmp_path / "out" / "trace.csv").exists()


def test_a_sweep_goes_on_with_a_run_that_keeps_checkpoints(slow_whole, tmp_path):
    slow(tmp_path, 0.02)
    write(tmp_path, {"name": "s", "experiment": "small.toml", "seeds": [1]}, "sweep.toml")
    command = [sys.executable, "-m", "mpidec", "sweep", "sweep.toml", "--out", "."]
    process = start(command, tmp_path)
    trace = tmp_path / "seed=1" / "trace.csv"
    assert wait_for(lambda: trace.exists() and trace.read_text().count("\n") > 5)
    process.send_signal(signal.SIGTERM)
    assert finish(process, 60).returncode == 75
    assert list((tmp_path / "seed=1").glob("checkpoints/*.json"))
    done = finish(start(command, tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert_same(tmp_path / "seed=1", slow_whole)
    assert len(json.loads((tmp_path / "seed=1" / "run.json").read_text())["starts"]) == 2

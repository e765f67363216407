"""mpidec sweep as a user starts it: real ranks, what is done and redone, failures, signals, and two sweeps on one folder."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from commands import assert_one_sentence, counting_launcher, finish, mpidec, rows, small, start, write
from resuming import assert_same, lasting

from mpidec.sweep import read_sweep, run

METHODS = [
    {"algorithm": "dif_altgdmin", "rounds": 2, "rounds_init": 1, "iterations": 10},
    {"algorithm": "altgdmin_fusion", "iterations": 10},
]
# too few rounds for a path, which only the ranks find out
TOPOLOGIES = """
name = "mixed"
experiment = "base.toml"
seeds = 2
[[vary]]
"graph.topology" = ["ring", "path", "complete"]
"""
GOOD = [f"topology={topology},seed={seed}" for topology in ("ring", "complete") for seed in (0, 1)]
BAD = [f"topology=path,seed={seed}" for seed in (0, 1)]


def lay_sweep(folder: Path, text: str = TOPOLOGIES, **base) -> Path:
    write(folder, small(**({"method": METHODS} | base)), "base.toml")
    (folder / "sweep.toml").write_text(text)
    return folder


def listing(folder: Path) -> dict[str, str]:
    done = mpidec("sweep", "sweep.toml", "--out", "out", "--list", cwd=folder)
    assert done.returncode == 0, done.stderr
    return {line[19:].partition("  ")[0]: line[6:17].strip() for line in done.stdout.splitlines()}


def times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = lay_sweep(tmp_path_factory.mktemp("swept"))
    return folder, mpidec("sweep", "sweep.toml", "--out", "out", cwd=folder, seconds=280)


def test_failing_runs_stop_no_others_and_are_told_with_their_reasons(swept):
    folder, done = swept
    assert done.returncode == 1
    assert "6 runs: 4 finished, 2 failed" in done.stdout.replace("2 failed, 4 finished", "4 finished, 2 failed")
    told = [line for line in done.stderr.splitlines() if line.startswith("mpidec: ")]
    assert len(told) == 2
    for line, name in zip(told, BAD, strict=True):
        assert line.startswith(f"mpidec: {name} failed: method 'dif_altgdmin': rounds_init = 1 is below the graph's diameter 2")
    assert "┃" not in done.stdout  # the runs' own tables are in their logs
    assert all("┃" in (folder / "out" / f"{name}.log").read_text() for name in GOOD)
    assert listing(folder) == dict.fromkeys(GOOD, "finished") | dict.fromkeys(BAD, "failed")


def test_the_table_holds_the_last_rows_of_the_traces(swept):
    folder, _ = swept
    got = rows(folder / "out" / "runs.csv")
    assert list(got[0])[:6] == ["run", "graph.topology", "seed", "status", "method", "ending"]
    assert [r["run"] for r in got] == [*GOOD[:1] * 2, *GOOD[1:2] * 2, *BAD, *GOOD[2:3] * 2, *GOOD[3:] * 2]
    for name in GOOD:
        last = {r["method"]: r for r in rows(folder / "out" / name / "trace.csv")}
        topology, seed = re.fullmatch(r"topology=(\w+),seed=(\d)", name).groups()
        for method in METHODS:
            label = method["algorithm"]
            head = {"run": name, "graph.topology": topology, "seed": seed, "status": "finished", "ending": "finished"}
            (row,) = [r for r in got if (r["run"], r["method"]) == (name, label)]
            assert row == head | last[label]
            assert row["step"] == "10"
    for r in got:
        if r["run"] in BAD:
            assert (r["status"], {v for k, v in r.items() if k not in ("run", "graph.topology", "seed", "status")}) == (
                "failed",
                {""},
            )


def test_a_run_is_the_one_that_mpidec_run_makes(swept, tmp_path):
    folder, _ = swept
    arguments = ["--set", "graph.topology=complete", "--seed", "1", "--out", str(tmp_path / "alone")]
    done = mpidec("run", "base.toml", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    for name in ("trace.csv", "ledger.csv"):
        # what set-up sends holds the command and the folder, which differ
        one, two = (
            [{k: v for k, v in r.items() if "seconds" not in k} for r in rows(where / name) if r["method"] != "(set-up)"]
            for where in (tmp_path / "alone", folder / "out" / GOOD[3])
        )
        assert one == two
        assert {r["method"] for r in one} == {method["algorithm"] for method in METHODS}


def test_what_is_done_is_skipped_and_what_failed_is_tried_again(swept):
    folder, _ = swept
    before = {name: times(folder / "out" / name) for name in GOOD}
    table = (folder / "out" / "runs.csv").read_text()
    done = mpidec("sweep", "sweep.toml", "--out", "out", cwd=folder)
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if "started" in line] == [
        f"3/6  {BAD[0]}: started",
        f"4/6  {BAD[1]}: started",
    ]
    assert {name: times(folder / "out" / name) for name in GOOD} == before
    (folder / "out" / "runs.csv").unlink()
    listing(folder)
    assert (folder / "out" / "runs.csv").read_text() == table


def test_a_folder_of_other_settings_is_refused_before_anything_runs(swept):
    folder, _ = swept
    before = times(folder / "out")
    done = mpidec("sweep", "sweep.toml", "--out", "out", "--set", "problem.samples=11", cwd=folder)
    assert_one_sentence(done, 2, GOOD[0], "problem.samples: 10 there, 11 wanted", "--out")
    assert times(folder / "out") == before


def test_two_sweeps_at_once_make_every_run_once_and_jobs_change_only_seconds(swept, tmp_path):
    lay_sweep(tmp_path)
    command = [sys.executable, "-m", "mpidec", "sweep", "sweep.toml", "--out", "out", "--jobs", "2"]
    both = [finish(process, 280) for process in [start(command, tmp_path) for _ in range(2)]]
    assert {done.returncode for done in both} <= {0, 1}  # 0 where the other still had the failing ones in work
    started = re.findall(r"\d/6  (\S+): started", "".join(done.stdout for done in both))
    assert Counter(started) == Counter([*GOOD, *BAD])
    one, two = rows(swept[0] / "out" / "runs.csv"), rows(tmp_path / "out" / "runs.csv")
    assert [{k: v for k, v in r.items() if "seconds" not in k} for r in one] == [
        {k: v for k, v in r.items() if "seconds" not in k} for r in two
    ]


# -- runs that wait until a file is gone, and note in another that they were made ----------------------------------------

HELD = """
import time
from dataclasses import dataclass
from pathlib import Path
import mpidec

HERE = Path(__file__).parent

@dataclass(frozen=True, kw_only=True)
class Held(mpidec.DifAltGDmin):
    '''Waits in its third step as long as the file `hold` is there.'''
    def step(self, net, problem, state, k):
        while k == 3 and (HERE / 'hold').exists():
            time.sleep(0.05)
        return super().step(net, problem, state, k)
"""
SEEDS = 'name = "held"\nexperiment = "base.toml"\nseeds = 2\n'


@pytest.fixture
def held(tmp_path):
    (tmp_path / "mine.py").write_text(HELD)
    (tmp_path / "hold").write_text("")
    method = [{"algorithm": "mine.py:Held", "rounds": 1, "iterations": 5}]
    return lay_sweep(tmp_path, SEEDS, ranks=2, method=method, observe={"every": 1})


def sweeping(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mpidec", "sweep", "sweep.toml", "--out", str(folder / "out"), *arguments]
    return start(command, folder)


def wait_for(condition, seconds: float = 100) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def left(folder: Path) -> list[int]:
    """The processes whose command line names the folder."""
    found = subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, text=True, check=False).stdout
    return [int(pid) for pid in found.split()]


def step_two(folder: Path, seed: int) -> bool:
    trace = folder / "out" / f"seed={seed}" / "trace.csv"
    return trace.exists() and trace.read_text().count("\n") == 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_sweep_leaves_usable_folders_and_no_process(number, held):
    process = sweeping(held, "--jobs", "2")
    wait_for(lambda: step_two(held, 0) and step_two(held, 1))
    process.send_signal(number)
    done = finish(process, 60)
    assert_one_sentence(done, 130, "interrupted", "out", "the rest")
    wait_for(lambda: not left(held), 10)  # a process that was killed takes a moment to be gone
    for seed in (0, 1):
        assert json.loads((held / "out" / f"seed={seed}" / "run.json").read_text())["status"] == "interrupted"
    assert [(r["seed"], r["status"], r["step"]) for r in rows(held / "out" / "runs.csv")] == [
        ("0", "interrupted", "2"),
        ("1", "interrupted", "2"),
    ]
    assert listing(held) == {"seed=0": "interrupted", "seed=1": "interrupted"}


def test_a_run_whose_sweep_was_killed_is_left_alone_while_it_lives_and_redone_once_it_is_dead(held):
    process = sweeping(held, "--index", "0")
    wait_for(lambda: step_two(held, 0))
    process.kill()
    finish(process, 10)
    assert listing(held) == {"seed=0": "running", "seed=1": "to do"}
    other = mpidec("sweep", "sweep.toml", "--out", "out", "--index", "0", cwd=held)
    assert (other.returncode, "started" in other.stdout) == (0, False)
    assert "seed=0 is being run by another process" in other.stderr
    for pid in left(held):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not left(held), 10)
    assert json.loads((held / "out" / "seed=0" / "run.json").read_text())["status"] == "running"
    assert listing(held) == {"seed=0": "killed", "seed=1": "to do"}
    (held / "hold").unlink()
    (held / "out" / "seed=0" / "mine.txt").write_text("not to be removed")
    refused = mpidec("sweep", "sweep.toml", "--out", "out", cwd=held)
    assert_one_sentence(refused, 2, "seed=0", "mine.txt")
    (held / "out" / "seed=0" / "mine.txt").unlink()
    done = mpidec("sweep", "sweep.toml", "--out", "out", "--index", "0", cwd=held)
    assert done.returncode == 0, done.stderr
    assert [r["step"] for r in rows(held / "out" / "seed=0" / "trace.csv")] == ["0", "1", "2", "3", "4", "5"]
    assert listing(held) == {"seed=0": "finished", "seed=1": "to do"}


def test_diverged_runs_are_done_and_give_a_status_of_their_own(tmp_path):
    text = 'name = "wild"\nexperiment = "base.toml"\n[[vary]]\n"method.0.step_size" = [1e308]\n'
    lay_sweep(tmp_path, text, ranks=2, method=METHODS[:1])
    done = mpidec("sweep", "sweep.toml", "--out", "out", cwd=tmp_path)
    assert_one_sentence(done, 3, "step_size=1e+308,seed=1 diverged", "non-finite at step")
    (row,) = rows(tmp_path / "out" / "runs.csv")
    assert (row["status"], row["ending"], row["method.0.step_size"]) == ("diverged", "diverged", "1e+308")
    before = times(tmp_path / "out" / "step_size=1e+308,seed=1")
    again = mpidec("sweep", "sweep.toml", "--out", "out", cwd=tmp_path)
    assert_one_sentence(again, 3, "diverged")
    assert times(tmp_path / "out" / "step_size=1e+308,seed=1") == before


# -- runs on as many ranks share them ------------------------------------------------------------------------------------

THREE = 'name = "three"\nexperiment = "base.toml"\nseeds = 3\n'
FAILS = """
from dataclasses import dataclass
from pathlib import Path
import mpidec

@dataclass(frozen=True, kw_only=True)
class Fails(mpidec.DifAltGDmin):
    '''Raises on rank 0 the second time that it begins.'''
    def init(self, net, problem, x0):
        if net.rank == 0:
            with (Path(__file__).parent / 'begun').open('a') as file:
                file.write('x')
            if (Path(__file__).parent / 'begun').read_text() == 'xx':
                raise RuntimeError('a fault of mine')
        return super().init(net, problem, x0)
"""


def test_seeds_are_made_by_the_same_ranks_and_come_out_as_alone(tmp_path):
    lay_sweep(tmp_path, THREE)
    done = mpidec("sweep", "sweep.toml", "--out", "out", cwd=tmp_path, MPIDEC_MPIEXEC=counting_launcher(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "starts").read_text().count("\n") == 1
    told = [line.partition("  ")[2].split(" after")[0] for line in done.stdout.splitlines() if "seed=" in line]
    assert told == [f"seed={seed}: {word}" for seed in range(3) for word in ("started", "finished")]
    for seed in range(3):
        folder, alone = tmp_path / "out" / f"seed={seed}", tmp_path / f"alone{seed}"
        about = json.loads((folder / "run.json").read_text())
        assert shlex.split(about["command"])[3:] == [f"--seed={seed}", f"--out=out/seed={seed}", "--no-picture"]
        assert mpidec("run", "base.toml", f"--seed={seed}", f"--out={alone}", "--no-picture", cwd=tmp_path).returncode == 0
        assert_same(folder, lasting(alone))
        head, *said = (tmp_path / "out" / f"seed={seed}.log").read_text().splitlines()
        assert head.startswith("$ mpidec run ") and f"--seed={seed}" in head
        assert sum("│" in line for line in said) == len(METHODS)
        assert "next" not in "".join(said)


def test_a_run_that_is_refused_as_it_starts_takes_no_other_with_it(tmp_path):
    """Its data have gone since the sweep was read, and the ranks are asked to make all runs."""
    rng = np.random.default_rng(0)
    for name in "abc":
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "X.npy", rng.standard_normal((6, 10, 8)))
        np.save(tmp_path / name / "y.npy", rng.standard_normal((6, 10)))
    data = {"kind": "multitask_regression", "source": "files", "path": "a", "rank": 2}
    (tmp_path / "base.toml").write_text(tomli_w.dumps({**small(ranks=2), "problem": data}))
    (tmp_path / "s.toml").write_text('name = "s"\nexperiment = "base.toml"\n[[vary]]\n"problem.path" = ["a", "b", "c"]\n')
    sweep = read_sweep(tmp_path / "s.toml")
    (tmp_path / "b" / "y.npy").unlink()
    told = []
    found = run(sweep, tmp_path / "out", hear=lambda each, state: told.append((each.index, state.status)))
    assert [state.status for state in found] == ["finished", "failed", "finished"]
    assert "y.npy" in found[1].reason
    assert [(i, status) for i, status in told if status != "running"] == [(0, "finished"), (1, "failed"), (2, "finished")]


def test_a_run_that_fails_takes_no_later_one_with_it(tmp_path):
    (tmp_path / "mine.py").write_text(FAILS)
    lay_sweep(tmp_path, THREE, ranks=2, method=[{"algorithm": "mine.py:Fails", "rounds": 1, "iterations": 5}])
    done = mpidec("sweep", "sweep.toml", "--out", "out", cwd=tmp_path, MPIDEC_MPIEXEC=counting_launcher(tmp_path))
    assert_one_sentence(done, 1, "seed=1 failed: [rank 0] RuntimeError: a fault of mine")
    assert (tmp_path / "starts").read_text().count("\n") == 2
    assert listing(tmp_path) == {"seed=0": "finished", "seed=1": "failed", "seed=2": "finished"}
    logs = [(tmp_path / "out" / f"seed={seed}.log").read_text() for seed in range(3)]
    assert ["a fault of mine" in log for log in logs] == [False, True, False]


MIXED = """
name = "mixed"
experiment = "base.toml"
[[vary]]
"method.0.algorithm" = ["dif_altgdmin", "mine.py:Held", "altgdmin_fusion", "dif_altgdmin"]
"graph.topology" = ["ring", "complete", "star", "star"]
ranks = [3, 3, 3, 2]
"""


def test_what_is_done_of_runs_of_different_settings_stays_done_and_the_rest_is_made_later(tmp_path):
    """SIGTERM comes while the second of three runs on three ranks waits in its third step; one on two was made before."""
    (tmp_path / "mine.py").write_text(HELD)
    (tmp_path / "hold").write_text("")
    lay_sweep(tmp_path, MIXED, method=[{"algorithm": "dif_altgdmin", "iterations": 5}], observe={"every": 1})
    names = list(listing(tmp_path))
    environment = {"MPIDEC_MPIEXEC": counting_launcher(tmp_path)}
    command = [sys.executable, "-m", "mpidec", "sweep", "sweep.toml", "--out", str(tmp_path / "out")]
    process = start(command, tmp_path, **environment)
    waiting = tmp_path / "out" / names[1] / "trace.csv"
    wait_for(lambda: waiting.exists() and waiting.read_text().count("\n") == 4)
    assert listing(tmp_path) == dict(zip(names, ["finished", "running", "running", "finished"], strict=True))
    process.send_signal(signal.SIGTERM)
    assert_one_sentence(finish(process, 60), 130, "interrupted", "the rest")
    wait_for(lambda: not left(tmp_path), 10)
    assert listing(tmp_path) == dict(zip(names, ["finished", "interrupted", "to do", "finished"], strict=True))
    assert (tmp_path / "starts").read_text().count("\n") == 2  # of two ranks, and of three
    before = {name: times(tmp_path / "out" / name) for name in (names[0], names[3])}
    (tmp_path / "hold").unlink()
    done = mpidec("sweep", "sweep.toml", "--out", "out", cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "starts").read_text().count("\n") == 3
    assert set(listing(tmp_path).values()) == {"finished"}
    assert {name: times(tmp_path / "out" / name) for name in before} == before
    for name in names:
        head, *said = (tmp_path / "out" / f"{name}.log").read_text().splitlines()
        assert head.startswith("$ mpidec run ") and name in head
        assert sum("│" in line for line in said) == 1


# -- what is refused before anything runs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sweep.toml", "--jobs", "0"], ["--jobs", "got 0"]),
        (["sweep.toml", "--index", "6"], ["--index", "got 6", "0 to 5"]),
        (["sweep.toml", "--index", "-1"], ["--index", "got -1"]),
        (["base.toml"], ["base.toml is an experiment file", 'experiment = "base.toml"', "mpidec run base.toml"]),
        (["none.toml"], ["no sweep file none.toml"]),
        (["sweep.toml", "--set", "ranks=0"], ["ranks", "got 0", "int >= 1"]),
        (["sweep.toml", "--out", "base.toml"], ["base.toml", "--out"]),
        (["sweep.toml", "--out", "run"], ["run is the folder of one run", "--out"]),
    ],
)
def test_bad_input(arguments, words, tmp_path):
    lay_sweep(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "experiment.toml").write_text("")
    before = times(tmp_path)
    done = mpidec("sweep", *arguments, cwd=tmp_path)
    assert_one_sentence(done, 2, *words)
    assert times(tmp_path) == before


def test_a_sweep_is_no_rank(tmp_path):
    done = mpidec("sweep", "sweep.toml", cwd=lay_sweep(tmp_path), OMPI_COMM_WORLD_SIZE="2", OMPI_COMM_WORLD_RANK="0")
    assert_one_sentence(done, 2, "OMPI_COMM_WORLD_SIZE", "without mpiexec")


def test_listing_changes_nothing(tmp_path):
    folder = lay_sweep(tmp_path)
    assert set(listing(folder).values()) == {"to do"}
    assert sorted(path.name for path in folder.iterdir()) == ["base.toml", "sweep.toml"]


def test_a_full_disk_is_told_in_a_sentence(tmp_path):
    disk = tmp_path / "out"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], check=False, capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        (disk / "full").write_bytes(b"0" * 16384)
        done = mpidec("sweep", "sweep.toml", "--out", "out", cwd=lay_sweep(tmp_path))
        assert_one_sentence(done, 4, "out", "No space left")
    finally:
        subprocess.run(["umount", disk], check=True)

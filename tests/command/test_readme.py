"""Every command and every piece of code in the README, run as it stands there."""

import os
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
import tomli_w
from commands import by_hand, dry_rows, finish, rows, small, start, write

from mpidec.checkpoint import Checkpoint
from mpidec.config import parse
from mpidec.study.file import read_study

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL)
# by CI itself: launch/quickstart, tests/run; mpidec claim and study by their own tests, submit in tests/cluster; launch/setup
# does what the pip lines say
ELSEWHERE = (
    *("launch/quickstart", "tests/run", "mpidec claim", "mpidec study", "mpidec submit"),
    *("python3 -m venv", ".venv/bin/pip", ".venv/bin/mpidec doctor"),
)
COMMANDS = [
    line.partition(" # ")[0].strip()
    for language, block in BLOCKS
    if not language
    for line in block.splitlines()
    if re.match(r"(mpidec|mpirun) ", line) and not line.startswith(ELSEWHERE)
]


def python_block(first_words):
    return next(block for language, block in BLOCKS if language == "python" and block.startswith(first_words))


@pytest.fixture
def checkout(tmp_path):
    """A folder laid out as the repository, its experiments made small: the commands stay as they are."""
    for file in (ROOT / "launch").glob("*/*.*"):
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    path = tmp_path / "launch" / "experiments" / "quickstart.toml"
    table = tomllib.loads(path.read_text())
    table["problem"] |= {"d": 24, "tasks": 24, "rank": 2, "samples": 12}
    for method in table["method"]:
        method["iterations"] = 10
    path.write_text(tomli_w.dumps(table))
    return tmp_path


def environment(folder):
    _, settings = by_hand(folder, 8)
    settings |= {"OMPI_MCA_mpi_yield_when_idle": "1", "PRTE_MCA_hwloc_default_binding_policy": "none"}
    return settings | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command, checkout):
    for earlier in COMMANDS:  # what it reads, an earlier line has made
        folder = earlier.partition(" --out ")[2]
        if folder and earlier != command and folder in shlex.split(command):
            assert finish(start(shlex.split(earlier), checkout, **environment(checkout))).returncode == 0
    done = finish(start(shlex.split(command), checkout, **environment(checkout)), 240)
    assert done.returncode == 0, done.stderr
    if "sweep" in command:
        table = rows(checkout / "runs" / "rounds" / "runs.csv")
        assert [r["method.0.rounds"] for r in table if r["method"] == "dif_altgdmin"] == ["1", "1", "10", "10"]
        assert {(r["status"], r["ending"], r["step"]) for r in table} == {("finished", "finished", "100")}
    elif "run" in command and "--dry-run" not in command:
        (folder,) = (checkout / "runs").iterdir()
        assert [r["step"] for r in rows(folder / "trace.csv") if r["method"] == "dif_altgdmin"] == ["0", "10"]
    if "--plot" in command:
        assert (checkout / "graph.png").stat().st_size > 10_000


def test_no_command_is_left_out():
    shown = [line for language, block in BLOCKS if not language for line in block.splitlines() if line.strip()]
    layout = [line for line in shown if line.startswith(("mpidec/", "launch/  "))]
    elsewhere = [line for line in shown if line.startswith(ELSEWHERE)]
    run = [line for line in shown if re.match(r"(mpidec|mpirun) ", line) and line not in elsewhere]
    assert len(COMMANDS) == len(run) >= 6
    assert sorted(layout + run + elsewhere) == sorted(shown)


def test_the_experiment_file(tmp_path):
    block = next(block for language, block in BLOCKS if language == "toml")
    (tmp_path / "readme.toml").write_text(block)
    done = finish(start([sys.executable, "-m", "mpidec", "run", "readme.toml", "--dry-run"], tmp_path))
    assert done.returncode == 0, done.stderr
    # 8 nodes; what a node sends in an iteration is rounds * degree * d * r * 8
    for _, messages, sent, _, _ in dry_rows(done.stdout, "dif_altgdmin"):
        assert sent == messages * 600 * 4 * 8


def test_the_sweep_file(tmp_path):
    experiment, checkpoint, sweep, _ = (block for language, block in BLOCKS if language == "toml")
    assert parse(tomllib.loads(experiment + checkpoint), tmp_path).checkpoint == Checkpoint(minutes=10, keep=2)
    (tmp_path / "quickstart.toml").write_text(experiment)
    (tmp_path / "readme.toml").write_text(sweep)
    done = finish(start([sys.executable, "-m", "mpidec", "sweep", "readme.toml", "--list"], tmp_path))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4 * 2 * 5
    assert "  rounds=5,topology=ring,ranks=8,seed=0" in done.stdout


def test_the_study_file(tmp_path):
    (tmp_path / "readme.toml").write_text(next(block for _, block in BLOCKS if "[tune]" in block))
    study = read_study(tmp_path / "readme.toml")
    assert ([point.name for point in study.points], study.methods) == (["ranks-4", "ranks-9"], ["dat_sgd", "d_sgd"])
    assert (study.file.tune.heats, study.file.law[0].error) == (3, "falls")


def test_the_script(tmp_path):
    (tmp_path / "my_run.py").write_text(python_block("# my_run.py"))
    command = ["mpirun", "-n", "3", sys.executable, "-m", "mpi4py", "my_run.py"]
    done = finish(start(command, tmp_path, **environment(tmp_path)))
    assert done.returncode == 0, done.stderr
    error, sent = re.search(r"error (\S+), node 0 sent (\d+) bytes", done.stdout).groups()
    assert float(error) < 1e-3
    assert int(sent) % 8 == 0


def test_an_algorithm_a_problem_and_a_topology_of_ones_own(tmp_path):
    for name in ("my_method.py", "my_problem.py", "my_topology.py"):
        (tmp_path / name).write_text(python_block(f"# {name}"))
    table = small(graph={"topology": "my_topology.py:Wheel", "every": 1}, ranks=5, observe={"every": 50})
    table["problem"] = {"kind": "my_problem.py:Sines"}
    table["method"] = [{"algorithm": "my_method.py:GradientGossip", "rounds": 20, "rounds_init": 30, "iterations": 300}]
    path = write(tmp_path, table)
    done = finish(start([sys.executable, "-m", "mpidec", "run", path, "--out", "out"], tmp_path))
    assert done.returncode == 0, done.stderr
    traced = rows(tmp_path / "out" / "trace.csv")
    assert {r["method"] for r in traced} == {"GradientGossip"}
    ledger = rows(tmp_path / "out" / "ledger.csv")
    hub = {r["neighbor"] for r in ledger if r["rank"] == "0" and r["account"] == "iterate"}
    assert hub == {"1", "2", "3", "4"}
    assert float(traced[-1]["subspace_distance"]) < 1e-3 * float(traced[0]["subspace_distance"])

"""mpidec run --next: runs of any settings by the same ranks are those made one by one, and leave nothing behind in them."""

import json
import shlex
from pathlib import Path

import pytest
import tomli_w
from commands import assert_one_sentence, mpidec, small, under_mpirun, write
from resuming import assert_same, lasting

SQUARES = {
    "name": "squares",
    "ranks": 3,
    "abreast": True,
    "graph": {"topology": "complete"},
    "problem": {"kind": "least_squares", "source": "decaying", "d": 7, "zeta": 10.0},
    "method": [
        {"algorithm": "dat_sgd", "step_size": 0.01, "iterations": 20},
        {"algorithm": "gradient_tracking", "step_size": 0.02, "iterations": 15},
        {"algorithm": "minibatch_sgd", "step_size": 0.02, "iterations": 20},
    ],
}
# an experiment and what --set changes, run by run
RUNS = [
    ("small.toml", []),
    ("squares.toml", []),
    ("squares.toml", ["problem.dtype=float32", "problem.zeta=1", "abreast=false"]),
    ("small.toml", ["graph.topology=path", "method.0.algorithm=altgdmin_fusion", "problem.d=12", "seed=4"]),
    ("small.toml", ["graph={topology='erdos_renyi', p=0.9}", "method.0.gossip=chebyshev"]),
    ("small.toml", ["method.0.algorithm=altgdmin_allreduce"]),
    ("squares.toml", ["problem.dtype=float32"]),
    ("small.toml", []),
]


def lay(folder: Path) -> None:
    write(folder, small())
    (folder / "squares.toml").write_text(tomli_w.dumps(SQUARES))


def words(run: tuple[str, list[str]], out: str) -> list[str]:
    file, settings = run
    return [file, *(f"--set={setting}" for setting in settings), f"--out={out}", "--no-picture"]


def further(lines: list[list[str]]) -> list[str]:
    return [*lines[0], *(f"--next={shlex.join(line)}" for line in lines[1:])]


@pytest.mark.parametrize("started", [mpidec, lambda *words, **more: under_mpirun(3, *words, **more)], ids=["plainly", "mpirun"])
def test_runs_of_any_settings_come_out_as_alone(started, tmp_path):
    lay(tmp_path)
    runs = RUNS if started is mpidec else RUNS[1:4]
    done = started("run", *further([words(run, f"together {i}") for i, run in enumerate(runs)]), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for i, run in enumerate(runs):
        command = shlex.split(json.loads((tmp_path / f"together {i}" / "run.json").read_text())["command"])
        assert command == ["mpidec", "run", *words(run, f"together {i}")]
        alone = [word.replace("together", "alone") for word in command[1:]]
        assert mpidec(*alone, cwd=tmp_path).returncode == 0
        assert_same(tmp_path / f"together {i}", lasting(tmp_path / f"alone {i}"))
        resolved = [(tmp_path / f"{name} {i}" / "experiment.toml").read_text() for name in ("together", "alone")]
        assert resolved[0] == resolved[1]


LOOKS = """
import os
from dataclasses import dataclass
from pathlib import Path
import mpidec

@dataclass(frozen=True, kw_only=True)
class Looks(mpidec.DifAltGDmin):
    '''Notes, as it begins, the handle that a new communicator gets, the open files, and the kilobytes in memory.'''
    def init(self, net, problem, x0):
        from mpi4py import MPI
        comm = MPI.COMM_WORLD.Dup()
        handle = comm.py2f()
        comm.Free()
        memory = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS'))
        with (Path(__file__).parent / f'seen.{net.rank}').open('a') as file:
            file.write(f"{handle} {len(os.listdir('/proc/self/fd'))} {memory}\\n")
        return super().init(net, problem, x0)
"""


def test_what_a_run_has_open_is_closed_before_the_next(tmp_path):
    (tmp_path / "mine.py").write_text(LOOKS)
    methods = [
        {"algorithm": "mine.py:Looks", "rounds": 1, "iterations": 2},
        {"algorithm": "altgdmin_fusion", "iterations": 2},
        {"algorithm": "altgdmin_allreduce", "iterations": 2},
    ]
    data = {"d": 300, "tasks": 300, "samples": 50}  # 12 MB a node
    file = write(tmp_path, small(method=methods, problem=data))
    lines = [[file, f"--set=abreast={'true' if i % 2 else 'false'}", f"--out={i}", "--no-picture"] for i in range(12)]
    done = mpidec("run", *further(lines), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for rank in range(3):
        seen = [[int(x) for x in line.split()] for line in (tmp_path / f"seen.{rank}").read_text().splitlines()]
        assert len(seen) == 12
        for same in (seen[4::2], seen[5::2]):  # the first runs load what all need
            handles, files, memory = zip(*same, strict=True)
            assert len(set(handles)) == len(set(files)) == 1, seen
            assert max(memory) - min(memory) < 12_000, seen


NOT_TO_BE_NEXT = {
    "no folder": ("small.toml --seed 2", ["--out is missing"]),
    "the folder of the first": ("small.toml --out=a", ["a is named twice"]),
    "a folder in that of the first": ("small.toml --out=a/b", ["a/b", "one in the other"]),
    "the folder around that of the first": ("small.toml --out=nest", ["nest and another run's folder are one in the other"]),
    "a folder that is there": ("small.toml --out=there", ["there exists"]),
    "another number of ranks": ("small.toml --out=b -n 4", ["b is for 4 ranks and the first for 3"]),
    "checkpoints": ("small.toml --out=b --set checkpoint.every=5", ["--next", "b, is made by itself", "[checkpoint]"]),
    "going on": ("small.toml --out=b --resume", ["--resume is no option of a further run"]),
    "a further one": ("small.toml --out=b --next 'small.toml --out=c'", ["--next is no option of a further run"]),
    "a dry run": ("small.toml --out=b --dry-run", ["--dry-run is no option"]),
    "a place": ("small.toml --out=b --place", ["--place is no option"]),
    "counts": ("small.toml --out=b --library-bytes", ["--library-bytes is no option"]),
    "a seed and a folder alone": ("2=b", ["--next '2=b'", "wanted EXPERIMENT.toml --out=DIR"]),
    "nothing": ("", ["EXPERIMENT.toml"]),
    "an open quotation": ("small.toml --out='b", ["No closing quotation", "wanted EXPERIMENT.toml --out=DIR"]),
    "an option that is not there": ("small.toml --out=b --sed=4", ["--sed=4"]),
    "a seed that is none": ("small.toml --out=b --seed=x", ["--seed", "'x'"]),
    "no file": ("none.toml --out=b", ["no experiment file none.toml"]),
    "a wrong setting": ("small.toml --out=b --set method.0.rounds=0", ["got 0, wanted int >= 1"]),
    "a graph that cannot be": ("small.toml --out=b --set graph.topology=hypercube", ["hypercube"]),
    "a problem that cannot be shared out": ("small.toml --out=b --set problem.tasks=2", ["2 tasks"]),
    "more than the memory": ("small.toml --out=b --set problem.d=1000000000000", ["GiB"]),
}


@pytest.mark.parametrize("case", NOT_TO_BE_NEXT)
def test_what_cannot_be_next_is_refused_before_any_rank_starts(case, tmp_path):
    lay(tmp_path)
    (tmp_path / "there").mkdir()
    before = sorted(tmp_path.rglob("*"))
    text, told = NOT_TO_BE_NEXT[case]
    first = "--out=nest/a" if "nest" in text else "--out=a"
    done = mpidec("run", "small.toml", first, f"--next={text}", cwd=tmp_path, MPIDEC_MPIEXEC="false")
    assert_one_sentence(done, 2, *told)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_first_of_several_has_a_folder_and_keeps_no_checkpoint(tmp_path):
    lay(tmp_path)
    more = ["--next", "small.toml --out=b"]
    assert_one_sentence(mpidec("run", "small.toml", *more, cwd=tmp_path), 2, "--next", "give --out")
    assert_one_sentence(mpidec("run", "small.toml", "--out=a", "--resume", *more, cwd=tmp_path), 2, "no --resume")
    keeping = ["--set", "checkpoint.every=5"]
    assert_one_sentence(mpidec("run", "small.toml", "--out=a", *keeping, *more, cwd=tmp_path), 2, "a, is made by itself")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.toml", "squares.toml"]


def test_under_mpirun_all_runs_are_looked_at_before_the_first(tmp_path):
    lay(tmp_path)
    done = under_mpirun(3, "run", "small.toml", "--out=a", "--next=small.toml --out=b -n 2", cwd=tmp_path)
    assert_one_sentence(done, 2, "b is for 2 ranks and the first for 3")
    assert not (tmp_path / "a").exists()


def test_a_dry_run_shows_all(tmp_path):
    lay(tmp_path)
    done = mpidec("run", "small.toml", "--out=a", "--dry-run", "--next=squares.toml --out=b", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("name = ")] == ['name = "small"', 'name = "squares"']
    assert not (tmp_path / "a").exists()

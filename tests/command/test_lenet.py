"""Runs on LeNet-5: real ranks against the same steps in one process, the bytes they send, and no run without PyTorch."""

import json
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from commands import assert_one_sentence, mpidec, rows, write
from images import write_images

from mpidec.problems import PROBLEMS

PARAMETERS = 61706
EXPERIMENTS = Path(__file__).resolve().parents[2] / "launch" / "experiments"


def experiment(folder, *methods):
    write_images(folder, (61, 20), (28, 28))
    return {
        "name": "lenet",
        "ranks": 3,
        "seed": 2,
        "graph": {"topology": "ring"},
        "problem": {"kind": "lenet", "source": "fashion", "path": str(folder), "batch": 5},
        "method": [{"iterations": 6, **method} for method in methods],
        "observe": {"every": 2, "metrics": ["objective", "test_accuracy", "test_accuracy_local"]},
    }


COUNTS = """
from dataclasses import dataclass
from pathlib import Path
import mpidec

@dataclass(frozen=True, kw_only=True)
class Counts(mpidec.DSGD):
    '''Notes, at rank 0 after its first step, which processes of this folder have PyTorch: the parent, and its forks.'''
    def step(self, net, problem, state, k):
        if net.rank == 0 and k == 1:
            here, found = Path(__file__).parent, {}
            for about in Path('/proc').glob('[0-9]*/stat'):
                try:
                    command = (about.parent / 'cmdline').read_bytes()
                    parent = int(about.read_text().rpartition(')')[2].split()[1])
                    if b'mpidec.problems.forked' in command and (about.parent / 'cwd').resolve() == here:
                        found[int(about.parent.name)] = parent
                except OSError:
                    continue  # it has ended
            parents = set(found.values()) & set(found)
            with (here / 'seen').open('a') as file:
                print(*parents, file=file)
                print(*(fork for fork, parent in found.items() if parent in parents), file=file)
        return super().step(net, problem, state, k)
"""


def test_ranks_do_as_one_process_and_send_each_number_as_four_bytes(tmp_path):
    pytest.importorskip("torch", reason="PyTorch, the extra mpidec[torch], is not installed")
    methods = [{"algorithm": "d_sgd", "step_size": 0.3}, {"algorithm": "dat_sgd_momentum", "step_size": 0.3}]
    done = mpidec("run", write(tmp_path, experiment(tmp_path, *methods)), "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trace = {(row["method"], row["step"]): row for row in rows(tmp_path / "out/trace.csv")}
    last = {name: trace[name, "6"] for name in ("d_sgd", "dat_sgd_momentum")}
    # two neighbors, six steps
    assert int(last["d_sgd"]["bytes_max"]) == 2 * 6 * 4 * PARAMETERS
    assert int(last["dat_sgd_momentum"]["bytes_max"]) == 2 * 6 * 4 * 2 * PARAMETERS
    assert json.loads((tmp_path / "out/run.json").read_text())["problem"]["samples_left_over"] == 1

    spec = PROBLEMS["lenet"]["fashion"](path=str(tmp_path), batch=5)
    public = spec.public(2, 3)
    shards = [spec.load(g, 3, 2, public) for g in range(3)]
    X = np.array([shards[0].start(2)] * 3, np.float64)
    for k in range(1, 7):  # all are neighbors, weights a third
        moved = [x - 0.3 * shard.grad(x.astype(np.float32), k) for x, shard in zip(X, shards, strict=True)]
        X = np.array([np.mean(moved, axis=0)] * 3)
    final = np.load(tmp_path / "out/final.npz")["d_sgd/x"]
    assert final.dtype == np.float32
    np.testing.assert_allclose(final, X, atol=1e-5)
    pooled = np.mean([shard.loss(X[0].astype(np.float32)) for shard in shards])
    assert float(last["d_sgd"]["objective"]) == pytest.approx(pooled, rel=1e-4)
    finals = np.load(tmp_path / "out/final.npz")["dat_sgd_momentum/x"]

    def accuracy(x):
        return sum(shard.scores(x)["test_accuracy"] for shard in shards)

    assert float(last["dat_sgd_momentum"]["test_accuracy"]) == pytest.approx(accuracy(finals.mean(axis=0)))
    assert float(last["dat_sgd_momentum"]["test_accuracy_local"]) == pytest.approx(np.mean([accuracy(x) for x in finals]))


def test_runs_by_the_same_ranks_share_one_process_with_pytorch_and_come_out_as_alone(tmp_path):
    pytest.importorskip("torch", reason="PyTorch, the extra mpidec[torch], is not installed")
    (tmp_path / "mine.py").write_text(COUNTS)
    path = write(tmp_path, experiment(tmp_path, {"algorithm": "mine.py:Counts", "step_size": 0.3}))
    runs = [[path, "--no-picture"], [path, "--set=problem.batch=3", "--no-picture"]]
    done = mpidec("run", *runs[0], "--out=a", f"--next={shlex.join([*runs[1], '--out=b'])}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # in each run: one parent, the same, and a fork for each of three ranks; perhaps those of the run before too
    seen = [set(map(int, line.split())) for line in (tmp_path / "seen").read_text().splitlines()]
    assert len(seen) == 4 and seen[0] == seen[2] and len(seen[0]) == 1
    assert all(3 <= len(forks) <= 6 for forks in seen[1::2])
    assert not any(Path(f"/proc/{process}").exists() for process in set.union(*seen))
    for run, folder in zip(runs, "ab", strict=True):
        assert mpidec("run", *run, "--out", f"alone {folder}", cwd=tmp_path).returncode == 0
        together, alone = (np.load(tmp_path / name / "final.npz") for name in (folder, f"alone {folder}"))
        assert together.files == alone.files and all(np.array_equal(together[name], alone[name]) for name in alone.files)


def test_the_short_form_of_the_study(tmp_path):
    """With images of its own in place of Fashion-MNIST's."""
    pytest.importorskip("torch", reason="PyTorch, the extra mpidec[torch], is not installed")
    study = tomllib.loads((EXPERIMENTS / "images_lenet.toml").read_text())
    write_images(tmp_path, (400, 60), (28, 28))
    study["experiment"]["problem"]["path"] = str(tmp_path)
    (tmp_path / "study.toml").write_text(tomli_w.dumps(study))
    done = mpidec("study", "study.toml", "--quick", "--out", "out", cwd=tmp_path, seconds=300)
    assert done.returncode == 0, done.stderr
    table = rows(tmp_path / "out/results.csv")
    assert len(table) == 5
    for row in table:
        words = 1 if row["method"] in ("d_sgd", "d2") else 2
        assert float(row["bytes_max"]) == 20 * words * 4 * PARAMETERS
        assert 0 < float(row["test_accuracy"]) <= 1


def test_without_pytorch_one_sentence_names_the_extra(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError\n")
    path = write(tmp_path, experiment(tmp_path, {"algorithm": "d_sgd", "step_size": 0.1}))
    done = mpidec("run", path, "--out", "out", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert_one_sentence(done, 2, "install the extra mpidec[torch]")
    assert not (tmp_path / "out").exists()

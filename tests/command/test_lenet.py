"""Runs on LeNet-5: real ranks against the same steps in one process, the bytes they send, and no run without PyTorch."""

import json
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

"""Runs on LeNet-5: real ranks against the same steps in one process, the bytes they send, and no run without PyTorch."""

import json

import numpy as np
import pytest
from commands import assert_one_sentence, mpidec, rows, write
from images import write_images

from mpidec.problems import PROBLEMS

PARAMETERS = 61706


def experiment(folder, *methods):
    write_images(folder, (61, 20), (28, 28))
    return {
        "name": "lenet",
        "ranks": 3,
        "seed": 2,
        "graph": {"topology": "ring"},
        "problem": {"kind": "lenet", "source": "fashion", "path": str(folder), "batch": 5},
        "method": [{"iterations": 6, **method} for method in methods],
        "observe": {"every": 2},
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


def test_without_pytorch_one_sentence_names_the_extra(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError\n")
    path = write(tmp_path, experiment(tmp_path, {"algorithm": "d_sgd", "step_size": 0.1}))
    done = mpidec("run", path, "--out", "out", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert_one_sentence(done, 2, "install the extra mpidec[torch]")
    assert not (tmp_path / "out").exists()

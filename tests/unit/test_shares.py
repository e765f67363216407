"""What a node's data take is known before they are there."""

import numpy as np
import pytest

from mpidec.problems import PROBLEMS

SYNTHETIC = PROBLEMS["multitask_regression"]["synthetic"]
FILES = PROBLEMS["multitask_regression"]["files"]


def largest(spec, nodes):
    public = spec.public(0, nodes)
    return max(spec.load(node, nodes, 0, public).nbytes for node in range(nodes))


@pytest.mark.parametrize("nodes", [1, 3, 7])
@pytest.mark.parametrize("imbalance", [1.0, 5.0])
def test_the_largest_share_of_tasks_is_told_to_the_byte(nodes, imbalance, tmp_path):
    spec = SYNTHETIC(d=12, tasks=23, rank=2, samples=5, imbalance=imbalance)
    assert spec.share_nbytes(nodes) == largest(spec, nodes)
    rng = np.random.default_rng(0)
    np.save(tmp_path / "X.npy", rng.standard_normal((23, 5, 12)))
    np.save(tmp_path / "y.npy", rng.standard_normal((23, 5)))
    spec = FILES(path=str(tmp_path), rank=2, imbalance=imbalance)
    assert (
        spec.share_nbytes(nodes)
        == largest(spec, nodes)
        == 8 * 13 * 5 * max(len(spec.own_tasks(23, nodes, node)) for node in range(nodes))
    )


@pytest.mark.parametrize("nodes", [1, 4, 7])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_largest_share_of_samples_is_told_to_the_byte(nodes, dtype, tmp_path):
    rng = np.random.default_rng(0)
    for name, count in (("X", 50), ("X_test", 11)):
        np.save(tmp_path / f"{name}.npy", rng.standard_normal((count, 6)))
        np.save(tmp_path / f"{name.replace('X', 'y')}.npy", np.arange(count) % 3)
    spec = PROBLEMS["logistic"]["files"](path=str(tmp_path), batch=2, dtype=dtype, find_minimum=False)
    assert spec.share_nbytes(nodes) == largest(spec, nodes)


@pytest.mark.parametrize("variant", ["gaussian", "decaying"])
def test_the_matrices_of_least_squares_are_told_with_room_for_work(variant):
    spec = PROBLEMS["least_squares"][variant](d=9)
    assert largest(spec, 3) <= spec.share_nbytes(3) <= 4 * largest(spec, 3)

"""LeNet-5: its loss, gradients and predictions against the network written out in NumPy and float64."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from images import write_images

from mpidec.errors import InputError
from mpidec.problems import PROBLEMS, Smooth
from mpidec.problems.classification import Own

torch = pytest.importorskip("torch", reason="PyTorch, the extra mpidec[torch], is not installed")
from mpidec.problems.lenet import LeNet, threads  # noqa: E402
from mpidec.problems.lenet_network import GRADIENT, PARAMETERS, SCORES, SIZES, begin, board, board_nbytes  # noqa: E402


def shard_of(count=7, batch=3, node=0, **options):
    rng = np.random.default_rng(node)
    X = rng.integers(0, 256, (count, 784)).astype(np.uint8)
    return LeNet(X, Own(np.arange(count) % 10, batch, seed=1, node=node), **options)


def correlate(images, kernels, bias):
    """(m, maps, h, w) by (out, maps, 5, 5)."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (5, 5), axis=(2, 3))
    return np.einsum("mihwab,oiab->mohw", windows, kernels) + bias[:, None, None]


def pool(images):
    m, maps, h, w = images.shape
    return images.reshape(m, maps, h // 2, 2, w // 2, 2).max(axis=(3, 5))


def scores(x, X):
    """The network, layer by layer."""
    parts = [p.reshape(s) for p, s in zip(np.split(x.astype(np.float64), np.cumsum(SIZES)[:-1]), PARAMETERS, strict=True)]
    h = np.pad(X.reshape(-1, 1, 28, 28) / 255, ((0, 0), (0, 0), (2, 2), (2, 2)))
    for layer in (0, 2):
        h = pool(np.maximum(correlate(h, *parts[layer : layer + 2]), 0))
    h = h.reshape(len(X), -1)
    for layer in (4, 6):
        h = np.maximum(h @ parts[layer].T + parts[layer + 1], 0)
    return h @ parts[8].T + parts[9]


def loss(x, X, y):
    z = scores(x, X)
    return float(np.mean([np.log(np.exp(row).sum()) - row[c] for row, c in zip(z, y, strict=True)]))


def test_missing_files_are_told_without_a_source_that_is_not_lenets(tmp_path):
    with pytest.raises(InputError, match="train-images-idx3-ubyte") as told:
        PROBLEMS["lenet"]["fashion"](path=str(tmp_path)).check(1)
    assert "digits" not in str(told.value)


def test_it_has_the_parameters_of_lenet_5():
    shard = shard_of()
    assert isinstance(shard, Smooth)
    assert shard.shape == (61706,) == (sum(SIZES),)
    x = shard.start(5)
    assert (x.dtype, x.shape) == (np.float32, shard.shape)
    assert np.array_equal(x, shard_of(node=3).start(5)) and not np.array_equal(x, shard.start(6))
    for part, inputs in zip(np.split(x, np.cumsum(SIZES)[:-1]), (25, 25, 150, 150, 400, 400, 120, 120, 84, 84), strict=True):
        assert np.abs(part).max() <= inputs**-0.5
        assert len(part) < 400 or np.std(part) == pytest.approx((3 * inputs) ** -0.5, rel=0.1)


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_losses_and_predictions_are_those_of_the_network(l2):
    shard = shard_of(l2=l2)
    x = 3 * shard.start(2)
    assert shard.loss(x) == pytest.approx(loss(x, shard.X, shard.y) + l2 / 2 * np.sum(x.astype(float) ** 2), rel=1e-5)
    assert np.array_equal(shard.predict(x, shard.X), scores(x, shard.X).argmax(axis=1))


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_gradients_are_those_of_the_loss_over_the_batch(l2):
    shard = shard_of(l2=l2)
    x = shard.start(2)
    got = shard.grad(x, 4)
    assert (got.dtype, got.shape) == (np.float32, shard.shape)
    rows = shard.batch(4)
    assert len(set(rows.tolist())) == 3
    f = lambda z: loss(z, shard.X[rows], shard.y[rows]) + l2 / 2 * np.sum(z**2)  # noqa: E731
    # along directions in each layer alone: a kink of a rectifier or a maximum within the step is unlikely
    rng = np.random.default_rng(0)
    for first, size in zip(np.cumsum([0, *SIZES[:-1]]), SIZES, strict=True):
        way = np.zeros(len(x))
        way[first : first + size] = rng.standard_normal(size) / np.sqrt(size)
        exact = (f(x + 1e-6 * way) - f(x - 1e-6 * way)) / 2e-6
        assert got @ way == pytest.approx(exact, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(("variable", "expected"), [(None, 1), ("2,1", 2), ("all", 1)])
def test_a_rank_has_one_thread_unless_more_are_asked_for(variable, expected, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert threads() == expected
    before = torch.get_num_threads()
    try:
        begin(mmap.mmap(-1, board_nbytes(1)), threads())
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


def test_pytorch_computes_where_the_vector_lies_and_leaves_it_as_it_is():
    seen = board(memory := mmap.mmap(-1, board_nbytes(3)))
    assert [(part.shape, part.dtype) for part in seen] == [
        ((61706,), np.float32),
        ((61706,), np.float32),
        ((3, 10), np.float32),
        ((3,), np.int64),
        ((3, 784), np.uint8),
    ]
    whole = np.frombuffer(memory, np.uint8)
    assert sum(part.nbytes for part in seen) == len(whole) and all(np.shares_memory(part, whole) for part in seen)
    shard = shard_of()
    x = shard.start(0)
    before = x.copy()
    seen.x[:], seen.classes[:], seen.images[:] = x, shard.y[:3], shard.X[:3]
    work = begin(memory, 1)
    work(SCORES, 3)
    np.testing.assert_allclose(seen.scores, scores(x, shard.X[:3]), atol=1e-5)
    work(GRADIENT, 2)
    assert np.array_equal(seen.x, before) and seen.gradient.any()
    got = shard.grad(x, 1)
    assert np.array_equal(x, before)
    assert not np.shares_memory(got, shard.grad(x, 2)) and not np.array_equal(got, shard.grad(x, 2))
    assert np.array_equal(got, shard.grad(x, 1))


def test_a_batch_may_be_larger_than_what_is_looked_at_together():
    shard = shard_of(count=230, batch=130)
    x = shard.start(2)
    rows = shard.batch(1)
    z = scores(x, shard.X[rows])
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    p[np.arange(130), shard.y[rows]] -= 1
    assert shard.grad(x, 1)[-10:] == pytest.approx(p.mean(axis=0), rel=1e-4)  # of the last biases
    assert shard.loss(x) == pytest.approx(loss(x, shard.X, shard.y), rel=1e-5)


def test_what_is_not_finite_gives_the_like():
    shard = shard_of()
    x = np.full(shard.shape, np.nan, np.float32)
    assert np.isnan(shard.grad(x, 1)).any()
    assert not np.isfinite(shard.loss(x))


_MEMORY = """
import os
from pathlib import Path
from test_lenet import shard_of
def bytes_of(process, kind):
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(kind))
def children(process):
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()
shards = [shard_of(count=230, batch=32, node=node) for node in range(3)]
for shard in shards:
    x = shard.start(0)
    for k in range(5):
        x -= shard.grad(x, k)
    shard.loss(x)
(parent,) = children(os.getpid())
print(bytes_of(parent, "Anonymous:"), *(bytes_of(fork, "Private_Dirty:") for fork in children(parent)))
"""


def test_memory_counts_what_pytorch_takes_once_a_host_and_once_a_rank():
    assert (PROBLEMS["logistic"]["fashion"].host_nbytes, PROBLEMS["logistic"]["fashion"].rank_nbytes) == (0, 0)
    lenet, here = PROBLEMS["lenet"]["fashion"], Path(__file__).parent
    paths = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parent}"}
    done = subprocess.run([sys.executable, "-c", _MEMORY], capture_output=True, text=True, check=True, env=paths)
    loaded, *forks = map(int, done.stdout.split())
    assert len(forks) == 3
    # Pages of the library's file are all processes' and may be dropped; `loaded` is what each would hold without sharing. What
    # a fork writes, and so has of its own, depends on the kernels that PyTorch has for the CPU: 8 to 18 MB.
    assert loaded < lenet.host_nbytes < 3 * loaded
    assert max(forks) < lenet.rank_nbytes < loaded / 3


@pytest.mark.parametrize("nodes", [1, 3])
def test_nodes_get_their_images_as_bytes_and_their_part_of_the_accuracy(nodes, tmp_path):
    write_images(tmp_path, (31, 20), (28, 28))
    spec = PROBLEMS["lenet"]["fashion"](path=str(tmp_path), batch=2)
    spec.check(nodes)
    public = spec.public(0, nodes)
    shards = [spec.load(g, nodes, 0, public) for g in range(nodes)]
    data = spec.data()
    for g, shard in enumerate(shards):
        assert np.array_equal(shard.X, data.X[public.parts[g]]) and shard.X.dtype == np.uint8
        assert np.array_equal(shard.y, data.y[public.parts[g]])
        assert shard.notes == {"samples_a_node": 31 // nodes, "samples_left_over": 31 % nodes}
    assert spec.share_nbytes(nodes) == max(shard.nbytes for shard in shards)
    x = 5 * shards[0].start(1)
    right = np.mean(scores(x, np.array(data.X_test)).argmax(axis=1) == data.y_test)
    assert sum(shard.scores(x)["test_accuracy"] for shard in shards) == pytest.approx(right)
    assert np.isnan([shard.scores(np.nan * x)["test_accuracy"] for shard in shards]).all()


def test_images_of_another_size_are_refused(tmp_path):
    write_images(tmp_path, (30, 20), (8, 8))
    with pytest.raises(InputError, match="images of 64 pixels; LeNet-5 takes 28 x 28"):
        PROBLEMS["lenet"]["fashion"](path=str(tmp_path)).check(1)


def test_without_pytorch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"PyTorch, which is not installed: install the extra mpidec\[torch\]"):
        PROBLEMS["lenet"]["fashion"]().check(1)

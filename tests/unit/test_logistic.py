"""Logistic regression: gradients, batches, optimum and held-out accuracy against independent forms; files that are wrong."""

import dataclasses
import gzip
import os
import resource
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from images import NAMES, idx, write_images

from mpidec.errors import InputError
from mpidec.problems import PROBLEMS, Smooth, labeled
from mpidec.problems.cache import checksum, keep
from mpidec.problems.libsvm import read_libsvm
from mpidec.seeding import generator

SOURCES = PROBLEMS["logistic"]


@pytest.fixture
def folder(tmp_path):
    """Three classes that a line almost tells apart, 61 samples of 4 features and 12 held out."""
    rng = np.random.default_rng(0)
    for name, count in (("", 61), ("_test", 12)):
        y = np.arange(count) % 3
        X = rng.standard_normal((count, 4)) + 1.5 * np.eye(4)[y]
        np.save(tmp_path / f"X{name}.npy", X)
        np.save(tmp_path / f"y{name}.npy", y + 5)
    return tmp_path


def shards_of(folder, nodes, seed=1, **options):
    spec = SOURCES["files"](**({"path": str(folder), "batch": 6, "l2": 0.01} | options))
    spec.check(nodes)
    public = spec.public(seed, nodes)
    return [spec.load(g, nodes, seed, public) for g in range(nodes)], public


def features(shard, scale=1.0):
    """a_s, a row a sample."""
    return np.column_stack([shard.X.astype(float) * scale, np.ones(len(shard.X))])


def dense_loss(A, y, W, l2):
    """By the definition, sample by sample."""
    scores = A @ W
    return float(np.mean([np.log(np.sum(np.exp(s))) - s[c] for s, c in zip(scores, y, strict=True)])) + l2 / 2 * np.sum(W**2)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_are_those_of_the_loss_over_the_batch(folder, dtype):
    (shard, *_), _ = shards_of(folder, 4, dtype=dtype)
    assert isinstance(shard, Smooth) and shard.X.shape == (15, 4) and shard.X.dtype == dtype
    A, x = features(shard), np.linspace(-1, 1, 15)
    assert shard.loss(x) == pytest.approx(dense_loss(A, shard.y, x.reshape(5, 3), 0.01), rel=1e-12)
    for k in (1, 2):
        rows = shard.batch(k)
        assert len(set(rows.tolist())) == 6
        f = lambda z, rows=rows: dense_loss(A[rows], shard.y[rows], z.reshape(5, 3), 0.01)  # noqa: E731
        exact = [(f(x + 1e-5 * e) - f(x - 1e-5 * e)) / 2e-5 for e in np.eye(15)]
        got = shard.grad(x.astype(dtype), k)
        assert got.dtype == dtype
        np.testing.assert_allclose(got, exact, rtol=0, atol=1e-8 if dtype == "float64" else 1e-6)


def test_a_batch_of_all_samples_gives_the_whole_gradient(folder):
    (shard, other, *_), _ = shards_of(folder, 4, batch=15)
    x = np.linspace(-1, 1, 15)
    exact = [(shard.loss(x + 1e-5 * e) - shard.loss(x - 1e-5 * e)) / 2e-5 for e in np.eye(15)]
    np.testing.assert_allclose(shard.grad(x, 3), exact, atol=1e-8)
    assert sorted(shard.batch(3).tolist()) == list(range(15))


def test_batches_are_functions_of_seed_node_and_step_and_take_all_samples_alike(folder):
    (shard, other, *_), _ = shards_of(folder, 4)
    again = shards_of(folder, 4)[0][0]
    assert np.array_equal(shard.batch(9), again.batch(9))
    assert not np.array_equal(np.sort(shard.batch(9)), np.sort(other.batch(9)))
    counts = np.bincount(np.concatenate([shard.batch(k) for k in range(3000)]), minlength=15)
    np.testing.assert_allclose(counts / 3000, 6 / 15, atol=5 * np.sqrt(0.4 * 0.6 / 3000))


@pytest.mark.parametrize("batch", [1, 6, 64, 1500])
def test_batches_and_gradients_of_steps_in_any_order_are_those_of_a_shard_that_has_drawn_none(batch, tmp_path):
    rng = np.random.default_rng(4)
    np.save(tmp_path / "X.npy", rng.standard_normal((3000, 2)))
    np.save(tmp_path / "y.npy", np.arange(3000) % 3)
    (shard, _), _ = shards_of(tmp_path, 2, batch=batch, find_minimum=False)
    x = rng.standard_normal(9)
    for k in [0, 1, 1, 0, 17, 15, 16, 31, 2**40, 5, *range(28, 34)]:
        drawn = generator(1, "batch", 0).bit_generator.seed_seq
        bits = np.random.Philox(drawn)
        bits.advance(k << 128)
        rows = np.random.Generator(bits).choice(1500, batch, replace=False, shuffle=False)
        assert np.array_equal(shard.batch(k), rows)
        P = np.exp(features(shard)[rows] @ x.reshape(3, 3))
        P = P / P.sum(axis=1, keepdims=True) - np.eye(3)[shard.y[rows]]
        expected = features(shard)[rows].T @ P / batch + 0.01 * x.reshape(3, 3)
        np.testing.assert_allclose(shard.grad(x, k), expected.ravel(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("batch", [333, 334, 1201])  # 3000 products a sample: in one, two, four parts
def test_gradients_of_batches_multiplied_in_parts_are_the_dense_ones(batch, dtype, tmp_path):
    rng = np.random.default_rng(8)
    np.save(tmp_path / "X.npy", rng.standard_normal((1300, 300)))
    np.save(tmp_path / "y.npy", np.arange(1300) % 10)
    (shard,), _ = shards_of(tmp_path, 1, batch=batch, dtype=dtype, find_minimum=False)
    W = rng.standard_normal((301, 10)) / 10
    A, rows = features(shard), shard.batch(3)
    P = np.exp(A[rows] @ W)
    P = P / P.sum(axis=1, keepdims=True) - np.eye(10)[shard.y[rows]]
    got = shard.grad(W.ravel().astype(dtype), 3)
    assert got.dtype == dtype
    exact = A[rows].T @ P / batch + 0.01 * W
    np.testing.assert_allclose(got, exact.ravel(), rtol=0, atol=1e-13 if dtype == "float64" else 1e-6)


@pytest.mark.parametrize("partition", ["uniform", "dirichlet", "shards"])
def test_the_minimum_is_that_of_the_pooled_loss_by_newtons_method(folder, partition):
    shards, public = shards_of(folder, 4, partition=partition)
    A, y = np.concatenate([features(s) for s in shards]), np.concatenate([s.y for s in shards])
    x = np.zeros(15)
    for _ in range(30):  # Newton with the whole Hessian
        P = np.exp(A @ x.reshape(5, 3))
        P /= P.sum(axis=1, keepdims=True)
        g = (A.T @ (P - np.eye(3)[y]) / len(A)).ravel() + 0.01 * x
        H = 0.01 * np.eye(15) + np.mean(
            [np.kron(np.outer(a, a), np.diag(p) - np.outer(p, p)) for a, p in zip(A, P, strict=True)], axis=0
        )
        x = x - np.linalg.solve(H, g)
    best = np.mean([s.loss(x) for s in shards])
    assert best - 1e-12 <= public.optimum.value <= best + 1e-6
    assert public.optimum.value - best <= public.optimum.bound + 1e-12
    np.testing.assert_allclose(public.optimum.x, x, atol=0.02)
    assert (shards[0].minimum, shards[0].notes["samples_left_over"], shards[0].notes["samples_a_node"]) == (
        public.optimum.value,
        1,
        15,
    )


def test_the_optimum_is_kept_and_belongs_to_data_and_l2(folder, monkeypatch):
    first = shards_of(folder, 4)[1].optimum
    kept = sorted(path.name for path in (folder / "mpidec-cache").iterdir())
    monkeypatch.setattr("mpidec.problems.optimum._search", lambda *_: pytest.fail("searched again"))
    assert shards_of(folder, 4, seed=2, partition="shards")[1].optimum.value == first.value
    assert sorted(path.name for path in (folder / "mpidec-cache").iterdir()) == kept
    monkeypatch.undo()
    assert shards_of(folder, 4, l2=0.02)[1].optimum.value > first.value
    X = np.load(folder / "X.npy")
    np.save(folder / "X.npy", 2 * X)
    assert shards_of(folder, 4)[1].optimum.value < first.value
    for path in (folder / "mpidec-cache").glob("*.facts.npy"):
        path.write_bytes(path.read_bytes()[:-3])  # what was cut off is made again
    assert shards_of(folder, 4)[1].optimum.value < first.value


def test_without_the_minimum_there_is_none(folder):
    (shard, *_), public = shards_of(folder, 4, find_minimum=False)
    assert public.optimum is None and shard.minimum is None and shard.optimum is None


@pytest.mark.parametrize("nodes", [1, 5, 20])
def test_accuracies_of_the_nodes_add_up_to_that_of_all_held_out_samples(folder, nodes):
    shards, _ = shards_of(folder, nodes, batch=1)
    X, y = np.load(folder / "X_test.npy"), np.load(folder / "y_test.npy") - 5
    W = np.random.default_rng(1).standard_normal((5, 3))
    expected = np.mean([np.argmax(row @ W[:4] + W[4]) == c for row, c in zip(X, y, strict=True)])
    assert sum(s.scores(W.ravel())["test_accuracy"] for s in shards) == pytest.approx(expected)
    assert np.isnan([s.scores(np.full(15, np.inf))["test_accuracy"] for s in shards]).all()


def test_libsvm_text_is_the_same_data(folder, tmp_path):
    for name, suffix in (("", ""), ("_test", ".t")):
        X, y = np.load(folder / f"X{name}.npy"), np.load(folder / f"y{name}.npy")
        lines = [
            f"{c} " + " ".join(f"{j + 1}:{v!r}" for j, v in enumerate(row.tolist()) if v) for row, c in zip(X, y, strict=True)
        ]
        (tmp_path / f"data.txt{suffix}").write_text("# a comment\n" + "\n".join(lines) + "\n\n")
    plain, text = shards_of(folder, 4)[0][2], shards_of(tmp_path / "data.txt", 4)[0][2]
    np.testing.assert_allclose(text.X, plain.X, rtol=1e-6)
    assert np.array_equal(text.y, plain.y)
    x = np.linspace(-1, 1, 15)
    assert text.scores(x) == plain.scores(x)


def test_digits_are_those_of_scikit_learn_and_can_be_learned(tmp_path, monkeypatch):
    import sklearn.datasets
    from sklearn.datasets import load_digits

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    spec = SOURCES["digits"](l2=1e-3)
    public = spec.public(0, 7)
    shards = [spec.load(g, 7, 0, public) for g in range(7)]
    assert public.key == f"digits-{checksum([Path(sklearn.datasets.__file__).parent / 'data' / 'digits.csv.gz'])}"
    X, y = load_digits(return_X_y=True)
    assert [s.X.shape for s in shards] == [(214, 64)] * 7 and shards[0].notes["samples_left_over"] == 2
    for g, shard in enumerate(shards):
        assert np.array_equal(shard.X, X[public.parts[g]]) and shard.X.dtype == np.uint8
        assert np.array_equal(shard.y, y[public.parts[g]])
    assert 0.88 < sum(s.scores(public.optimum.x)["test_accuracy"] for s in shards) < 1
    assert np.mean([s.loss(public.optimum.x) for s in shards]) == pytest.approx(public.optimum.value, abs=1e-12)


def test_digits_want_scikit_learn(tmp_path, monkeypatch):
    monkeypatch.setattr(labeled, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"scikit-learn, which is not installed: install the extra mpidec\[digits\]"):
        SOURCES["digits"]().check(1)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"scikit-learn, which is not installed: install the extra mpidec\[digits\]"):
        SOURCES["digits"]().data("digits-1")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_pixels_stay_bytes_and_count_as_sixteenths(dtype, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    spec = SOURCES["digits"](batch=9, l2=0.1, dtype=dtype, find_minimum=False)
    shard = spec.load(2, 7, 0, spec.public(0, 7))
    A, x = features(shard, 1 / 16), np.linspace(-0.1, 0.1, 650)
    assert shard.loss(x) == pytest.approx(dense_loss(A, shard.y, x.reshape(65, 10), 0.1), rel=1e-12)
    for k in (1, 2):  # in the same memory
        rows = shard.batch(k)
        P = np.exp(A[rows] @ x.reshape(65, 10))
        pulls = P / P.sum(axis=1, keepdims=True) - np.eye(10)[shard.y[rows]]
        exact = sum(np.outer(a, pull) for a, pull in zip(A[rows], pulls, strict=True)) / 9 + 0.1 * x.reshape(65, 10)
        got = shard.grad(x.astype(dtype), k)
        assert got.dtype == dtype
        np.testing.assert_allclose(got, exact.ravel(), rtol=0, atol=1e-14 if dtype == "float64" else 1e-6)


WRONG_LINES = {
    "no label": ("1 1:2\n2:3 3:4\n", "line 2: no label before '2:3'"),
    "a label that is no number": ("1 1:2\nx 1:3\n", "line 2: label 'x', wanted a number"),
    "CSV": ("1,2,3\n", "line 1: label '1,2,3', wanted a number; is it CSV"),
    "no value": ("1 1:2 3\n", "line 1: '3', wanted index:value"),
    "NaN": ("0 1:1\n1 1:nan\n", "line 2: '1:nan', wanted index:value with a finite value"),
    "beyond float32": ("0 1:1\n1 1:-1e39\n", "line 2: '1:-1e39', wanted index:value with a finite value, at most 3.4e38"),
    "a label that is NaN": ("0 1:1\nnan 1:1\n", "line 2: label nan; wanted whole numbers"),
    "no text": ("0 1:1\n" * 3000 + "1 1:\xff\n", "line 3001: byte 5 is not ASCII text"),
    "a huge index": (
        "0 1:1\n1 1000000000000:1\n",
        "line 2: index 1000000000000 makes 2 samples of 1000000000000 features, 7,450.6 GiB with 2 values in them; number",
    ),
    "an index that would fit into memory": (
        "0 1:1\n1 200000000:1\n",
        "line 2: index 200000000 makes 2 samples of 200000000 features, 1.5 GiB with 2 values in them; number the features",
    ),
    "an index beyond NumPy": ("0 1:1\n1 99999999999999999999:1\n", "line 2: index 99999999999999999999 makes 2 samples"),
    "index 0": ("1 0:2\n", "line 1: index 0 after 0, wanted ascending ones from 1"),
    "Python's underscores": ("1 1:2\n2 1_0:3\n", "line 2: '1_0:3', wanted index:value"),
    "such values": ("1 1:2\n2 1:3_0\n", "line 2: '1:3_0', wanted index:value"),
    "such labels": ("1 1:2\n1_0 1:3\n", "line 2: label '1_0', wanted a number"),
    "descending": ("\n1 2:2 1:3\n", "line 2: index 1 after 2"),
    "empty": ("# nothing\n", "holds no sample"),
    "one class": ("1 1:2\n1 1:3\n", "all labels are 1; wanted at least two classes"),
    "fractions": ("1 1:2\n1.5 1:3\n", "line 2: label 1.5; wanted whole numbers"),
}


@pytest.mark.parametrize("case", WRONG_LINES)
def test_wrong_text_is_told_by_its_line(case, tmp_path):
    text, words = WRONG_LINES[case]
    (tmp_path / "data.txt").write_text(text, encoding="latin-1")
    with pytest.raises(InputError) as told:
        SOURCES["files"](path=str(tmp_path / "data.txt")).check(1)
    assert words in str(told.value)


def test_held_out_text_must_fit_the_training_text(tmp_path):
    (tmp_path / "d").write_text("1 1:2\n2 2:3\n")
    (tmp_path / "d.t").write_text("1 3:2\n")
    with pytest.raises(InputError, match="line 1: index 3, but the training file has 2 features"):
        SOURCES["files"](path=str(tmp_path / "d"), batch=1).check(1)
    (tmp_path / "d.t").write_text("# held out\n1 1:2\n\n7 1:1\n")
    with pytest.raises(InputError, match=r"d\.t: label 7 on line 4 is out of range: .* 1 to 2, of 2 classes"):
        SOURCES["files"](path=str(tmp_path / "d"), batch=1).check(1)
    X, y, lines = read_libsvm(tmp_path / "d")
    assert np.array_equal(X, [[2, 0], [0, 3]]) and np.array_equal(y, [1, 2]) and np.array_equal(lines, [1, 2])


@pytest.mark.parametrize("largest", [1e13, 1e160])
def test_features_so_large_that_l2_is_lost_among_them_are_told(largest, folder):
    X = np.load(folder / "X.npy") * largest
    np.save(folder / "X.npy", np.column_stack([X, X[:, 0]]))  # a column twice: nothing but l2 tells the two apart
    (folder / "X_test.npy").unlink()
    (folder / "y_test.npy").unlink()
    spec = SOURCES["files"](path=str(folder), batch=1)
    with pytest.raises(InputError, match=r"min f for l2 = 0.0001 cannot be found: features of up to .* find_minimum = false"):
        spec.public(0, 2)
    assert dataclasses.replace(spec, find_minimum=False).public(0, 2).optimum is None


def test_features_too_many_to_find_the_minimum_are_told_before(tmp_path, monkeypatch):
    (tmp_path / "d").write_text("1 1:2\n2 60000:3\n")
    spec = SOURCES["files"](path=str(tmp_path / "d"), batch=1)
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 2**21, "SC_PAGE_SIZE": 2**12}.__getitem__)  # 8 GiB
    with pytest.raises(InputError, match="to find min f with 60,000 features takes 107 GiB, and this machine has 8 GiB; give"):
        spec.check(1)
    dataclasses.replace(spec, find_minimum=False).check(1)


@pytest.mark.parametrize("length", [200, 20_000])
def test_what_cannot_be_kept_whole_leaves_nothing_behind(length, tmp_path):
    """A limit on the size of files, as a disk that is full: met when the file is written, or only when it is closed."""
    made = {"a": np.arange(3), "b": np.arange(length)}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        assert keep(tmp_path, "key", ("a", "b"), lambda: made) is made
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [path.name for path in tmp_path.iterdir()] == ["key.a.npy"]
    assert np.array_equal(keep(tmp_path, "key", ("a", "b"), lambda: made)["b"], made["b"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.a.npy", "key.b.npy"]


def test_text_that_takes_more_than_half_of_the_memory_is_told(tmp_path, monkeypatch):
    (tmp_path / "d").write_text("1 1:2 2:1\n2 1:3 2:4\n")
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 31, "SC_PAGE_SIZE": 1}.__getitem__)
    with pytest.raises(InputError, match="d: 2 samples of 2 features, .* 4 values in them, more than half of the 0 GiB"):
        read_libsvm(tmp_path / "d")
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 32, "SC_PAGE_SIZE": 1}.__getitem__)
    assert read_libsvm(tmp_path / "d").X.nbytes == 16


def test_wrong_arrays_are_told(folder):
    spec = SOURCES["files"](path=str(folder), batch=1)
    X, y = np.load(folder / "X.npy"), np.load(folder / "y.npy")
    cases = [
        ("y.npy", y[:-1], "60 labels for the 61 samples of X.npy"),
        ("y.npy", np.where(np.arange(61) == 7, 0.5, y), "label 0.5 of sample 7, counted from 0"),
        (
            "X.npy",
            np.where(np.arange(61)[:, None] == 9, np.nan, X),
            "sample 9, counted from 0, holds a value that is not finite",
        ),
        ("X.npy", X[:, :3], "4 features, but X.npy has 3"),
        ("X.npy", X[None], "wanted 2 dimensions"),
    ]
    for name, array, words in cases:
        before = (folder / name).read_bytes()
        np.save(folder / name, array)
        with pytest.raises(InputError) as told:
            spec.check(1)
        assert words in str(told.value)
        (folder / name).write_bytes(before[:-9])
        with pytest.raises(InputError, match="truncated"):
            spec.check(1)
        (folder / name).write_bytes(before)
    (folder / "X_test.npy").rename(folder / "X_other.npy")
    with pytest.raises(InputError, match=r"y_test\.npy: there is no X_test\.npy beside it"):
        spec.check(1)
    np.save(folder / "X.npy", np.where(np.arange(61)[:, None] == 9, 1e300, X))
    (folder / "y_test.npy").unlink()
    large = dataclasses.replace(spec, dtype="float32", find_minimum=False)
    public = large.public(0, 2)
    owner = int(9 in public.parts[1])
    assert large.load(1 - owner, 2, 0, public).X.dtype == np.float32
    with pytest.raises(InputError, match='a feature is too large for dtype = "float32"'):
        large.load(owner, 2, 0, public)
    (folder / "y.npy").unlink()
    with pytest.raises(InputError, match=r"y\.npy: cannot be read"):
        spec.check(1)


def test_shares_that_are_too_small_are_refused(folder):
    spec = SOURCES["files"](path=str(folder), batch=8)
    spec.check(7)
    with pytest.raises(InputError, match="batch = 8 is more than the 7 samples of a node"):
        spec.check(8)
    with pytest.raises(InputError, match="61 samples leave none for some of 62 nodes; use at most 61 ranks"):
        spec.check(62)
    with pytest.raises(InputError, match="shards = 9 is more than the 8 samples"):
        dataclasses.replace(spec, partition="shards", shards=9).check(7)


def test_fashion_files_are_checked_and_what_is_missing_names_the_digits(tmp_path):
    spec = SOURCES["fashion"](path=str(tmp_path), batch=2, find_minimum=False)
    with pytest.raises(InputError, match=r'train-images-idx3-ubyte.* source = "digits"'):
        spec.check(2)
    write_images(tmp_path, (30, 20), (3, 2))
    spec.check(4)
    shard = spec.load(1, 4, 0, public := spec.public(0, 4))
    assert shard.X.shape == (7, 6) and shard.notes["samples_left_over"] == 2 and public.parts.shape == (4, 7)
    whole = gzip.decompress((tmp_path / f"{NAMES[0]}.gz").read_bytes())
    images = np.frombuffer(whole[16:], np.uint8).reshape(30, 6)
    assert np.array_equal(shard.X, images[public.parts[1]]) and shard.X.dtype == np.uint8
    (tmp_path / f"{NAMES[1]}.gz").write_bytes(gzip.compress(idx(np.where(np.arange(30) < 5, 3, 12))))
    with pytest.raises(InputError, match="label 12 of image 5, counted from 0, at byte 13 of the uncompressed file; wanted 0"):
        spec.check(4)

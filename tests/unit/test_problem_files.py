"""Tasks from .npy files: what is read, what is mapped, and what is refused with which words."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mpidec.errors import InputError
from mpidec.problems import files
from mpidec.problems.files import Files

TASKS, SAMPLES, D, RANK = 7, 5, 6, 2


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((TASKS, SAMPLES, D)), rng.standard_normal((TASKS, SAMPLES))
    return {"X": X, "y": y, "U_true": rng.standard_normal((D, RANK))}


@pytest.fixture
def save(tmp_path):
    def saved(arrays, rank=RANK, **options):
        for name, array in arrays.items():
            np.save(tmp_path / f"{name}.npy", array)
        return Files(path=str(tmp_path), rank=rank, **options)

    return saved


def refused(spec, pattern, nodes=2):
    """Refused from the headers alone, before any data are read."""
    with pytest.raises(InputError, match=pattern):
        spec.check(nodes)


def is_mapped(array):
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return array is not None


def test_each_node_gets_its_own_tasks(arrays, save):
    spec = save(arrays)
    shares = [spec.load(node, 3, 0, None) for node in range(3)]
    assert [s.tasks for s in shares] == [3, 2, 2]
    assert all(s.total_tasks == TASKS for s in shares)
    assert np.array_equal(np.concatenate([s.X for s in shares]), arrays["X"])
    assert np.array_equal(np.concatenate([s.y for s in shares]), arrays["y"])
    assert not shares[0].isotropic
    assert save(arrays, isotropic=True).load(0, 3, 0, None).isotropic


def test_float64_in_c_order_stays_where_it_lies(arrays, save):
    share = save(arrays).load(1, 3, 0, None)
    assert is_mapped(share.X)
    assert is_mapped(share.y)
    assert not share.X.flags.writeable
    G, _ = share.grad(share.start(0))
    assert np.isfinite(G).all()


@pytest.mark.parametrize(
    "convert",
    [
        lambda X: X.astype(np.float32),
        lambda X: X.astype(">f8"),
        np.asfortranarray,
        lambda X: np.round(10 * X).astype(np.int16),
        lambda X: X > 0,
    ],
    ids=["float32", "big-endian", "Fortran order", "int16", "bool"],
)
def test_other_real_arrays_are_converted_for_own_tasks_only(arrays, save, convert):
    X, y = convert(arrays["X"]), convert(arrays["y"])
    share = save({"X": X, "y": y}).load(1, 3, 0, None)
    assert not is_mapped(share.X)
    assert share.X.dtype == np.float64
    assert share.X.shape == (2, SAMPLES, D)
    assert np.array_equal(share.X, X[3:5].astype(np.float64))
    assert np.array_equal(share.y, y[3:5].astype(np.float64))


def test_the_truth_is_orthonormalized_and_spans_the_same(arrays, save):
    U = arrays["U_true"]
    truth = save(arrays).load(0, 1, 0, None).truth
    assert np.abs(truth.T @ truth - np.eye(RANK)).max() < 1e-14
    assert np.abs(truth @ (truth.T @ U) - U).max() < 1e-14


def test_without_a_truth_file_there_is_none(arrays, save):
    del arrays["U_true"]
    spec = save(arrays)
    assert spec.load(0, 1, 0, None).truth is None
    assert spec.rehearsal().truth is None


def test_the_rehearsal_has_the_shapes_and_reads_no_data(arrays, save):
    arrays["X"][:] = np.nan
    stand_in = save(arrays).rehearsal()
    assert (stand_in.shape, stand_in.samples, stand_in.tasks) == ((D, RANK), SAMPLES, 1)
    assert stand_in.truth.shape == (D, RANK)
    assert np.isfinite(stand_in.X).all()


@pytest.mark.parametrize("look", [1, 1 << 20], ids=["task by task", "at once"])
@pytest.mark.parametrize(
    ("name", "place", "value", "pattern"),
    [
        ("X", (4, 3, 1), np.nan, r"X\.npy: task 4 holds nan at \(3, 1\)"),
        ("X", (6, 0, 0), -np.inf, r"X\.npy: task 6 holds -inf at \(0, 0\)"),
        ("y", (5, 2), np.inf, r"y\.npy: task 5 holds inf at \(2,\)"),
    ],
)
def test_numbers_that_are_not_finite_name_file_and_task(monkeypatch, arrays, save, look, name, place, value, pattern):
    monkeypatch.setattr(files, "_LOOK_BYTES", look)
    arrays[name][place] = value
    spec = save(arrays)
    spec.check(3)  # the headers are sound
    spec.load(0, 3, 0, None)  # and so are the tasks of the first node
    with pytest.raises(InputError, match=pattern):
        spec.load(1 if place[0] < 5 else 2, 3, 0, None)


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({"X": lambda a: a[0]}, r"X\.npy: shape \(5, 6\), wanted 3 dimensions \(tasks, samples, features\)"),
        ({"y": lambda a: a[..., None]}, r"y\.npy: shape \(7, 5, 1\), wanted 2 dimensions"),
        ({"y": lambda a: a[:6]}, r"y\.npy: shape \(6, 5\) does not match X\.npy of shape \(7, 5, 6\); wanted \(7, 5\)"),
        ({"X": lambda a: a[:, :0]}, r"X\.npy: shape \(7, 0, 6\), .* none of them 0"),
        ({"X": lambda a: a.astype(complex)}, r"X\.npy: type complex128, wanted real numbers"),
        ({"y": lambda a: a.astype(str)}, r"y\.npy: type <U\d+, wanted real numbers"),
        ({"y": lambda a: a.astype("M8[s]")}, r"y\.npy: type datetime64\[s\], wanted real numbers"),
        ({"U_true": lambda a: a[:, :1]}, r"U_true\.npy: shape \(6, 1\), wanted \(features, rank\) = \(6, 2\)"),
    ],
)
def test_wrong_shapes_and_types_are_refused_from_the_header(arrays, save, change, pattern):
    refused(save({name: change.get(name, lambda a: a)(array) for name, array in arrays.items()}), pattern)


def test_objects_are_never_unpickled(tmp_path, arrays, save):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    spec = save(arrays | {"y": np.array([[Trap()]], dtype=object)})
    refused(spec, r"y\.npy: type object, wanted real numbers")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("rank", "nodes", "pattern"),
    [
        (7, 2, r"rank 7 is above 6, the smaller of 6 features and 7 tasks"),
        (6, 2, r"5 samples a task cannot determine rank = 6 coefficients"),
        (2, 8, r"7 tasks cannot be split over 8 nodes; use at most 7 ranks"),
    ],
)
def test_sizes_that_cannot_be_learned_are_refused(arrays, save, rank, nodes, pattern):
    del arrays["U_true"]
    refused(save(arrays, rank=rank), pattern, nodes)


@pytest.mark.parametrize("missing", ["X", "y"])
def test_a_missing_file_is_named(arrays, save, missing):
    del arrays[missing]
    refused(save(arrays), rf"{missing}\.npy: cannot be read: No such file or directory; `path` names the folder")


def test_a_truncated_file_says_by_how_much(tmp_path, arrays, save):
    spec = save(arrays)
    path = tmp_path / "X.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    refused(spec, rf"X\.npy: truncated: {len(whole) - 8} bytes, its header promises {len(whole)}")


@pytest.mark.parametrize("kept", [0, 3, 8, 60])
def test_a_file_cut_within_its_header_is_refused(tmp_path, arrays, save, kept):
    spec = save(arrays)
    path = tmp_path / "y.npy"
    path.write_bytes(path.read_bytes()[:kept])
    refused(spec, r"y\.npy: not a \.npy file, or its header is damaged")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_damage_of_a_header_ends_in_anything_but_an_input_error(tmp_path, arrays, save):
    spec = save(arrays)
    path = tmp_path / "X.npy"
    whole = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    refusals = 0
    for _ in range(200):
        damaged = whole.copy()
        damaged[rng.integers(0, 100)] = rng.integers(32, 127)
        path.write_bytes(damaged)
        try:
            spec.check(1)
        except InputError as error:
            refusals += 1
            assert re.search(r"[Xy]\.npy", str(error))
    assert refusals > 100


def test_a_csv_file_in_npy_clothing_is_refused(tmp_path, arrays, save):
    spec = save(arrays)
    (tmp_path / "y.npy").write_text("1.0,2.0\n3.0,4.0\n")
    refused(spec, r"y\.npy: not a \.npy file")


@pytest.mark.parametrize(
    ("spoil", "pattern"),
    [
        (lambda U: np.repeat(U[:, :1], 2, axis=1), r"U_true\.npy: its 2 columns span fewer than 2 dimensions"),
        (np.zeros_like, r"U_true\.npy: its 2 columns span fewer than 2 dimensions"),
        (lambda U: np.where(U > 1, np.nan, U), r"U_true\.npy: holds NaN or Inf"),
    ],
)
def test_a_truth_that_is_no_basis_is_refused(arrays, save, spoil, pattern):
    spec = save(arrays | {"U_true": spoil(np.sign(arrays["U_true"]) * 2)})
    with pytest.raises(InputError, match=pattern):
        spec.load(0, 1, 0, None)

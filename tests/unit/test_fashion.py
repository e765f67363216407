"""Tasks from image files: small made-up files for the rules, the real ones (where installed) for the figures."""

from __future__ import annotations

import gzip
import zlib
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from mpidec.errors import InputError
from mpidec.problems import fashion
from mpidec.problems.fashion import PAIRS, FashionPairs, FeatureMap, Judge

PUBLIC, TRAIN, TEST, SIDE = 300, 1300, 97, 4
REAL = Path(FashionPairs(tasks=1).path)
real_data = pytest.mark.skipif(not (REAL / "train-images-idx3-ubyte.gz").exists(), reason=f"no Fashion-MNIST files in {REAL}")


def idx_bytes(array, dimensions=None):
    sizes = array.shape if dimensions is None else dimensions
    return np.array([0x0800 + len(sizes), *sizes], ">u4").tobytes() + array.astype(np.uint8).tobytes()


def write(path, data, packed):
    if packed:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(data, 1))
    else:
        path.write_bytes(data)


@pytest.fixture
def images():
    """Every image's first four bytes tell its number and part; the rest vary with its class."""
    rng = np.random.default_rng(0)
    made = {}
    for mark, (part, count) in enumerate((("train", TRAIN), ("t10k", TEST))):
        labels = rng.integers(0, 10, count).astype(np.uint8)
        pixels = (rng.integers(0, 40, (count, SIDE * SIDE)) + 12 * labels[:, None] * rng.integers(0, 2, SIDE * SIDE)) % 256
        pixels[:, 0], pixels[:, 1], pixels[:, 2] = np.arange(count) // 256, np.arange(count) % 256, mark
        made[part] = pixels.reshape(count, SIDE, SIDE).astype(np.uint8), labels
    return made


@pytest.fixture(params=[False, True], ids=["plain", "gz"])
def packed(request):
    return request.param


@pytest.fixture
def folder(tmp_path, monkeypatch, images, packed):
    monkeypatch.setattr(fashion, "PUBLIC_IMAGES", PUBLIC)
    for part, (pixels, labels) in images.items():
        write(tmp_path / f"{part}-images-idx3-ubyte", idx_bytes(pixels), packed)
        write(tmp_path / f"{part}-labels-idx1-ubyte", idx_bytes(labels), packed)
    return tmp_path


def spec_of(folder, **options):
    return FashionPairs(**{"path": str(folder), "tasks": 60, "samples": 7, "rank": 3, "components": 5, **options})


def numbers_of(share):
    """Which training image each row of raw features is: (tasks, n)."""
    return (share.X[:, :, 0] * 256 + share.X[:, :, 1]).astype(int)


@pytest.fixture
def raw(folder):
    """All tasks on pixels as they are, so that rows can be traced to images."""
    return spec_of(folder, features="pixels").load(0, 1, 0, FeatureMap(np.zeros(SIDE * SIDE), np.array(1.0)))


def test_each_task_holds_images_of_its_two_classes(raw, images):
    labels = images["train"][1]
    for t, numbers in enumerate(numbers_of(raw)):
        first, second = PAIRS[t % 45]
        assert labels[numbers].tolist() == [first] * 4 + [second] * 3  # the odd one goes to the first class
        assert raw.y[t].tolist() == [1.0] * 4 + [-1.0] * 3
        assert np.array_equal(raw.X[t], images["train"][0].reshape(TRAIN, -1)[numbers])


def test_no_image_is_in_two_tasks_and_none_is_public_or_held_out(raw):
    numbers = numbers_of(raw)
    assert len(np.unique(numbers)) == numbers.size == 60 * 7
    assert numbers.min() >= PUBLIC
    assert (raw.X[:, :, 2] == 0).all()


def test_pairs_are_all_pairs(raw):
    assert sorted(PAIRS) == sorted(set(combinations(range(10), 2)))


def test_a_task_is_the_same_on_any_number_of_ranks_and_for_more_tasks(folder):
    spec = spec_of(folder)
    public = spec.public(0, 1)
    whole = spec.load(0, 1, 3, public)
    for nodes in (2, 7, 60):
        shares = [spec.load(node, nodes, 3, public) for node in range(nodes)]
        # a product with the features' matrix may round otherwise for other batches of rows
        assert np.allclose(np.concatenate([s.X for s in shares]), whole.X, rtol=0, atol=1e-12)
        assert np.array_equal(np.concatenate([s.y for s in shares]), whole.y)
    more = spec_of(folder, tasks=70).load(0, 1, 3, public)
    assert np.allclose(more.X[:60], whole.X, rtol=0, atol=1e-12)
    assert not np.allclose(spec.load(0, 1, 4, public).X, whole.X)


def test_whitened_features_of_the_public_part_have_identity_covariance(folder, images):
    public = spec_of(folder).public(0, 1)
    Z = public.features(images["train"][0][:PUBLIC].reshape(PUBLIC, -1))
    assert np.abs(Z.mean(axis=0)).max() < 1e-12
    assert np.abs(Z.T @ Z / PUBLIC - np.eye(5)).max() < 1e-10


def test_whitened_features_are_the_leading_principal_components(folder, images):
    exact = images["train"][0][:PUBLIC].reshape(PUBLIC, -1).astype(float)
    left, _, _ = np.linalg.svd(exact - exact.mean(axis=0), full_matrices=False)
    Z = spec_of(folder).public(0, 1).features(images["train"][0][:PUBLIC].reshape(PUBLIC, -1))
    cosines = np.abs(np.sum(Z * left[:, :5], axis=0)) / np.sqrt(PUBLIC)
    assert np.abs(cosines - 1).max() < 1e-10


def test_pixel_features_have_mean_zero_and_mean_square_one(folder, images):
    public = spec_of(folder, features="pixels").public(0, 1)
    Z = public.features(images["train"][0][:PUBLIC].reshape(PUBLIC, -1))
    assert np.abs(Z.mean(axis=0)).max() < 1e-12
    assert np.mean(Z**2) == pytest.approx(1.0, rel=1e-12)
    assert len(np.unique(np.round(Z.std(axis=0), 9))) > 1  # one scale for all pixels: they keep their contrast


def test_the_public_part_does_not_depend_on_images_of_tasks(folder, images, packed):
    before = spec_of(folder).public(0, 1)
    pixels, _ = images["train"]
    pixels[PUBLIC:] = 255 - pixels[PUBLIC:]
    write(folder / "train-images-idx3-ubyte", idx_bytes(pixels), packed)
    after = spec_of(folder).public(1, 1)
    assert np.array_equal(before.mean, after.mean)
    assert np.array_equal(before.matrix, after.matrix)


@pytest.mark.parametrize("features", ["whitened", "pixels"])
def test_accuracy_equals_a_count_image_by_image(folder, images, features):
    spec = spec_of(folder, features=features)
    public = spec.public(0, 1)
    shares = [spec.load(node, 7, 0, public) for node in range(7)]
    u = np.linalg.qr(shares[0].start(0))[0]
    pixels, labels = images["t10k"]
    wanted = 0.0
    for share in shares:
        _, B = share.grad(u)
        first = sum(s.tasks for s in shares[: shares.index(share)])
        for i, b in enumerate(B):
            pair = PAIRS[(first + i) % 45]
            held = [k for k in range(TEST) if labels[k] in pair]
            right = 0
            for k in held:
                score = public.features(pixels[k].reshape(1, -1))[0] @ u @ b
                right += (score > 0) == (labels[k] == pair[0])
            wanted += right / len(held)
    got = sum(s.scores(u)["accuracy"] for s in shares)
    assert got == pytest.approx(wanted, abs=1e-12)
    assert 0.5 < got / 60 < 1.0
    assert all(s.score_names == ("accuracy",) for s in shares)


@pytest.mark.parametrize("together", [4, 100])
def test_the_rival_is_ridge_with_the_penalty_that_judges_best(monkeypatch, folder, together):
    monkeypatch.setattr(fashion, "_TOGETHER", together)
    spec = spec_of(folder, tasks=9)
    share = spec.load(0, 1, 0, spec.public(0, 1))
    best = np.zeros(9)
    for penalty in Judge.penalties:
        theta = []
        for X, y in zip(share.X, share.y, strict=True):
            scale = np.linalg.norm(X) ** 2 / min(X.shape)
            theta.append(np.linalg.solve(X.T @ X + penalty * scale * np.eye(5), X.T @ y))
        best = np.maximum(best, share.held_out._accuracy(np.array(theta), np.array(PAIRS[:9])))
    assert next(iter(share.references().values())) == pytest.approx(best.sum(), abs=1e-9)


def test_scores_of_what_is_not_finite_count_nothing_as_right(folder):
    spec = spec_of(folder)
    share = spec.load(0, 1, 0, spec.public(0, 1))
    assert share.scores(np.full((5, 3), np.nan)) == {"accuracy": 0.0}


def test_a_node_holds_its_tasks_and_the_test_images_of_their_classes(folder, images):
    spec = spec_of(folder)
    share = spec.load(0, 60, 0, spec.public(0, 1))  # one task: classes 0 and 1
    held = np.count_nonzero(images["t10k"][1] <= 1)
    assert share.nbytes == 8 * (7 * 5 + 7) + held * SIDE * SIDE
    assert not share.isotropic
    assert share.truth is None


def test_its_size_is_told_beforehand_with_all_test_images(folder):
    spec = spec_of(folder)
    largest = max(spec.load(node, 3, 0, spec.public(0, 3)).nbytes for node in range(3))
    assert largest <= spec.share_nbytes(3) <= largest + TEST * SIDE * SIDE


def test_the_rehearsal_has_the_shapes_of_the_real_thing(folder):
    for features, d in (("whitened", 5), ("pixels", SIDE * SIDE)):
        stand_in = spec_of(folder, features=features).rehearsal()
        assert (stand_in.shape, stand_in.samples, stand_in.tasks) == ((d, 3), 7, 1)
        assert stand_in.score_names == ("accuracy",)
        assert stand_in.curvature(stand_in.start(0)) > 0


# what is refused


def refused(folder, pattern, nodes=3, **options):
    with pytest.raises(InputError, match=pattern):
        spec_of(folder, **options).check(nodes)


def test_sound_files_are_accepted_up_to_what_they_supply(folder, images):
    labels = images["train"][1][PUBLIC:]
    supply = np.bincount(labels, minlength=10)
    spec_of(folder).check(60)
    used, possible = np.zeros(10, int), 0
    while True:
        used[list(PAIRS[possible % 45])] += (4, 3)
        if (used > supply).any():
            break
        possible += 1
    spec_of(folder, tasks=possible).check(3)
    refused(folder, rf"the files supply {possible} such tasks: give fewer", tasks=possible + 1)


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        ({"tasks": 2, "rank": 2}, r"2 tasks cannot be split over 3 nodes"),
        ({"rank": 6, "samples": 8}, r"rank 6 is above 5, the smaller of 5 features and 60 tasks"),
        ({"rank": 4, "samples": 3}, r"3 samples a task cannot determine rank = 4"),
        ({"components": 17}, r"17 components of images with 16 pixels"),
    ],
)
def test_options_that_do_not_fit_are_refused(folder, options, pattern):
    refused(folder, pattern, **options)


def test_components_beyond_what_varies_are_refused(folder, images, packed):
    pixels, _ = images["train"]
    pixels[:, 2:] = 9  # what is left: two rows of four pixels, one of them constant
    write(folder / "train-images-idx3-ubyte", idx_bytes(pixels), packed)
    with pytest.raises(InputError, match=r"vary in 7 directions only; give components = 7"):
        spec_of(folder, components=9).public(0, 1)


def test_a_missing_file_is_named(tmp_path):
    refused(tmp_path, r"train-images-idx3-ubyte\(\.gz\): cannot be read: No such file.*dataset-fashion-mnist")


def test_a_file_of_another_kind_says_its_magic_number(folder, images, packed):
    write(folder / "train-images-idx3-ubyte", idx_bytes(images["train"][1]), packed)
    refused(folder, r"train-images.*: magic number 2049, wanted 2051")


def test_a_header_cut_short_is_refused(folder, packed):
    write(folder / "t10k-labels-idx1-ubyte", b"\0\0\x08", packed)
    refused(folder, r"t10k-labels.*: 3 bytes, wanted an IDX header")


def test_an_empty_set_is_refused(folder, packed):
    write(folder / "t10k-labels-idx1-ubyte", idx_bytes(np.empty(0)), packed)
    refused(folder, r"t10k-labels.*: is empty: its header says 0")


@pytest.mark.parametrize("part", ["train", "t10k"])
def test_truncated_images_say_how_many_bytes_there_are(folder, images, packed, part):
    name = f"{part}-images-idx3-ubyte"
    whole = idx_bytes(images[part][0])
    wanted = rf"wanted the {len(whole)} that its header promises \({len(images[part][0])} x 4 x 4\)"
    write(folder / name, whole[:-100], packed)
    refused(folder, rf"{name}.*: {len(whole) - 100} bytes, {wanted}")
    if packed:  # the packed stream itself cut off
        path = folder / f"{name}.gz"
        cut = gzip.compress(whole, compresslevel=0)[:-500]  # stored: a byte for a byte, after a header and before a trailer
        path.write_bytes(cut)
        there = len(zlib.decompressobj(31).decompress(cut))
        assert 0 < len(whole) - there < 500
        refused(folder, rf"{name}\.gz: truncated or damaged after {there} bytes of the {len(whole)} that")


def test_a_header_that_promises_more_than_the_file_can_hold_is_refused_before_room_is_made(folder, images, packed):
    whole = bytearray(idx_bytes(images["train"][0]))
    whole[8:16] = np.array([2**20, 2**20], ">u4").tobytes()  # pixels
    write(folder / "train-images-idx3-ubyte", bytes(whole), packed)
    refused(folder, r"train-images.*: \d+ bytes, wanted the \d{15,} that its header promises \(\d+ x 1048576 x 1048576\)")


def test_images_that_go_on_too_long_are_refused(folder, images, packed):
    write(folder / "train-images-idx3-ubyte", idx_bytes(images["train"][0]) + b"more", packed)
    refused(folder, r"train-images.*(longer than|bytes, wanted) the \d+ that its header promises")


@pytest.mark.parametrize("packed", [True], indirect=True, ids=["gz"])
def test_truncation_that_its_length_hides_is_found_while_reading(folder):
    spec = spec_of(folder)
    public = spec.public(0, 1)
    path = folder / "train-images-idx3-ubyte.gz"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + data[-4:])
    with pytest.raises(InputError, match=r"train-images.*: truncated or damaged after \d+ bytes"):
        spec.load(0, 1, 0, public)


@pytest.mark.parametrize("packed", [True], indirect=True, ids=["gz"])
def test_a_wrong_checksum_at_the_end_is_found_before_anything_is_drawn(folder, images):
    path = folder / "train-images-idx3-ubyte.gz"
    damaged = bytearray(gzip.compress(idx_bytes(images["train"][0]), compresslevel=0))  # stored: every byte is plain
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    refused(folder, r"train-images.*: truncated or damaged after \d+ bytes .*CRC")


@pytest.mark.parametrize("packed", [True], indirect=True, ids=["gz"])
def test_two_packed_files_in_a_row_are_one(folder, images):
    whole = idx_bytes(images["train"][0])
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(whole[:999]) + gzip.compress(whole[999:]))
    spec_of(folder).check(3)


def test_labels_that_do_not_match_are_refused(folder, images, packed):
    pixels, labels = images["train"]
    write(folder / "train-labels-idx1-ubyte", idx_bytes(labels[:-1]), packed)
    refused(folder, rf"train-labels.*: {TRAIN - 1} labels for the {TRAIN} images")
    write(folder / "train-labels-idx1-ubyte", idx_bytes(np.where(labels == 9, 10, labels)), packed)
    first = int(np.argmax(labels == 9))
    refused(folder, rf"train-labels.*: label 10 of image {first}, counted from 0, at byte {8 + first} of the .*wanted 0 to 9")
    late = labels.copy()
    late[PUBLIC:][late[PUBLIC:] == 4] = 5
    write(folder / "train-labels-idx1-ubyte", idx_bytes(late), packed)
    refused(folder, rf"train-labels.*: no image of class 4 after the first {PUBLIC}, which are public")


def test_test_images_of_another_size_are_refused(folder, images, packed):
    write(folder / "t10k-images-idx3-ubyte", idx_bytes(images["t10k"][0][:, :3]), packed)
    refused(folder, r"t10k-images.*: images of \(3, 4\), but the training images are of \(4, 4\)")


# the real files


@pytest.fixture(scope="module")
def real():
    """One task a pair, all on one node."""
    spec = FashionPairs(tasks=45)
    spec.check(8)
    return spec.load(0, 1, 0, spec.public(0, 1))


@real_data
def test_real_features_are_white_on_other_images_too(real):
    """Identity covariance on the public 10,000 carries over to the tasks' images, which had no part in it."""
    Z = real.X.reshape(-1, 100)
    assert Z.shape == (45 * 30, 100)
    assert np.mean(Z**2) == pytest.approx(1.0, rel=0.1)


@real_data
def test_on_real_images_sharing_beats_ridge_alone(real):
    """Centralized, 45 tasks: the spectral start is a few gradient steps above every task alone at its best penalty."""
    theta0 = real.truncated_moment(9 / (30 * 45) * real.second_moment())
    u = np.linalg.svd(theta0, full_matrices=False)[0][:, :5]
    step = 1 / real.curvature(u)
    for _ in range(20):
        u = np.linalg.qr(u - step * real.grad(u)[0])[0]
    shared, alone = real.scores(u)["accuracy"] / 45, real.references()["alone_accuracy_on_whitened_features"] / 45
    assert 0.86 < alone < 0.90
    assert shared > alone + 0.02


@real_data
def test_the_real_files_supply_the_tasks_they_can():
    FashionPairs(tasks=1600).check(8)
    with pytest.raises(InputError, match=r"the files supply 1\d\d\d such tasks"):
        FashionPairs(tasks=1700).check(8)

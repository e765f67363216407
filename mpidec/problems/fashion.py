"""Fashion-MNIST as many small regression tasks: which of two classes is it?

The images are those of Xiao, Rasul and Vollgraf (arXiv 1708.07747), from the IDX files, which are never held whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError
from mpidec.options import Meta
from mpidec.problems.base import Array, check_sizes
from mpidec.problems.fashion_files import CLASSES, FOLDER, Bytes, labels_of, open_part
from mpidec.problems.idx import Idx
from mpidec.problems.multitask import MultitaskRegression
from mpidec.problems.partition import Partitioned
from mpidec.seeding import generator

PAIRS = tuple(combinations(range(CLASSES), 2))
PUBLIC_IMAGES = 10_000
"""The first images of the training file: known to all nodes, used for the features, never for a task."""

# Tasks whose rivals are judged together: as many weight images as penalties for each.
_TOGETHER = 8


class FeatureMap(NamedTuple):
    """Features (image - mean) @ matrix of an image (pixels,); a matrix of shape () is a common factor."""

    mean: Array
    matrix: Array

    @property
    def name(self) -> str:
        """What the features are."""
        return "whitened_features" if self.matrix.ndim else "pixels"

    def features(self, images: Bytes) -> Array:
        """(m, d) of images (m, pixels)."""
        centered = images - self.mean
        return centered @ self.matrix if self.matrix.ndim else centered * self.matrix

    def on_pixels(self, theta: Array) -> tuple[Array, Array]:
        """Weights (pixels, tasks) and offsets (tasks,): features @ theta.T = images @ weights + offsets."""
        weights = self.matrix @ theta.T if self.matrix.ndim else self.matrix * theta.T
        return weights, -self.mean @ weights


class Judge:
    """Held-out accuracy of own tasks on all test images of their two classes."""

    names: tuple[str, ...] = ("accuracy",)
    # In units of the mean square singular value: from hardly any to one that leaves the direction of X_t^T y_t alone.
    penalties: ClassVar[Array] = 10.0 ** np.arange(-5.0, 4.5, 0.5)

    def __init__(
        self, pairs: Sequence[tuple[int, int]], images: dict[int, Bytes], features: FeatureMap, X: Array, y: Array
    ) -> None:
        # Images stay bytes: a linear score of features is a linear score of pixels, and a class is stored once.
        self._pairs, self._images, self._features = np.array(pairs), images, features
        self._X, self._y = X, y
        self.nbytes = sum(part.nbytes for part in images.values())

    def scores(self, theta: Array) -> dict[str, float]:
        """{"accuracy": sum over own tasks} of sign(x^T theta_t); a zero counts as wrong."""
        return {"accuracy": float(self._accuracy(theta, self._pairs).sum())}

    def references(self) -> dict[str, float]:
        """{"alone_accuracy_on_…": …}: ridge on each task alone, each with the penalty best on the held-out images.

        Choosing the penalty on the very images that judge it favors the rival. The name tells the features, since they
        decide how strong the rival is: 0.88 on whitened components, 0.95 on pixels.
        """
        total = 0.0
        for first in range(0, len(self._X), _TOGETHER):
            some = slice(first, first + _TOGETHER)
            left, values, right = np.linalg.svd(self._X[some], full_matrices=False)
            along = np.matmul(self._y[some, None], left)[:, 0]
            scale = np.maximum(np.mean(values**2, axis=1, keepdims=True), np.finfo(float).tiny)
            shrunk = along * values / (values**2 + self.penalties[:, None, None] * scale)
            theta = np.matmul(shrunk[:, :, None], right)[:, :, 0]
            pairs = np.tile(self._pairs[some], (len(self.penalties), 1))
            accuracy = self._accuracy(theta.reshape(len(pairs), -1), pairs).reshape(len(self.penalties), -1)
            total += float(accuracy.max(axis=0).sum())
        return {f"alone_accuracy_on_{self._features.name}": total}

    def _accuracy(self, theta: Array, pairs: NDArray[np.int64]) -> Array:
        """Share of held-out images on the right side, (k,), for solutions theta (k, d) of tasks about `pairs` (k, 2)."""
        with np.errstate(all="ignore"):
            weights, offsets = self._features.on_pixels(theta)
            right, total = np.zeros(len(theta)), np.zeros(len(theta))
            for label, images in self._images.items():
                exact = images.astype(np.float64)
                for side, sign in enumerate((1.0, -1.0)):
                    tasks = np.flatnonzero(pairs[:, side] == label)
                    score = exact @ weights[:, tasks] + offsets[tasks]
                    right[tasks] += np.count_nonzero(sign * score > 0, axis=0)
                    total[tasks] += len(images)
        return right / total


@dataclass(frozen=True, kw_only=True)
class FashionPairs(Partitioned):
    """Fashion-MNIST: pairs of classes told apart from few images each; judged by held-out accuracy.

    Task t is about pair t mod 45 (label 1 for the lower class, -1 for the other) and owns its images: none is in two
    tasks. Which ones follows from the seed and t alone. Features are whitened principal components, or pixels less
    their mean and over their root mean square; mean, components and scale are those of the first 10,000 training
    images, which are public and in no task. With the defaults sharing reaches an accuracy of 0.94 within 20 iterations
    and every task alone 0.88; on pixels, where ridge alone reaches 0.95, sharing gains nothing.
    """

    path: Annotated[str, Meta(description="folder of the four IDX files, plain or .gz")] = FOLDER
    tasks: Annotated[int, Meta(ge=1, description="tasks in the whole network")] = 180
    samples: Annotated[int, Meta(ge=2, description="images a task, half of each class")] = 30
    rank: Annotated[int, Meta(ge=1, description="dimension of the shared subspace")] = 5
    features: Annotated[Literal["whitened", "pixels"], Meta(description="what an image is described by")] = "whitened"
    components: Annotated[int, Meta(ge=1, description="principal components kept, if whitened")] = 100

    def check(self, nodes: int) -> None:
        """Look at headers, lengths and labels; raises InputError for what is missing, damaged or not enough."""
        self.own_tasks(self.tasks, nodes, 0)
        images, labels = open_part(Path(self.path), "train")
        held_out, held_out_labels = open_part(Path(self.path), "t10k")
        if held_out.shape != images.shape:
            raise InputError(f"{held_out.path}: images of {held_out.shape}, but the training images are of {images.shape}")
        if self.features == "whitened" and self.components > images.item_bytes:
            raise InputError(
                f"problem: {self.components} components of images with {images.item_bytes} pixels; give at most as many"
            )
        check_sizes(self._d(images), self.tasks, self.rank, self.samples)
        for file in (images, held_out):
            file.check_whole()
        labels_of(held_out_labels, 0)
        self._draw(labels_of(labels, PUBLIC_IMAGES), 0)

    def share_nbytes(self, nodes: int) -> int:
        """See `ProblemSpec.share_nbytes`; the held-out images are counted in full."""
        images, held_out = (open_part(Path(self.path), part)[0] for part in ("train", "t10k"))
        own = len(self.own_tasks(self.tasks, nodes, 0))
        return 8 * own * self.samples * (self._d(images) + 1) + held_out.count * held_out.item_bytes

    def public(self, seed: int, nodes: int) -> FeatureMap:
        """Mean and principal components (or scale) of the public images, whatever the seed."""
        images, _ = open_part(Path(self.path), "train")
        pixels = images.item_bytes
        total, moment = np.zeros(pixels), np.zeros((pixels, pixels))
        for _, batch in images.batches(PUBLIC_IMAGES):
            exact = batch.astype(np.float64)
            total += exact.sum(axis=0)
            moment += exact.T @ exact
        mean = total / PUBLIC_IMAGES
        covariance = moment / PUBLIC_IMAGES - np.outer(mean, mean)
        if self.features == "pixels":
            return FeatureMap(mean, np.asarray(np.sqrt(pixels / np.trace(covariance))))
        values, vectors = np.linalg.eigh(covariance)
        values, vectors = values[::-1][: self.components], vectors[:, ::-1][:, : self.components]
        if values[-1] <= 1e-10 * values[0]:
            usable = int(np.count_nonzero(values > 1e-10 * values[0]))
            raise InputError(f"problem: the public images vary in {usable} directions only; give components = {usable}")
        return FeatureMap(mean, vectors / np.sqrt(values))

    def load(self, node: int, nodes: int, seed: int, public: FeatureMap) -> MultitaskRegression:
        """Stream the files once, keeping this node's images: features of its tasks', bytes of the held-out ones."""
        own = self.own_tasks(self.tasks, nodes, node)
        images, labels = open_part(Path(self.path), "train")
        chosen = self._draw(labels_of(labels, PUBLIC_IMAGES), seed)[own.start : own.stop]
        X = np.empty((len(own), self.samples, self._d(images)))
        rows, wanted = X.reshape(-1, X.shape[2]), chosen.ravel()
        order = np.argsort(wanted)
        ordered = wanted[order]
        for first, batch in images.batches(int(ordered[-1]) + 1):
            low, high = np.searchsorted(ordered, (first, first + len(batch)))
            rows[order[low:high]] = public.features(batch[ordered[low:high] - first])
        y = np.tile(np.where(np.arange(self.samples) < (self.samples + 1) // 2, 1.0, -1.0), (len(own), 1))
        pairs = [PAIRS[t % len(PAIRS)] for t in own]
        judge = Judge(pairs, self._held_out({c for pair in pairs for c in pair}), public, X, y)
        return MultitaskRegression(X, y, rank=self.rank, total_tasks=self.tasks, held_out=judge)

    def rehearsal(self) -> MultitaskRegression:
        """See `ProblemSpec.rehearsal`; reads headers."""
        d = self._d(open_part(Path(self.path), "train")[0])
        rng = generator(0, "rehearsal")
        X, y = rng.standard_normal((1, self.samples, d)), rng.standard_normal((1, self.samples))
        two = {c: np.full((1, d), c, np.uint8) for c in (0, 1)}
        judge = Judge([(0, 1)], two, FeatureMap(np.zeros(d), np.array(1.0)), X, y)
        return MultitaskRegression(X, y, rank=self.rank, total_tasks=1, held_out=judge)

    def _d(self, images: Idx) -> int:
        return self.components if self.features == "whitened" else images.item_bytes

    def _draw(self, labels: Bytes, seed: int) -> NDArray[np.int64]:
        """The images of each task, (tasks, n), those of the pair's lower class first.

        Each class's images beyond the public ones are put in a random order and dealt out task by task.
        """
        pools = []
        for c in range(CLASSES):
            pool = PUBLIC_IMAGES + np.flatnonzero(labels[PUBLIC_IMAGES:] == c)
            pools.append(generator(seed, "images", c).permutation(pool))
        dealt = [0] * CLASSES
        chosen = np.empty((self.tasks, self.samples), dtype=np.int64)
        half = (self.samples + 1) // 2
        for t in range(self.tasks):
            parts = []
            for c, size in zip(PAIRS[t % len(PAIRS)], (half, self.samples - half), strict=True):
                parts.append(pools[c][dealt[c] : dealt[c] + size])
                dealt[c] += size
                if dealt[c] > len(pools[c]):
                    raise InputError(
                        f"problem: {self.tasks} tasks of {self.samples} images need more than the {len(pools[c])} of "
                        f"class {c} that are not public; the files supply {t} such tasks: give fewer, or fewer samples"
                    )
            chosen[t] = np.concatenate(parts)
        return chosen

    def _held_out(self, classes: set[int]) -> dict[int, Bytes]:
        """The test images of some classes."""
        images, labels = open_part(Path(self.path), "t10k")
        kind = labels_of(labels, 0)
        kept = {c: np.empty((np.count_nonzero(kind == c), images.item_bytes), np.uint8) for c in sorted(classes)}
        filled = dict.fromkeys(kept, 0)
        for first, batch in images.batches():
            for c, where in kept.items():
                found = batch[kind[first : first + len(batch)] == c]
                where[filled[c] : filled[c] + len(found)] = found
                filled[c] += len(found)
        return kept

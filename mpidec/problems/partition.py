"""Who gets which tasks, and which samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError
from mpidec.options import Meta
from mpidec.problems.base import ProblemSpec
from mpidec.seeding import generator

Samples = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Partitioned(ProblemSpec):
    """A data set whose tasks are dealt out to the nodes in order: what all of them share."""

    imbalance: Annotated[float, Meta(ge=1, description="largest over smallest share of the tasks, geometric in between")] = 1.0

    def own_tasks(self, total: int, nodes: int, node: int) -> range:
        """The tasks of `node`, see `split`. Raises InputError when there are more nodes than tasks."""
        return split(total, nodes, node, self.imbalance)


def split(total: int, nodes: int, node: int, imbalance: float = 1.0) -> range:
    """The tasks of `node`: contiguous, the larger shares first.

    Shares are proportional to imbalance^(-i / (nodes - 1)), rounded to whole tasks by the largest remainders; a node whose
    share is below one task gets one, and the others share the rest in the same proportions. An imbalance of 1 makes sizes
    that differ by at most one. Raises InputError when there are more nodes than tasks, since a node without a task has
    nothing to learn from.
    """
    if not 0 <= node < nodes:
        raise ValueError(f"node {node} is not one of {nodes}")
    if nodes > total:
        raise InputError(f"problem: {total} tasks cannot be split over {nodes} nodes; use at most {total} ranks")
    ends = np.cumsum(_sizes(total, imbalance ** -np.linspace(0.0, 1.0, nodes)))
    return range(int(ends[node - 1]) if node else 0, int(ends[node]))


def _sizes(total: int, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers >= 1 (nodes,) in the proportions of the descending `weights`, which add up to `total`."""
    many = len(weights)
    while True:  # shares only grow smaller when the nodes after them are lifted to one task
        shares = (total - (len(weights) - many)) * weights[:many] / weights[:many].sum()
        enough = int(np.count_nonzero(shares >= 1.0))
        if enough == many:
            break
        many = enough
    sizes = np.ones(len(weights), dtype=np.int64)
    sizes[:many] = shares
    left = total - int(sizes.sum())
    sizes[np.argsort(sizes[:many] - shares, kind="stable")[:left]] += 1
    return sizes


@dataclass(frozen=True, kw_only=True)
class SampleSplit(ProblemSpec):
    """A data set whose samples are dealt out to the nodes, as many to each: so the mean of the f_i is the pooled loss."""

    partition: Annotated[
        Literal["uniform", "dirichlet", "shards"],
        Meta(description="who gets which samples: at random, by shares of labels from a Dirichlet law, or sorted by label"),
    ] = "uniform"
    alpha: Annotated[float, Meta(gt=0, description="of the Dirichlet law: the smaller, the more unlike the nodes")] = 0.1
    shards: Annotated[int, Meta(ge=1, description="pieces of the sorted samples that a node gets, if by shards")] = 2

    def check_shares(self, total: int, nodes: int, batch: int) -> None:
        """Raise InputError where a node would have no sample, or fewer than a batch or than pieces."""
        each = total // nodes
        if each < 1:
            raise InputError(f"problem: {total} samples leave none for some of {nodes} nodes; use at most {total} ranks")
        if batch > each:
            raise InputError(
                f"problem: batch = {batch} is more than the {each} samples of a node ({total} over {nodes} nodes); "
                f"give at most {each}, or fewer ranks"
            )
        if self.partition == "shards" and self.shards > each:
            raise InputError(f"problem: shards = {self.shards} is more than the {each} samples of a node; give at most {each}")

    def deal(self, labels: Samples, nodes: int, seed: int) -> Samples:
        """The samples of each node, (nodes, N // nodes), ascending, no sample twice. labels (N,) are classes from 0.

        What does not divide is left over, the same samples whatever the seed and the partition: see `used`.
        """
        order = used(len(labels), nodes)
        if self.partition == "uniform":
            parts = generator(seed, "deal").permutation(order).reshape(nodes, -1)
        elif self.partition == "dirichlet":
            parts = order[_dirichlet(labels[order], nodes, self.alpha, generator(seed, "deal by label"))]
        else:
            parts = order[_shards(labels[order], nodes, self.shards, generator(seed, "deal shards"))]
        return np.sort(parts, axis=1)


def used(total: int, nodes: int) -> Samples:
    """The samples, ascending, that are dealt out to the nodes: all but total mod nodes, which are drawn, always alike."""
    left = generator(0, "left over").permutation(total)[: total % nodes]
    return np.setdiff1d(np.arange(total), left)


def _dirichlet(labels: Samples, nodes: int, alpha: float, rng: np.random.Generator) -> Samples:
    """Places in `labels` for each node, (nodes, size), by shares of the classes drawn from Dirichlet(alpha) (arXiv 1909.06335).

    The nodes take turns, one sample each, of a class drawn by their own shares among the classes that still have any, so that
    all nodes alike depart from their shares as classes run out (choice).
    """
    classes = int(labels.max()) + 1
    shares = np.maximum(rng.dirichlet(np.full(classes, alpha), nodes), 1e-12)  # a class of no share is better than none
    pools = [rng.permutation(np.flatnonzero(labels == c)).tolist() for c in range(classes)]
    taken: list[list[int]] = [[] for _ in range(nodes)]
    left = np.array([len(pool) > 0 for pool in pools])
    ladder = np.cumsum(shares * left, axis=1)
    for draws in rng.random((len(labels) // nodes, nodes)):
        for node in range(nodes):
            # the first class whose cumulative share is above the draw: one without samples has no step of its own
            c = int(np.searchsorted(ladder[node], draws[node] * ladder[node, -1], side="right"))
            taken[node].append(pools[c].pop())
            if not pools[c]:
                left[c] = False
                ladder = np.cumsum(shares * left, axis=1)
    return np.array(taken, dtype=np.int64)


def _shards(labels: Samples, nodes: int, pieces: int, rng: np.random.Generator) -> Samples:
    """Places in `labels` for each node, (nodes, size): `pieces` runs of the samples sorted by label (arXiv 1602.05629)."""
    shuffled = rng.permutation(len(labels))
    ordered = shuffled[np.argsort(labels[shuffled], kind="stable")]
    size = len(labels) // nodes
    lengths = np.full(pieces, size // pieces) + (np.arange(pieces) < size % pieces)
    turns = rng.permutation(nodes * pieces)
    ends = np.cumsum(lengths[turns % pieces])
    taken: list[list[Samples]] = [[] for _ in range(nodes)]
    for turn, end in zip(turns, ends, strict=True):
        taken[turn // pieces].append(ordered[end - lengths[turn % pieces] : end])
    return np.stack([np.concatenate(runs) for runs in taken])

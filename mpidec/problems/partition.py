"""Who gets which tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError
from mpidec.options import Meta
from mpidec.problems.base import ProblemSpec


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

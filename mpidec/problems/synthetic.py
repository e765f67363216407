"""Synthetic tasks with a known subspace (the setting of arXiv 2512.22675 and 2102.10217)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from mpidec.options import Meta
from mpidec.problems.base import check_sizes
from mpidec.problems.multitask import MultitaskRegression, stand_in
from mpidec.problems.partition import Partitioned
from mpidec.seeding import generator


@dataclass(frozen=True, kw_only=True)
class Synthetic(Partitioned):
    """Gaussian features, labels X_t U* b_t plus noise, Gaussian b_t; the true subspace is known.

    U* is the Q factor of a Gaussian (d, r) matrix. Task t depends on the seed and t alone. Coordinate k of every b_t is
    scaled by condition^(-k / (r - 1)), geometrically from 1 to 1/condition, so that U* diag(scale) B has that condition
    number as the number of tasks grows.
    """

    d: Annotated[int, Meta(ge=1, description="features")]
    tasks: Annotated[int, Meta(ge=1, description="tasks in the whole network")]
    rank: Annotated[int, Meta(ge=1, description="dimension of the shared subspace, or a bound on it")]
    samples: Annotated[int, Meta(ge=1, description="samples a task")]
    noise: Annotated[float, Meta(ge=0, description="standard deviation of the label noise")] = 0.0
    true_rank: Annotated[int, Meta(ge=1, description="its true dimension; none: rank")] | None = None
    condition: Annotated[float, Meta(ge=1, description="condition number of the matrix of all solutions")] = 1.0

    def check(self, nodes: int) -> None:
        """See `ProblemSpec.check`."""
        self.own_tasks(self.tasks, nodes, 0)
        for rank in (self.rank, self.true_rank or self.rank):
            check_sizes(self.d, self.tasks, rank, self.samples)

    def share_nbytes(self, nodes: int) -> int:
        """See `ProblemSpec.share_nbytes`."""
        return 8 * len(self.own_tasks(self.tasks, nodes, 0)) * self.samples * (self.d + 1)

    def load(self, node: int, nodes: int, seed: int, public: Any) -> MultitaskRegression:
        """Draw the node's tasks straight into its arrays."""
        self.check(nodes)
        self.check_memory(nodes)
        own = self.own_tasks(self.tasks, nodes, node)
        true_rank = self.true_rank or self.rank
        truth = np.linalg.qr(generator(seed, "subspace").standard_normal((self.d, true_rank)))[0]
        scale = self.condition ** -np.linspace(0.0, 1.0, true_rank)
        X, y = np.empty((len(own), self.samples, self.d)), np.empty((len(own), self.samples))
        for i, task in enumerate(own):
            rng = generator(seed, "task", task)
            b = scale * rng.standard_normal(true_rank)
            rng.standard_normal(out=X[i])
            y[i] = X[i] @ (truth @ b) + self.noise * rng.standard_normal(self.samples)
        return MultitaskRegression(X, y, rank=self.rank, total_tasks=self.tasks, truth=truth, isotropic=True)

    def rehearsal(self) -> MultitaskRegression:
        """See `ProblemSpec.rehearsal`."""
        return stand_in(self.d, self.samples, self.rank, truth=True, isotropic=True)

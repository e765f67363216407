"""What an algorithm may ask of a problem, and what a data set must supply to become one."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError

Array = NDArray[np.float64]
Vector = NDArray[Any]
"""A point x or a gradient, of the problem's own dtype."""


@runtime_checkable
class TwoBlock(Protocol):
    """One node's share of a problem in two blocks: U, which travels, and one b_t a task, which never does.

    In the notation of arXiv 2512.22675: T tasks y_t = X_t U b_t, X_t (n, d), U (d, r), b_t (r,). All sums run over
    this node's own tasks; the caller adds up the nodes.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """(d, r), the shape of U."""
        ...

    @property
    def tasks(self) -> int:
        """How many tasks are this node's own."""
        ...

    @property
    def total_tasks(self) -> int:
        """T, the tasks in the whole network."""
        ...

    @property
    def samples(self) -> int:
        """n, samples a task."""
        ...

    @property
    def truth(self) -> Array | None:
        """Orthonormal (d, r) basis of the true subspace, where it is known."""
        ...

    @property
    def isotropic(self) -> bool:
        """Whether features are standard normal, so that singular values alone give the curvature."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of this node's own data."""
        ...

    @property
    def score_names(self) -> tuple[str, ...]:
        """The keys of `scores`, known without computing them."""
        ...

    def start(self, seed: int) -> Array:
        """The Gaussian (d, r) matrix that every node draws alike from the common seed."""
        ...

    def grad(self, u: Array) -> tuple[Array, Array]:
        """G (d, r) = sum_t X_t^T (X_t u b_t - y_t) b_t^T and B (tasks, r), b_t minimizing ||y_t - X_t u b_t||^2.

        Half the gradient of `loss`. A u that is not finite gives results that are not finite, never an exception.
        """
        ...

    def loss(self, u: Array) -> float:
        """sum_t ||y_t - X_t u b_t||^2 at the minimizing b_t."""
        ...

    def second_moment(self) -> float:
        """Sum of y_ti^2."""
        ...

    def truncated_moment(self, alpha: float) -> Array:
        """(d, tasks), column t (1/n) X_t^T y_t with the labels of y_ti^2 > alpha put to zero."""
        ...

    def curvature(self, u: Array) -> float:
        """Largest eigenvalue of the block Hessian sum_t (b_t b_t^T) kron (X_t^T X_t) at u, at most 1 % too high."""
        ...

    def scores(self, u: Array) -> dict[str, float]:
        """Sums over own tasks of figures of merit at u, to be divided by `total_tasks`; {} where there are none."""
        ...

    def references(self) -> dict[str, float]:
        """As `scores`, for rivals that do not depend on u."""
        ...


@runtime_checkable
class Smooth(Protocol):
    """One node's part f_i of f = (1/M) sum_i f_i, with stochastic gradients (arXiv 2506.00961, where M is the network's size).

    Data and gradients are of one dtype, float32 or float64; an x of another is cast. Whatever is random in step k is a
    function of (seed, node, k), so that two calls with the same k draw the same batch.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Of x."""
        ...

    @property
    def minimum(self) -> float | None:
        """min f of the whole network, where it is known."""
        ...

    @property
    def optimum(self) -> Array | None:
        """Where f is least, of x's shape, where it is known."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of this node's own data."""
        ...

    @property
    def score_names(self) -> tuple[str, ...]:
        """The keys of `scores`, known without computing them."""
        ...

    def start(self, seed: int) -> Vector:
        """The first x, the same at every node."""
        ...

    def grad(self, x: Vector, k: int) -> Vector:
        """The gradient of f_i at x on the minibatch, or with the noise, of step k; what is not finite gives the like."""
        ...

    def loss(self, x: Vector) -> float:
        """f_i(x), exact."""
        ...

    def scores(self, x: Vector) -> dict[str, float]:
        """Figures of merit at x of the whole network, of which this is the node's part: the nodes' parts add up to them."""
        ...


class Constants(NamedTuple):
    """What the theory of stochastic methods asks of a problem (arXiv 2506.00961, section 2).

    Each f_i is `smoothness`-smooth; E ||grad f_i(x, z) - grad f_i(x)||^2 <= noise^2; (1/M) sum_i ||grad f_i - grad f||^2 =
    heterogeneity^2; the first x is `distance` from the optimum.
    """

    smoothness: float
    noise: float
    heterogeneity: float
    distance: float


@runtime_checkable
class ClosedForm(Smooth, Protocol):
    """A `Smooth` problem of which every node knows the whole network's optimum and constants."""

    @property
    def constants(self) -> Constants:
        """Those of the whole network."""
        ...

    def excess(self, x: Vector) -> float:
        """f(x) - min f of the whole network, to the relative accuracy of x - x*, not of f."""
        ...


@dataclass(frozen=True, kw_only=True)
class ProblemSpec(ABC):
    """A data set and its options: subclasses are frozen dataclasses, the fields the options.

    The first line of a subclass's docstring is its help text.
    """

    host_nbytes: ClassVar[int] = 0
    """Bytes at most that a host needs, once, for the libraries that this problem alone imports."""

    rank_nbytes: ClassVar[int] = 0
    """Bytes at most that each rank needs besides to compute with them."""

    def check(self, nodes: int) -> None:
        """Look at settings and file headers only; raises InputError for what cannot run on `nodes` nodes."""
        del nodes

    def share_nbytes(self, nodes: int) -> int | None:
        """Bytes of the largest node's data on `nodes` nodes, known without the data; None where a problem does not tell."""
        del nodes
        return None

    def check_memory(self, nodes: int) -> None:
        """Raise InputError where one node's data alone are larger than this machine's memory."""
        there, needed = machine_nbytes(), self.share_nbytes(nodes) or 0
        if needed > there:
            raise InputError(
                f"problem: the data of one node need {needed / 2**30:,.0f} GiB, and this machine has {there / 2**30:,.0f} GiB; "
                "use more ranks on more machines, or fewer and smaller samples or tasks"
            )

    def public(self, seed: int, nodes: int) -> Any:
        """Something small that every node may know, computed on rank 0 only and sent to all; None unless overridden."""
        del seed, nodes  # nothing is public

    @abstractmethod
    def load(self, node: int, nodes: int, seed: int, public: Any) -> TwoBlock | Smooth:
        """The share of `node`; raises InputError for data that cannot be used."""

    @abstractmethod
    def rehearsal(self) -> TwoBlock | Smooth:
        """A stand-in whose messages are as large, with as little data as can be, to predict traffic without the data."""


def machine_nbytes() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_sizes(d: int, tasks: int, rank: int, samples: int) -> None:
    """Raise InputError where T = `tasks` tasks of n = `samples` in d features hold no rank-r structure to learn."""
    if rank > min(d, tasks):
        raise InputError(
            f"problem: rank {rank} is above {min(d, tasks)}, the smaller of {d} features and {tasks} tasks; "
            f"give a rank of at most {min(d, tasks)}"
        )
    if samples < rank:
        raise InputError(
            f"problem: {samples} samples a task cannot determine rank = {rank} coefficients; "
            f"give at least {rank} samples a task or a smaller rank"
        )

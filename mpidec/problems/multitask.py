"""Multi-task linear regression with a shared subspace: the local step, streamed through the cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol, final

import numpy as np
from numpy.typing import NDArray

from mpidec.problems.base import Array
from mpidec.seeding import generator

Flags = NDArray[np.bool_]

# What is not finite is seen by whoever looks at the result.
_quiet = np.errstate(all="ignore")

# A block of tasks is read from memory once and a second time from second-level cache: 1 MiB fits most cores', and
# results do not depend on it.
_BLOCK_BYTES = 1 << 20
# Work arrays of a chunk of blocks, whatever the number of tasks.
_CHUNK_BYTES = 1 << 21
# Normal equations lose twice the digits that a factorization of X_t u loses. Beyond this condition of the (r, r) Gram
# matrix, as a probe of its inverse sees it, a task is solved by its singular values instead.
_CONDITION_LIMIT = 1e10
# Singular values below this share of the largest are zeros that rounding has touched.
_RANK_TOLERANCE = 1e-12


class HeldOut(Protocol):
    """What judges the tasks' solutions on samples kept apart."""

    names: tuple[str, ...]
    nbytes: int

    def scores(self, theta: Array) -> dict[str, float]:
        """Sums over own tasks, by name, for solutions theta (tasks, d)."""
        ...

    def references(self) -> dict[str, float]:
        """Sums over own tasks for rivals that share nothing."""
        ...


class _Slot(NamedTuple):
    """A block's place in its chunk, `first` to `last`, and views of the work arrays there (k tasks)."""

    first: int
    last: int
    xu: Array  # (k, r, n): (X_t u)^T
    xuy: Array  # (k, r + 1, n): the same with y_t below
    xuy_t: Array
    moments: Array  # (k, r, r + 1): the Gram matrix and the right side
    gram: Array
    right: Array  # (k, r, 2): the right side and the probe
    solved: Array  # (k, r, 2)
    b: Array  # (k, r)
    weights: Array  # (k, 1, r + 1): b_t and -1
    residual: Array  # (k, 1, n): X_t u b_t - y_t
    pull: Array  # (k, 1, d): X_t^T of the residual


class _Work:
    """Work arrays of a chunk of tasks."""

    def __init__(self, size: int, block: int, n: int, d: int, r: int) -> None:
        self.xuy = np.empty((size, r + 1, n))
        self.equations = np.empty((size, r, r + 2))
        # irregular, so that no null vector of a Gram matrix is orthogonal to it but by accident
        self.equations[:, :, r + 1] = np.cos(np.arange(1, r + 1))
        self.solved = np.empty((size, r, 2))
        self.weights = np.full((size, 1, r + 1), -1.0)
        self.residual = np.empty((size, 1, n))
        self.pull = np.empty((size, 1, d))
        self.b = self.weights[:, 0, :r]
        self.slots = [self._slot(i, min(i + block, size), r) for i in range(0, size, block)]

    def _slot(self, first: int, last: int, r: int) -> _Slot:
        i = slice(first, last)
        xuy, equations = self.xuy[i], self.equations[i]
        return _Slot(
            first,
            last,
            xuy[:, :r],
            xuy,
            xuy.transpose(0, 2, 1),
            equations[:, :, : r + 1],
            equations[:, :, :r],
            equations[:, :, r:],
            self.solved[i],
            self.b[i],
            self.weights[i],
            self.residual[i],
            self.pull[i],
        )

    def ill_conditioned(self) -> Flags:
        """Tasks (size,) whose Gram matrix is singular, nearly so, or not finite."""
        scale = np.einsum("tii->ti", self.equations[:, :, :-2]).max(axis=1)
        inverse = np.abs(self.solved[:, :, 1]).max(axis=1)
        ill: Flags = ~(scale * inverse <= _CONDITION_LIMIT)
        return ill


@final
class MultitaskRegression:
    """A node's tasks y_t = X_t U b_t (arXiv 2512.22675), a `TwoBlock`.

    X (tasks, n, d) is C-contiguous, y (tasks, n), both float64 and never changed. `grad` reads X from memory once:
    a block of tasks that stays in second-level cache is multiplied by u, solved for b_t, and, since a task's gradient
    is of rank one, read again from there by one matrix-vector product a task.
    """

    def __init__(
        self,
        X: Array,
        y: Array,
        *,
        rank: int,
        total_tasks: int,
        truth: Array | None = None,
        isotropic: bool = False,
        held_out: HeldOut | None = None,
    ) -> None:
        if X.dtype != np.float64 or not X.flags.c_contiguous or y.dtype != np.float64 or y.shape != X.shape[:2]:
            raise ValueError(
                f"X {X.dtype} {X.shape}, y {y.dtype} {y.shape}: wanted float64 (tasks, n, d) in C order, (tasks, n)"
            )
        self.X, self.y = X, y
        self.tasks, self.samples, d = X.shape
        self.shape = (d, rank)
        self.total_tasks = total_tasks
        self.truth = truth
        self.isotropic = isotropic
        self.held_out = held_out
        self.score_names = held_out.names if held_out else ()
        self.nbytes = X.nbytes + y.nbytes + (held_out.nbytes if held_out else 0)
        a_task = 8 * (d + (rank + 2) * (self.samples + rank + 3))
        self._chunk = max(1, min(self.tasks, _CHUNK_BYTES // a_task))
        self._block = max(1, min(self._chunk, _BLOCK_BYTES // (8 * self.samples * d)))
        # by size, since the last chunk may be smaller, and columns of u, which may be fewer where the rank is estimated
        self._works: dict[tuple[int, int], _Work] = {}

    def start(self, seed: int) -> Array:
        """The Gaussian (d, r) matrix that every node draws alike."""
        return generator(seed, "start").standard_normal(self.shape)

    @_quiet
    def grad(self, u: Array) -> tuple[Array, Array]:
        """G (d, r) and B (tasks, r), see `TwoBlock.grad`."""
        G, B = np.zeros(u.shape), np.empty((self.tasks, u.shape[1]))
        for first, work in self._fit(u, pull=True):
            G += work.pull[:, 0].T @ work.b
            B[first : first + len(work.b)] = work.b
        return G, B

    @_quiet
    def loss(self, u: Array) -> float:
        """sum_t ||y_t - X_t u b_t||^2."""
        return float(sum(np.vdot(work.residual, work.residual) for _, work in self._fit(u)))

    @_quiet
    def solutions(self, u: Array) -> Array:
        """b_t of all own tasks, (tasks, r)."""
        return np.concatenate([work.b.copy() for _, work in self._fit(u)])

    def second_moment(self) -> float:
        """Sum of y_ti^2."""
        return float(np.vdot(self.y, self.y))

    def truncated_moment(self, alpha: float) -> Array:
        """(d, tasks), column t (1/n) X_t^T y_t of the labels with y_ti^2 <= alpha."""
        kept = np.where(self.y**2 <= alpha, self.y / self.samples, 0.0)
        moments: Array = np.matmul(kept[:, None], self.X)[:, 0]
        return moments.T

    @_quiet
    def curvature(self, u: Array) -> float:
        """Largest eigenvalue of sum_t (b_t b_t^T) kron (X_t^T X_t) at u, at most 1 % too high; nan if u is not finite.

        By Lanczos steps with full reorthogonalization, until the residual is below 1 % of the Ritz value; their sum is
        returned, so that the figure errs upward.
        """
        B = self.solutions(u)
        q = generator(0, "curvature").standard_normal(u.size)
        basis = [q / np.linalg.norm(q)]
        diagonal: list[float] = []
        coupling: list[float] = []
        while True:
            w = self._hessian(B, basis[-1].reshape(u.shape)).ravel()
            if not np.isfinite(w).all():
                return float("nan")
            diagonal.append(float(w @ basis[-1]))
            for v in basis * 2:  # twice is enough
                w -= (w @ v) * v
            coupling.append(float(np.linalg.norm(w)))
            T = np.diag(diagonal) + np.diag(coupling[:-1], 1) + np.diag(coupling[:-1], -1)
            values, vectors = np.linalg.eigh(T)
            largest = float(values[-1])
            residual = coupling[-1] * abs(float(vectors[-1, -1]))
            if residual <= 0.01 * largest or len(basis) == u.size:
                return largest + residual
            basis.append(w / coupling[-1])

    @_quiet
    def scores(self, u: Array) -> dict[str, float]:
        """Sums over own tasks of what the held-out samples say of X_t -> X_t u b_t; {} without such samples."""
        return self.held_out.scores(self.solutions(u) @ u.T) if self.held_out else {}

    def references(self) -> dict[str, float]:
        """The same for each task solved alone."""
        return self.held_out.references() if self.held_out else {}

    def _fit(self, u: Array, pull: bool = False) -> Iterator[tuple[int, _Work]]:
        """Minimize over b chunk by chunk: a chunk's first task and its work arrays, which the next chunk overwrites."""
        u_t = np.ascontiguousarray(u.T)
        finite = bool(np.isfinite(u_t).all())
        for first in range(0, self.tasks, self._chunk):
            work = self._work(min(self._chunk, self.tasks - first), u.shape[1])
            if finite:
                self._fit_chunk(first, work, u_t, pull)
            else:
                work.b[:], work.residual[:], work.pull[:] = np.nan, np.nan, np.nan
            yield first, work

    def _fit_chunk(self, first: int, work: _Work, u_t: Array, pull: bool) -> None:
        r = len(u_t)
        work.xuy[:, r] = self.y[first : first + len(work.xuy)]
        for slot in work.slots:
            X = self.X[first + slot.first : first + slot.last]
            np.matmul(u_t, X.transpose(0, 2, 1), out=slot.xu)
            np.matmul(slot.xu, slot.xuy_t, out=slot.moments)
            try:
                slot.solved[:] = np.linalg.solve(slot.gram, slot.right)
            except np.linalg.LinAlgError:
                slot.solved[:] = np.nan
            slot.b[:] = slot.solved[:, :, 0]
            np.matmul(slot.weights, slot.xuy, out=slot.residual)
            if pull:
                np.matmul(slot.residual, X, out=slot.pull)
        ill = work.ill_conditioned()
        if ill.any():
            self._repair(first, work, ill)

    def _repair(self, first: int, work: _Work, ill: Flags) -> None:
        """Solve the tasks marked `ill` by singular values: the shortest minimizer, nan where X_t u overflows."""
        for slot in work.slots:
            where = np.flatnonzero(ill[slot.first : slot.last])
            if not len(where):
                continue
            xu, y = slot.xu[where], slot.xuy[where, -1]
            sound = np.isfinite(xu).all(axis=(1, 2))
            b = np.full(xu.shape[:2], np.nan)
            inverse = np.linalg.pinv(xu[sound].transpose(0, 2, 1), rcond=_RANK_TOLERANCE)
            b[sound] = np.matmul(inverse, y[sound, :, None])[:, :, 0]
            slot.b[where] = b
            slot.residual[where] = np.matmul(slot.weights[where], slot.xuy[where])
            slot.pull[where] = np.matmul(slot.residual[where], self.X[first + slot.first + where])

    def _hessian(self, B: Array, V: Array) -> Array:
        """sum_t X_t^T X_t V b_t b_t^T, (d, r)."""
        total = np.zeros(V.shape)
        for i in range(0, self.tasks, self._block):
            X, b = self.X[i : i + self._block], B[i : i + self._block]
            image = np.matmul(X, (b @ V.T)[:, :, None])
            total += np.matmul(image.transpose(0, 2, 1), X)[:, 0].T @ b
        return total

    def _work(self, size: int, r: int) -> _Work:
        if (size, r) not in self._works:
            self._works[size, r] = _Work(size, self._block, self.samples, self.shape[0], r)
        return self._works[size, r]


def stand_in(d: int, samples: int, rank: int, *, truth: bool, isotropic: bool) -> MultitaskRegression:
    """One random task of the given sizes, with a random truth where the data have one."""
    rng = generator(0, "stand-in")
    X, y = rng.standard_normal((1, samples, d)), rng.standard_normal((1, samples))
    known = np.linalg.qr(rng.standard_normal((d, rank)))[0] if truth else None
    return MultitaskRegression(X, y, rank=rank, total_tasks=1, truth=known, isotropic=isotropic)

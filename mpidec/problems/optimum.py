"""Where multinomial logistic regression with l2 is least, found once by scipy and kept beside the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError
from mpidec.problems.base import Array
from mpidec.problems.cache import keep
from mpidec.problems.labeled import Labeled, Labels

_ROWS = 2048  # converted to float64 at a time
_TOLERANCE = 1e-6
"""How far above the minimum the value found may be, by the bound ||grad||^2 / (2 l2) of a strongly convex
function, which is some tens of times what it is."""


class Optimum(NamedTuple):
    """x* (d,) and min f, at most `bound` too high."""

    x: Array
    value: float
    bound: float


def batches(X: NDArray[Any], scale: float, rows: Labels | None = None) -> Iterator[tuple[slice, Array]]:
    """The rows of X (N, p), or some of them, in float64 with a 1 at the end, some at a time: (slice, (m, p + 1)), good until
    the next.
    """
    count = len(X) if rows is None else len(rows)
    room = np.ones((min(count, _ROWS), X.shape[1] + 1))
    for first in range(0, count, _ROWS):
        where = slice(first, min(first + _ROWS, count))
        part = room[: where.stop - first]
        np.multiply(X[where] if rows is None else X[rows[where]], scale, out=part[:, :-1])
        yield where, part


def softmax_loss(scores: NDArray[Any], y: Labels) -> tuple[NDArray[Any], NDArray[Any]]:
    """Cross-entropies (m,) of the scores (C, m) for classes y, and their gradients in the scores, (C, m), in their place.

    A row a class: to add up ten rows of m numbers takes a fraction of adding up m rows of ten.
    """
    scores -= np.maximum.reduce(scores, 0)
    right = scores[y, np.arange(len(y))]
    return np.log(_pull(scores, y)) - right, scores


def softmax_gradient(scores: NDArray[Any], y: Labels) -> NDArray[Any]:
    """The second of `softmax_loss` alone."""
    scores -= np.maximum.reduce(scores, 0)
    _pull(scores, y)
    return scores


def _pull(scores: NDArray[Any], y: Labels) -> NDArray[Any]:
    """Put the gradients in the place of scores that are at most 0; the sums (m,) of their exponentials."""
    np.exp(scores, out=scores)
    total: NDArray[Any] = np.add.reduce(scores, 0)
    scores /= total
    scores[y, np.arange(len(y))] -= 1.0
    return total


def search_nbytes(features: int) -> int:
    """Bytes that `find_optimum` needs for the features' outer product and its factor: four such matrices at a time."""
    return 4 * 8 * (features + 1) ** 2


def find_optimum(data: Labeled, rows: Labels, l2: float) -> Optimum:
    """The minimizer of the mean cross-entropy over `rows` plus l2/2 ||x||^2, from the cache where it was found before.

    By L-BFGS, first on a sample, in coordinates in which a share of the mean outer product of the features, plus l2, is the
    identity: about the Hessian of a class, and many times fewer iterations. Raises InputError where it does not converge.
    """
    key = f"{data.key}.optimum-{len(rows)}-{l2:.6g}"
    found = keep(data.folder, key, ("x", "facts"), lambda: _search(data, rows, l2))
    value, bound = (float(number) for number in found["facts"])
    return Optimum(np.array(found["x"]), value, bound)


def _search(data: Labeled, rows: Labels, l2: float) -> dict[str, NDArray[Any]]:
    few = rows[:: max(1, len(rows) // 5000)]  # a sample tells most of it, at a fraction of the cost
    W = _descend(data, few, l2, np.zeros((data.X.shape[1] + 1, data.classes)))[0] if len(few) < len(rows) else None
    W, value, bound = _descend(data, rows, l2, np.zeros((data.X.shape[1] + 1, data.classes)) if W is None else W)
    if bound > _TOLERANCE:
        raise InputError(
            f"problem: min f for l2 = {l2:g} was found only to {bound:.1e}, wanted {_TOLERANCE:.0e}; give a larger l2, or "
            "find_minimum = false to do without"
        )
    return {"x": W.ravel(), "facts": np.array([value, bound])}


def _descend(data: Labeled, rows: Labels, l2: float, W: Array) -> tuple[Array, float, float]:
    """From W (p + 1, C) to the minimizer: itself, the value, and how far above the minimum that may be."""
    from scipy.linalg import solve_triangular
    from scipy.optimize import minimize

    y = data.y[rows]
    outer = np.zeros((len(W), len(W)))
    with np.errstate(over="ignore", invalid="ignore"):
        for _, part in batches(data.X, data.scale, rows):
            outer += part.T @ part
    # the curvature of a class is p (1 - p) of this, at most a quarter, and near the optimum about a hundredth
    try:
        if not np.isfinite(outer).all():
            raise np.linalg.LinAlgError
        factor = np.linalg.cholesky(0.01 * outer / len(rows) + l2 * np.eye(len(W)))
    except np.linalg.LinAlgError:
        largest = max(float(np.abs(part).max()) for _, part in batches(data.X, data.scale, rows))
        raise InputError(
            f"problem: min f for l2 = {l2:g} cannot be found: features of up to {largest:.2g} leave l2 no digit; scale the "
            "features, give a larger l2, or find_minimum = false to do without"
        ) from None
    best: tuple[Array, float, float] = (W, np.inf, np.inf)

    def whitened(V: Array) -> tuple[float, Array]:
        nonlocal best
        # what is not finite is never the best
        W = solve_triangular(factor, V.reshape(len(factor), data.classes), lower=True, trans="T", check_finite=False)
        value, gradient = 0.0, l2 * len(rows) * W
        for where, part in batches(data.X, data.scale, rows):
            losses, pulls = softmax_loss(W.T @ part.T, y[where])
            value += float(losses.sum())
            gradient += part.T @ pulls.T
        gradient /= len(rows)
        value = value / len(rows) + l2 / 2 * float(np.vdot(W, W))
        bound = float(np.vdot(gradient, gradient)) / (2 * l2)
        if bound < best[2]:
            best = (W, value, bound)
        return value, solve_triangular(factor, gradient, lower=True, check_finite=False).ravel()

    def enough(V: Array) -> None:
        if best[2] <= _TOLERANCE:
            raise StopIteration

    descend: Any = minimize  # the stubs do not know of a value and its gradient in one together with a callback
    for _ in range(3):  # a restart forgets a line search that rounding has led astray
        start = (factor.T @ best[0]).ravel()
        options: Any = {"maxiter": 2000, "maxfun": 3000, "maxcor": 30, "ftol": 0.0, "gtol": 1e-14}
        descend(whitened, start, jac=True, method="L-BFGS-B", callback=enough, options=options)
        if best[2] <= _TOLERANCE:
            break
    return best

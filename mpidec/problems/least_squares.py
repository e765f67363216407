"""Stochastic least squares with a known optimum: the synthetic problems of decentralized SGD (arXiv 2506.00961, section 5).

    f_i(x) = 1/2 ||A_i x - b_i||^2,  b_i = A_i (x# + delta_i),  grad f_i(x, z) = A_i^T (A_i x - b_i) + z,  z ~ N(0, sigma^2 I/d)

x# is standard normal and the first x is 0 (choice).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, final

import numpy as np

from mpidec.options import Meta
from mpidec.problems.base import Array, Constants, ProblemSpec, Vector
from mpidec.seeding import Draws, generator


class Whole(NamedTuple):
    """What every node may know of the whole network: x*, the Hessian H (d, d) of f, min f, and the constants."""

    optimum: Array
    hessian: Array
    minimum: float
    constants: Constants


@final
class LeastSquares:
    """A node's f_i, a `ClosedForm` problem; A (m, d) and b (m,) are of the dtype of its gradients and never changed."""

    def __init__(self, A: Vector, b: Vector, *, noise: float, seed: int, node: int, whole: Whole) -> None:
        self.A, self.b = A, b
        self.shape = (A.shape[1],)
        self.nbytes = A.nbytes + b.nbytes
        self.optimum: Array | None = whole.optimum
        self.minimum: float | None = whole.minimum
        self.constants = whole.constants
        self.score_names: tuple[str, ...] = ()
        self._scale = noise / np.sqrt(A.shape[1])
        self._noise = Draws(seed, "gradient noise", node)
        self._hessian = whole.hessian
        # where A is tall, (d, d) is all that a gradient needs
        self._own_hessian, self._moment = A.T @ A, A.T @ b

    def start(self, seed: int) -> Vector:
        """0, whatever the seed."""
        return np.zeros(self.shape, self.A.dtype)

    def grad(self, x: Vector, k: int) -> Vector:
        """A^T (A x - b) and the noise of step k, (d,)."""
        noise = self._noise.at(k).standard_normal(self.shape)
        noise *= self._scale
        gradient: Vector = self._own_hessian @ x.astype(self.A.dtype, copy=False) - self._moment
        gradient += noise.astype(self.A.dtype, copy=False)
        return gradient

    def loss(self, x: Vector) -> float:
        """1/2 ||A x - b||^2."""
        return 0.5 * float(np.sum((self.A.astype(np.float64) @ x - self.b) ** 2))

    def excess(self, x: Vector) -> float:
        """1/2 (x - x*)^T H (x - x*) = f(x) - min f."""
        error = x - self.optimum
        return 0.5 * float(error @ self._hessian @ error)

    def scores(self, x: Vector) -> dict[str, float]:
        """None."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Synthetic(ProblemSpec):
    """The options that both variants share."""

    d: Annotated[int, Meta(ge=1, description="dimension of x")] = 50
    zeta: Annotated[float, Meta(ge=0, description="heterogeneity: how far the nodes' own minimizers lie apart")] = 0.0
    sigma: Annotated[float, Meta(ge=0, description="noise: root mean square norm of what is added to a gradient")] = 1.0
    dtype: Annotated[Literal["float64", "float32"], Meta(description="of data, gradients and messages")] = "float64"

    def common(self, seed: int, nodes: int) -> Any:
        """What `part` wants of the whole network, cheap to make; None unless overridden."""
        del seed, nodes  # every node's part stands alone

    @abstractmethod
    def part(self, seed: int, node: int, common: Any) -> tuple[Array, Array]:
        """A_i (d, d) and the minimizer x# + delta_i (d,) of a node."""

    def share_nbytes(self, nodes: int) -> int:
        """See `ProblemSpec.share_nbytes`: a few (d, d) matrices."""
        del nodes  # every node has its own
        return 8 * 4 * self.d**2

    def public(self, seed: int, nodes: int) -> Whole:
        """Optimum and constants, by two passes over the nodes' parts: rank 0 never holds more than one of them.

        Heterogeneity is that at the optimum: away from it, it has no bound where Hessians differ.
        """
        common = self.common(seed, nodes)
        hessian: Array = np.zeros((self.d, self.d))
        moment: Array = np.zeros(self.d)
        smoothness = 0.0
        for A, center in (self.part(seed, i, common) for i in range(nodes)):
            H = A.T @ A
            hessian += H / nodes
            moment += H @ center / nodes
            smoothness = max(smoothness, float(np.linalg.norm(A, 2)) ** 2)
        x: Array = np.asarray(np.linalg.solve(hessian, moment), np.float64)
        minimum = spread = 0.0
        for A, center in (self.part(seed, i, common) for i in range(nodes)):
            residual = A @ (x - center)
            minimum += float(residual @ residual) / (2 * nodes)
            spread += float(np.sum((A.T @ residual) ** 2)) / nodes
        constants = Constants(smoothness, self.sigma, float(np.sqrt(spread)), float(np.linalg.norm(x)))
        return Whole(x, hessian, minimum, constants)

    def load(self, node: int, nodes: int, seed: int, public: Whole) -> LeastSquares:
        """The node's part, drawn from the seed."""
        A, center = self.part(seed, node, self.common(seed, nodes))
        b = (A @ center).astype(self.dtype)
        return LeastSquares(A.astype(self.dtype), b, noise=self.sigma, seed=seed, node=node, whole=public)

    def rehearsal(self) -> LeastSquares:
        """See `ProblemSpec.rehearsal`."""
        whole = Whole(np.zeros(self.d), np.zeros((self.d, self.d)), 0.0, Constants(1.0, 1.0, 1.0, 1.0))
        A, b = np.ones((1, self.d), self.dtype), np.ones(1, self.dtype)
        return LeastSquares(A, b, noise=self.sigma, seed=0, node=0, whole=whole)


def _target(seed: int, d: int) -> Array:
    target: Array = generator(seed, "target").standard_normal(d)
    return target


def _offset(seed: int, d: int, node: int, zeta: float) -> Array:
    offset: Array = zeta / np.sqrt(d) * generator(seed, "offset", node).standard_normal(d)
    return offset


@dataclass(frozen=True, kw_only=True)
class Gaussian(Synthetic):
    """Least squares with a Gaussian matrix of its own at every node; the whole problem changes with the number of nodes.

    A_i has entries N(0, 1/d), so that A_i^T A_i is I in the mean (choice), and delta_i ~ N(0, zeta^2 I/d).
    """

    def part(self, seed: int, node: int, common: Any) -> tuple[Array, Array]:
        """See `Synthetic.part`."""
        A = generator(seed, "matrix", node).standard_normal((self.d, self.d)) / np.sqrt(self.d)
        return A, _target(seed, self.d) + _offset(seed, self.d, node, self.zeta)


@dataclass(frozen=True, kw_only=True)
class Decaying(Synthetic):
    """Least squares with one Hessian of eigenvalues 1/k^2 and offsets that add up to 0: the same for any number of nodes.

    Merely convex in effect, which is where DAT-SGD and D-SGD part (choice). The eigenvectors are a random basis, the
    same at every node; delta_i ~ N(0, zeta^2 I/d) less their mean over the nodes.
    """

    def common(self, seed: int, nodes: int) -> tuple[Array, Array]:
        """The matrix of all nodes, (d, d), and x# less the mean offset, (d,)."""
        Q = np.linalg.qr(generator(seed, "basis").standard_normal((self.d, self.d)))[0]
        mean = np.mean([_offset(seed, self.d, i, self.zeta) for i in range(nodes)], axis=0)
        return Q.T / np.arange(1, self.d + 1)[:, None], _target(seed, self.d) - mean

    def part(self, seed: int, node: int, common: tuple[Array, Array]) -> tuple[Array, Array]:
        """See `Synthetic.part`."""
        A, center = common
        return A, center + _offset(seed, self.d, node, self.zeta)

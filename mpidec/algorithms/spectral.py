"""Truncated spectral initialization and its step size, whatever the network (arXiv 2512.22675; centralized: 2102.10217).

    alpha   = total(9 / (n T) sum y_ti^2);   y_ti <- y_ti 1{y_ti^2 <= alpha};   Theta0_g = (1/n) [X_t^T y_t], t in S_g
    U_g     = QR(the same random matrix at every node)
    Z_g     = total(Theta0_g Theta0_g^T U_g);  U_g, R = QR(Z_g);  U_g <- agree(U_g)        power_iterations times
    r^      = argmax_i R_ii / R_i+1,i+1 at node 0;  U_g <- its first r^ columns                 if the rank is estimated
    eta     = 0.4 / (n max diag R), or 1 / total(lambda_g) where features are not standard normal

| paper | code | shape |
|---|---|---|
| U_g | U | (d, r) |
| alpha | alpha | (1,) |
| sigma_max*^2, estimated | max diag R of the last QR, which overshoots by 6 to 30 % | () |
| eta, against the sum of all gradients | step_size, each node's own | () |
| lambda_g | problem.curvature(U), the largest eigenvalue of the node's own block Hessian | () |

`total` adds up over the network and `agree` makes the nodes go on with (nearly) one basis; what travels is what they send
(see `gossip_start.py` and `network.py`). Departs from the paper: the threshold is 9, not 9 kappa^2 mu^2 (choice); for data
that is not Gaussian the step follows from a bound on the curvature, the sum over nodes of their own, since the largest
eigenvalue is subadditive (choice). The paper knows the rank; an unknown one is taken where the singular values, whose squares
are on the diagonal of R, fall most, below the problem's rank, which is then an upper bound (choice).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from mpidec.algorithms.base import Algorithm
from mpidec.options import Meta
from mpidec.problems import TwoBlock

Array = NDArray[Any]


class Consensus(Protocol):
    """How a method adds up over the network while it starts."""

    def total(self, x: Array) -> Array:
        """The sum of x over all nodes, exact or nearly, at every node."""
        ...

    def agree(self, x: Array) -> Array:
        """Nearly the same x at every node."""
        ...

    def adopt(self, x: Array) -> Array:
        """Node 0's x >= 0 to the last digit, at every node."""
        ...


class SpectralState(NamedTuple):
    """U (d, r), the node's orthonormal estimate; step_size (), against the sum of all nodes' gradients."""

    U: Array
    step_size: Array


@dataclass(frozen=True, kw_only=True)
class SpectralStart(Algorithm):
    """The options that every method with a spectral initialization shares."""

    step_size: (
        Annotated[float, Meta(gt=0, description="step against the sum of gradients; none: from the initialization")] | None
    ) = None
    power_iterations: Annotated[int, Meta(ge=1, description="power iterations of the initialization")] = 15
    estimate_rank: Annotated[bool, Meta(description="find the rank, of which the problem's is only a bound")] = False

    def at_largest(self) -> Self:
        """The same without an estimate of the rank, which only makes messages smaller."""
        return replace(self, estimate_rank=False) if self.estimate_rank else self

    def start(self, consensus: Consensus, problem: TwoBlock, x0: Array) -> SpectralState:
        """The spectral initialization by the sums that `consensus` gives, from the random matrix x0 (d, r)."""
        n, T = problem.samples, problem.total_tasks
        alpha = consensus.total(np.array([9.0 / (n * T) * problem.second_moment()]))
        Theta0 = problem.truncated_moment(float(alpha[0]))
        U, R = orthonormalize(x0)
        for _ in range(self.power_iterations):
            U, R = orthonormalize(consensus.total(Theta0 @ (Theta0.T @ U)))
            U = consensus.agree(U)
        if self.estimate_rank:
            rank = int(consensus.adopt(np.array([float(steepest_fall(np.diag(R)))]))[0])
            U = np.ascontiguousarray(U[:, :rank])
        if self.step_size is not None:
            step_size = np.array(self.step_size)
        elif problem.isotropic:
            step_size = 0.4 / (n * np.diag(R).max())
        else:
            step_size = 1.0 / consensus.total(np.array([problem.curvature(U)]))[0]
        return SpectralState(U, np.asarray(step_size))


def steepest_fall(values: Array) -> int:
    """How many of the positive values (r,), descending, stand before the largest ratio of neighbors; 1 where r is 1."""
    logarithms = np.log(np.maximum(values, np.finfo(float).tiny))
    return 1 + int(np.argmin(np.diff(logarithms))) if len(values) > 1 else 1


def orthonormalize(V: Array) -> tuple[Array, Array]:
    """The QR factors (d, r), (r, r) of V with a positive diagonal of R, so that bases of several nodes can be averaged."""
    Q, R = np.linalg.qr(V)
    signs = np.where(np.diag(R) < 0, -1.0, 1.0)
    return Q * signs, R * signs[:, None]

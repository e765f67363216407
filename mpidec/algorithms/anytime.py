"""What the forms of DAT-SGD share: the weighted average of the iterates, where gradients are taken, and its step size.

eta = min{ 1/(24 L T), rho^2/K, D1 sqrt(M)/(sqrt(3) sigma T^(3/2)), sqrt(D1/(2 K sigma~)) rho/T }
K^2 = 5120 L^2,  sigma~^2 = 2 sigma^2 + zeta^2,  D1 = ||w_1 - x*||                  (arXiv 2506.00961, theorem 4.1)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from mpidec.algorithms.base import Algorithm
from mpidec.errors import InputError
from mpidec.graph.facts import GraphFacts
from mpidec.options import Meta
from mpidec.problems import ClosedForm, Constants, Smooth

Array = NDArray[Any]


class AnytimeState(NamedTuple):
    """x (d,), the query point; w (d,), the iterate; weight (), A_t = alpha_1 + … + alpha_t; step_size ()."""

    x: Array
    w: Array
    weight: Array
    step_size: Array


@dataclass(frozen=True, kw_only=True)
class Anytime(Algorithm):
    """The options of the forms whose weights grow."""

    requires: ClassVar[type] = Smooth
    step_size: (
        Annotated[float, Meta(gt=0, description="eta; none: the theory's, for `horizon` steps, where the problem is known")]
        | None
    ) = None
    horizon: Annotated[int, Meta(ge=1, description="T of the theory's step size, the steps to be taken")] | None = None
    growth: Annotated[float, Meta(ge=0, le=10, description="weights alpha_t = t^growth: 1 is the paper's, 0 is constant")] = 1.0
    nodes: Annotated[int, Meta(ge=1, description="network size M in the formulas; none: the graph's")] | None = None
    gap: Annotated[float, Meta(gt=0, le=1, description="rho in the theory's step size; none: the graph's")] | None = None

    def bind(self, facts: GraphFacts) -> Self:
        """Fill `nodes` and `gap`. Raises InputError where no step size is given and the theory has none."""
        gap = self.gap or facts.gap
        if self.step_size is None and (self.horizon is None or gap <= 0):
            raise InputError(
                f"got step_size = none, horizon = {self.horizon or 'none'} on a graph of spectral gap {gap:.3g}; "
                "give step_size, or, on a graph with a gap, horizon, the T of the theory's step size"
            )
        if self.step_size is None and self.growth != 1:
            raise InputError(
                f"got growth = {self.growth:g} and no step_size; the theory's is for weights t, growth = 1: give step_size"
            )
        return replace(self, nodes=self.nodes or facts.nodes, gap=gap if gap > 0 else None)

    def check(self, problem: Smooth) -> None:
        """Raise InputError where the step size is the theory's and the problem does not know its constants."""
        if self.step_size is None and not isinstance(problem, ClosedForm):
            raise InputError("the theory's step size wants constants that this problem does not know; give step_size")

    def init(self, net: Any, problem: Smooth, x0: Array) -> AnytimeState:
        """x and w at x0, with the step size given or the theory's."""
        eta = self.step_size
        if eta is None:
            if self.horizon is None or self.nodes is None or self.gap is None or not isinstance(problem, ClosedForm):
                raise ValueError(f"{type(self).__name__} has no step size: give it, or bind it with a horizon to a graph")
            eta = theory_step_size(problem.constants, self.horizon, self.nodes, self.gap)
        return AnytimeState(x0.copy(), x0.copy(), np.array(0.0), np.array(eta))

    def iterate(self, state: AnytimeState) -> Array:
        """w."""
        return state.w


def theory_step_size(constants: Constants, T: int, M: int, rho: float) -> float:
    """eta for T steps on M nodes with spectral gap rho, by theorem 4.1."""
    L, sigma, zeta, D1 = constants
    K = math.sqrt(5120.0) * L
    spread = math.sqrt(2.0 * sigma**2 + zeta**2)
    bounds = [1.0 / (24.0 * L * T), rho**2 / K]
    if sigma > 0:
        bounds.append(D1 * math.sqrt(M) / (math.sqrt(3.0) * sigma * T**1.5))
    if spread > 0:
        bounds.append(math.sqrt(D1 / (2.0 * K * spread)) * rho / T)
    return min(bounds)

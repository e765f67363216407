"""Minibatch SGD, centralized, and its anytime form: the yardsticks over all-reduce (arXiv 1012.1367, 1903.00974).

    g_t      = (1/M) sum_i grad f_i(x_t, z_t,i)
    x_{t+1}  = x_t - eta g_t                                                                      minibatch
    w_{t+1}  = w_t - eta alpha_t g_t,   x_{t+1} = (A_{t-1}/A_t) x_t + (alpha_t/A_t) w_{t+1}       anytime

| paper | code | shape |
|---|---|---|
| x_t, w_t, A_{t-1} | state.x, state.w, state.weight | (d,), (d,), () |
| M | nodes | |

Travels per step: the all-reduce of d numbers, by a model 2 d (M-1)/M per node. The anytime form is DAT-SGD with exact
averages: x and w stay equal at all nodes, so only gradients travel; its theory's step size has rho = 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Self

import numpy as np

from mpidec.algorithms.anytime import Anytime, AnytimeState
from mpidec.algorithms.base import NetworkKind
from mpidec.algorithms.stepping import Point, Stepping
from mpidec.graph.facts import GraphFacts
from mpidec.network import AllReduce
from mpidec.options import Meta
from mpidec.problems import Smooth
from mpidec.problems.base import Vector


@dataclass(frozen=True, kw_only=True)
class MinibatchSGD(Stepping):
    """Minibatch SGD: the mean gradient by MPI_Allreduce and the same step everywhere; its bytes are modeled."""

    network: ClassVar[NetworkKind] = "all_reduce"
    nodes: Annotated[int, Meta(ge=1, description="network size M in the formulas; none: the graph's")] | None = None

    def bind(self, facts: GraphFacts) -> Self:
        """Fill `nodes`."""
        return replace(self, nodes=self.nodes or facts.nodes)

    def init(self, net: AllReduce, problem: Smooth, x0: Vector) -> Point:
        """At x0. Raises ValueError when not bound."""
        if self.nodes is None:
            raise ValueError("MinibatchSGD needs nodes: give them, or bind it to a graph's facts")
        return Point(x0.copy())

    def step(self, net: AllReduce, problem: Smooth, state: Point, k: int) -> Point:
        """Average, step."""
        g = net.total(problem.grad(state.x, k)) / (self.nodes or 1)
        return Point(state.x - self.step_size * g)


@dataclass(frozen=True, kw_only=True)
class AnytimeMinibatchSGD(Anytime):
    """Anytime minibatch SGD: DAT-SGD with exact averages, by MPI_Allreduce; its bytes are modeled."""

    network: ClassVar[NetworkKind] = "all_reduce"

    def bind(self, facts: GraphFacts) -> Self:
        """Fill `nodes`; `gap` is that of exact averages, 1."""
        return super().bind(replace(facts, gamma=0.0))

    def step(self, net: AllReduce, problem: Smooth, state: AnytimeState, k: int) -> AnytimeState:
        """Average the gradients at the query point, move the iterate, average with the iterates before."""
        eta, alpha = float(state.step_size), float(k) ** self.growth
        A = float(state.weight) + alpha
        g = net.total(problem.grad(state.x, k)) / (self.nodes or 1)
        w = state.w - eta * alpha * g
        x = (float(state.weight) / A) * state.x + (alpha / A) * w
        return AnytimeState(x, w, np.array(A), state.step_size)

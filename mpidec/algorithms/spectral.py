"""Decentralized truncated spectral initialization and its step size (arXiv 2512.22675, algorithm of the initialization)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from mpidec.algorithms.base import Algorithm
from mpidec.errors import InputError
from mpidec.graph.facts import GraphFacts
from mpidec.network import Network
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

    def start(self, consensus: Consensus, problem: TwoBlock, x0: Array) -> SpectralState:
        """The spectral initialization by the sums that `consensus` gives.

        The step size, unless given, is 0.4 / (n sigma_max^2) with sigma_max^2 read off the last QR where features are
        standard normal. Elsewhere the curvature is not n sigma_max^2, and it is the inverse of a bound on it: the sum
        over nodes of the largest eigenvalue of each node's own block Hessian at its start (choice).
        """
        n, T = problem.samples, problem.total_tasks
        alpha = consensus.total(np.array([9.0 / (n * T) * problem.second_moment()]))
        Theta0 = problem.truncated_moment(float(alpha[0]))
        U, R = orthonormalize(x0)
        for _ in range(self.power_iterations):
            U, R = orthonormalize(consensus.total(Theta0 @ (Theta0.T @ U)))
            U = consensus.agree(U)
        if self.step_size is not None:
            step_size = np.array(self.step_size)
        elif problem.isotropic:
            step_size = 0.4 / (n * np.diag(R).max())
        else:
            step_size = 1.0 / consensus.total(np.array([problem.curvature(U)]))[0]
        return SpectralState(U, np.asarray(step_size))


@dataclass(frozen=True, kw_only=True)
class GossipStart(SpectralStart):
    """The same by gossip alone, with the settings that gossip needs."""

    rounds_init: (
        Annotated[
            int,
            Meta(ge=1, description="gossip rounds a consensus of the initialization; none: max(diameter, mixing time)"),
        ]
        | None
    ) = None
    nodes: Annotated[int, Meta(ge=1, description="network size L in the formulas; none: the graph's")] | None = None

    def bind(self, facts: GraphFacts) -> Self:
        """Fill `nodes` and `rounds_init`, by default max(diameter, ceil(log L / log(1/gamma))).

        Raises InputError for fewer rounds than the graph's diameter: some nodes would keep exact zeros.
        """
        rounds = self.rounds_init
        if rounds is None:
            slow = 0.0 < facts.gamma < 1.0 and facts.nodes > 1
            mixing_time = math.ceil(math.log(facts.nodes) / -math.log(facts.gamma)) if slow else 1
            rounds = max(1, facts.diameter_high, mixing_time)
        elif rounds < facts.diameter_low:
            raise InputError(
                f"rounds_init = {rounds} is below the graph's diameter {facts.diameter_low}: what one node starts with "
                f"would not reach every other; give at least {facts.diameter_high}, or leave it out"
            )
        return replace(self, nodes=self.nodes or facts.nodes, rounds_init=rounds)

    def start_by_gossip(self, net: Network, problem: TwoBlock, x0: Array) -> SpectralState:
        """The spectral initialization with `rounds_init` rounds of gossip for each sum."""
        return self.start(_Gossip(net, self.nodes or 1, self.rounds_init or 1), problem, x0)


class _Gossip:
    """Sums and agreement by plain gossip."""

    def __init__(self, net: Network, nodes: int, rounds: int) -> None:
        self._net, self._nodes, self._rounds = net, nodes, rounds

    def total(self, x: Array) -> Array:
        result: Array = self._nodes * self._net.mix(x, rounds=self._rounds)
        return result

    def agree(self, x: Array) -> Array:
        # node 0 keeps its basis and the others put zeros: the sum is nearly node 0's basis at every node
        return orthonormalize(self.total(x if self._net.rank == 0 else np.zeros_like(x)))[0]


def orthonormalize(V: Array) -> tuple[Array, Array]:
    """The QR factors (d, r), (r, r) of V with a positive diagonal of R, so that bases of several nodes can be averaged."""
    Q, R = np.linalg.qr(V)
    signs = np.where(np.diag(R) < 0, -1.0, 1.0)
    return Q * signs, R * signs[:, None]

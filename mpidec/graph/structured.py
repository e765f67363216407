"""Topologies given by a formula: neighbors, degrees, diameter and Laplacian eigenvalues without the whole graph.

Eigenvalues: a path has 4 sin^2(pi k / 2n), a ring 4 sin^2(pi k / n) for k = 0 .. n-1, and a Cartesian product (grid,
torus, hypercube) all sums of one eigenvalue a factor. The sine form keeps the digits of the small ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError
from mpidec.graph.base import Structured
from mpidec.options import Meta


@dataclass(frozen=True)
class Ring(Structured):
    """Every node is joined to the next, the last one to the first."""

    name: ClassVar[str] = "ring"

    def neighbors(self, node: int, nodes: int) -> tuple[int, ...]:
        return tuple(sorted({(node - 1) % nodes, (node + 1) % nodes} - {node}))

    def degree_counts(self, nodes: int) -> dict[int, int]:
        return {min(nodes - 1, 2): nodes}

    def diameter(self, nodes: int) -> int:
        return nodes // 2

    def laplacian_ends(self, nodes: int) -> tuple[float, float]:
        if nodes < 3:  # one edge, where the formula would count two
            return Path().laplacian_ends(nodes)
        return 4 * math.sin(math.pi / nodes) ** 2, 4 * math.sin(math.pi * (nodes // 2) / nodes) ** 2


@dataclass(frozen=True)
class Path(Structured):
    """Every node is joined to the next: a ring cut open."""

    name: ClassVar[str] = "path"

    def neighbors(self, node: int, nodes: int) -> tuple[int, ...]:
        return tuple(j for j in (node - 1, node + 1) if 0 <= j < nodes)

    def degree_counts(self, nodes: int) -> dict[int, int]:
        if nodes < 3:
            return {nodes - 1: nodes}
        return {1: 2, 2: nodes - 2}

    def diameter(self, nodes: int) -> int:
        return nodes - 1

    def laplacian_ends(self, nodes: int) -> tuple[float, float]:
        if nodes == 1:
            return 0.0, 0.0
        return 4 * math.sin(math.pi / (2 * nodes)) ** 2, 4 * math.cos(math.pi / (2 * nodes)) ** 2

    def edge_degrees(self, nodes: int) -> set[tuple[int, int]]:
        if nodes < 3:
            return {(1, 1)} if nodes == 2 else set()
        return {(1, 2)} if nodes == 3 else {(1, 2), (2, 2)}


@dataclass(frozen=True)
class _Rectangle(Structured):
    rows: Annotated[int, Meta(ge=1, description="rows; left out: as near to a square as nodes allow")] | None = None
    cols: Annotated[int, Meta(ge=1, description="columns; left out: as near to a square as nodes allow")] | None = None

    side: ClassVar[Structured]

    def check(self, nodes: int) -> None:
        super().check(nodes)
        self.sides(nodes)

    def sides(self, nodes: int) -> tuple[int, int]:
        """Rows and columns; node i stands in row i // columns. Raises InputError when they do not fit `nodes`."""
        given = (self.rows, self.cols)
        if self.rows is not None and self.cols is not None:
            if self.rows * self.cols == nodes:
                return self.rows, self.cols
            near = " x ".join(map(str, _near_square(nodes)))
            raise InputError(
                f"{self.name}: got {nodes} nodes, wanted rows x cols = {self.rows} x {self.cols} = "
                f"{self.rows * self.cols}; use {self.rows * self.cols} nodes, or another rectangle such as {near}"
            )
        for key, length in zip(("rows", "cols"), given, strict=True):
            if length is not None and nodes % length:
                below = nodes // length * length
                wanted = f"{below} or {below + length}" if below else f"{length}"
                raise InputError(
                    f"{self.name}: got {nodes} nodes, wanted a multiple of {key} = {length}; "
                    f"use {wanted} nodes, or leave {key} out"
                )
        if self.rows is not None:
            return self.rows, nodes // self.rows
        if self.cols is not None:
            return nodes // self.cols, self.cols
        return _near_square(nodes)

    def neighbors(self, node: int, nodes: int) -> tuple[int, ...]:
        rows, cols = self.sides(nodes)
        row, col = divmod(node, cols)
        vertical = [r * cols + col for r in self.side.neighbors(row, rows)]
        return tuple(sorted([*vertical, *(row * cols + c for c in self.side.neighbors(col, cols))]))

    def degree_counts(self, nodes: int) -> dict[int, int]:
        across, along = (self.side.degree_counts(n) for n in self.sides(nodes))
        counts: dict[int, int] = {}
        for a, many in across.items():
            for b, times in along.items():
                counts[a + b] = counts.get(a + b, 0) + many * times
        return counts

    def diameter(self, nodes: int) -> int:
        return sum(self.side.diameter(n) for n in self.sides(nodes))

    def laplacian_ends(self, nodes: int) -> tuple[float, float]:
        ends = [self.side.laplacian_ends(n) for n in self.sides(nodes) if n > 1]
        return min((second for second, _ in ends), default=0.0), sum(largest for _, largest in ends)

    def edge_degrees(self, nodes: int) -> set[tuple[int, int]]:
        sides = self.sides(nodes)
        return {
            (a + other, b + other)
            for one, two in (sides, sides[::-1])
            for a, b in self.side.edge_degrees(one)
            for other in self.side.degree_counts(two)
        }


@dataclass(frozen=True)
class Grid(_Rectangle):
    """A rectangle of rows and columns, every node joined to those beside, above and below it."""

    name: ClassVar[str] = "grid"
    side: ClassVar[Structured] = Path()


@dataclass(frozen=True)
class Torus(_Rectangle):
    """A grid whose opposite borders are joined: rings across and along."""

    name: ClassVar[str] = "torus"
    side: ClassVar[Structured] = Ring()


@dataclass(frozen=True)
class Hypercube(Structured):
    """Nodes whose binary numbers differ in one digit are joined; the number of nodes is a power of two."""

    name: ClassVar[str] = "hypercube"

    def check(self, nodes: int) -> None:
        super().check(nodes)
        if nodes & (nodes - 1):
            above = 1 << nodes.bit_length()
            raise InputError(f"hypercube: got {nodes} nodes, wanted a power of two; use {above // 2} or {above} nodes")

    def neighbors(self, node: int, nodes: int) -> tuple[int, ...]:
        return tuple(sorted(node ^ (1 << bit) for bit in range(self.diameter(nodes))))

    def degree_counts(self, nodes: int) -> dict[int, int]:
        return {self.diameter(nodes): nodes}

    def diameter(self, nodes: int) -> int:
        return nodes.bit_length() - 1

    def laplacian_ends(self, nodes: int) -> tuple[float, float]:
        return (2.0, 2.0 * self.diameter(nodes)) if nodes > 1 else (0.0, 0.0)


@dataclass(frozen=True)
class Exponential(Structured):
    """Node i is joined to i +- 1, 2, 4, 8 ... around the ring: the static exponential graph, undirected.

    Source of the directed form: arXiv 2110.13363.
    """

    name: ClassVar[str] = "exponential"

    def neighbors(self, node: int, nodes: int) -> tuple[int, ...]:
        return tuple(sorted((node + offset) % nodes for offset in _exponential_offsets(nodes)))

    def degree_counts(self, nodes: int) -> dict[int, int]:
        return {len(_exponential_offsets(nodes)): nodes}

    def diameter(self, nodes: int) -> int:
        """By a search from node 0: all nodes are alike."""
        offsets = np.array(_exponential_offsets(nodes), dtype=np.int64)
        seen = np.zeros(nodes, dtype=bool)
        seen[0] = True
        front: NDArray[np.int64] = np.zeros(1, dtype=np.int64)
        steps = -1
        while len(front):
            steps += 1
            fresh = np.zeros(nodes, dtype=bool)
            for offset in offsets:
                fresh[(front + offset) % nodes] = True
            fresh &= ~seen
            seen |= fresh
            front = np.flatnonzero(fresh)
        return steps

    def laplacian_ends(self, nodes: int) -> tuple[float, float]:
        """By the Fourier transform of the Laplacian's first row, which all others repeat, shifted."""
        offsets = list(_exponential_offsets(nodes))
        if not offsets:
            return 0.0, 0.0
        row = np.zeros(nodes)
        row[0] = len(offsets)
        row[offsets] = -1.0
        values = np.fft.rfft(row).real[1:]
        return float(values.min()), float(values.max())


@dataclass(frozen=True)
class Complete(Structured):
    """Every node is joined to every other."""

    name: ClassVar[str] = "complete"

    def neighbors(self, node: int, nodes: int) -> tuple[int, ...]:
        return (*range(node), *range(node + 1, nodes))

    def degree_counts(self, nodes: int) -> dict[int, int]:
        return {nodes - 1: nodes}

    def diameter(self, nodes: int) -> int:
        return min(nodes - 1, 1)

    def laplacian_ends(self, nodes: int) -> tuple[float, float]:
        return (float(nodes), float(nodes)) if nodes > 1 else (0.0, 0.0)


@dataclass(frozen=True)
class Star(Structured):
    """Node 0 is joined to every other node, and these to it alone."""

    name: ClassVar[str] = "star"

    def neighbors(self, node: int, nodes: int) -> tuple[int, ...]:
        return tuple(range(1, nodes)) if node == 0 else (0,)

    def degree_counts(self, nodes: int) -> dict[int, int]:
        return {nodes - 1: nodes} if nodes < 3 else {nodes - 1: 1, 1: nodes - 1}

    def diameter(self, nodes: int) -> int:
        return min(nodes - 1, 2)

    def laplacian_ends(self, nodes: int) -> tuple[float, float]:
        if nodes == 1:
            return 0.0, 0.0
        return (2.0 if nodes == 2 else 1.0), float(nodes)

    def edge_degrees(self, nodes: int) -> set[tuple[int, int]]:
        return {(1, nodes - 1)} if nodes > 1 else set()


@lru_cache(maxsize=16)
def _near_square(nodes: int) -> tuple[int, int]:
    rows = next(d for d in range(math.isqrt(nodes), 0, -1) if nodes % d == 0)
    return rows, nodes // rows


@lru_cache(maxsize=16)
def _exponential_offsets(nodes: int) -> tuple[int, ...]:
    powers = [1 << j for j in range((nodes - 1).bit_length())]
    return tuple(sorted({sign * power % nodes for power in powers for sign in (1, -1)} - {0}))

"""A graph from a text file of edges."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from mpidec.errors import InputError
from mpidec.graph.base import Adjacency, Drawn
from mpidec.options import Meta

_HEADER = re.compile(r"#\s*nodes\s+(\d+)\s*$")


@dataclass(frozen=True)
class EdgeList(Drawn):
    """A text file with an edge `i j` a line, nodes counted from 0; `#` begins a comment, `# nodes N` says how many."""

    name: ClassVar[str] = "edge_list"

    path: Annotated[str, Meta(description="the file; an edge may be listed twice, a self loop is an error")]

    def draw(self, nodes: int, seed: int) -> Adjacency:
        """The graph in the file; `seed` has no say.

        Raises InputError with file and line for anything but two different integers from 0 to nodes - 1, and for a file
        that cannot be read, is made for another number of nodes, or is disconnected.
        """
        self.check(nodes)
        try:
            with open(self.path, encoding="utf-8") as file:
                lines = file.read().splitlines()
        except OSError as error:
            raise InputError(f"edge list {self.path}: cannot be read: {error.strerror}; check path") from None
        except UnicodeDecodeError:
            raise InputError(f"edge list {self.path}: not a text file; wanted an edge 'i j' a line") from None
        edges = []
        for number, line in enumerate(lines, 1):
            if (header := _HEADER.match(line.strip())) and int(header[1]) != nodes:
                raise InputError(f"{self.path}:{number}: the file says {header[1]} nodes, got {nodes}; use {header[1]} nodes")
            if words := line.partition("#")[0].split():
                edges.append(self._edge(words, nodes, number))
        graph = Adjacency.from_edges(nodes, np.array(edges, dtype=np.int64))
        graph.require_connected(f"edge list {self.path}")
        return graph

    def _edge(self, words: list[str], nodes: int, number: int) -> tuple[int, int]:
        place = f"{self.path}:{number}"
        try:
            i, j = map(int, words)
        except ValueError:
            raise InputError(f"{place}: got {' '.join(words)!r}, wanted two integers 'i j'") from None
        if i == j:
            raise InputError(f"{place}: got the self loop {i} {j}; delete the line: a node always keeps a part of its own")
        if outside := [k for k in (i, j) if not 0 <= k < nodes]:
            raise InputError(
                f"{place}: got node {outside[0]} in a graph of {nodes} nodes, wanted 0 to {nodes - 1}; "
                + (f"use {outside[0] + 1} nodes or more, " if outside[0] >= 0 else "")
                + "or renumber: nodes are counted from 0"
            )
        return i, j

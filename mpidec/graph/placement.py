"""Which nodes of a graph share a host: groups of given sizes with few edges between them.

Greedy growth, then the best exchange of two nodes as long as one lowers the cut (the moves of Kernighan and Lin, 1970, one at a
time). networkx halves a graph and libraries such as METIS balance parts roughly; hosts have as many cores as they have.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mpidec.graph.base import Adjacency

Hosts = NDArray[np.int64]
"""The host of each node, (nodes,)."""


def plain(sizes: Sequence[int]) -> Hosts:
    """Nodes in order, as many on each host as it takes."""
    return np.repeat(np.arange(len(sizes)), sizes)


def cut(graph: Adjacency, hosts: Hosts) -> int:
    """Edges whose ends are on different hosts."""
    pairs = graph.edges()
    return int((hosts[pairs[:, 0]] != hosts[pairs[:, 1]]).sum())


def place(graph: Adjacency, sizes: Sequence[int]) -> Hosts:
    """Hosts of `sizes` nodes each, which add up to the graph's, with a cut never above that of `plain`; deterministic."""
    improved = [_exchanged(graph, start) for start in (plain(sizes), _grown(graph, sizes))]
    return min(improved, key=lambda hosts: cut(graph, hosts))


def _grown(graph: Adjacency, sizes: Sequence[int]) -> Hosts:
    """Each host takes, one after the other, the free node with most neighbors on it and then fewest free ones."""
    hosts = np.full(graph.nodes, -1)
    free = graph.degrees.astype(np.float64)
    for host, size in enumerate(sizes):
        inside = np.zeros(graph.nodes)
        for _ in range(size):
            wish = np.where(hosts < 0, inside - free / (graph.nodes + 1), -np.inf)
            node = int(wish.argmax())
            hosts[node] = host
            around = list(graph.neighbors(node))
            inside[around] += 1
            free[around] -= 1
    return hosts


def _exchanged(graph: Adjacency, hosts: Hosts) -> Hosts:
    """A partition in which no exchange of the two nodes that would gain most by it, of any two hosts, lowers the cut.

    Takes room for nodes x hosts numbers, not for all pairs of nodes.
    """
    hosts = hosts.copy()
    number = int(hosts.max()) + 1
    links = graph.matrix() @ np.eye(number)[hosts]  # neighbors of each node on each host
    members = [np.flatnonzero(hosts == host) for host in range(number)]
    while True:
        best, swap = 0.0, None
        wishes = links - links[np.arange(graph.nodes), hosts][:, None]
        picks = np.stack([own[wishes[own].argmax(axis=0)] for own in members])  # of host a, who most wants to be on b
        for a in range(number):
            for b in range(a):
                i, j = int(picks[a, b]), int(picks[b, a])
                # the edge between them, if there is one, stays cut
                gain = wishes[i, b] + wishes[j, a] - 2 * (j in graph.neighbors(i))
                if gain > best:
                    best, swap = gain, (i, j)
        if swap is None:
            return hosts
        i, j = swap
        for node, other in ((i, hosts[j]), (j, hosts[i])):
            around = list(graph.neighbors(node))
            links[around, hosts[node]] -= 1
            links[around, other] += 1
        hosts[i], hosts[j] = hosts[j], hosts[i]
        for host in (hosts[i], hosts[j]):
            members[host] = np.flatnonzero(hosts == host)

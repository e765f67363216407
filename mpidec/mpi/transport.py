"""Moving arrays along a graph's edges with MPI neighbor collectives."""

from __future__ import annotations

from typing import Any

import numpy as np
from mpi4py import MPI
from mpi4py.util.dtlib import from_numpy_dtype
from numpy.typing import NDArray

Array = NDArray[Any]


class GraphTransport:
    """A Transport over a distributed graph communicator. Collective: every rank of `comm` makes one at the same time.

    Uses persistent neighbor collectives where the library has them (MPI 4), the blocking call otherwise. One plan
    (request and receive buffer) is kept per send buffer. `close()` is collective and frees them.
    """

    def __init__(self, comm: MPI.Intracomm, sources: tuple[int, ...], destinations: tuple[int, ...]) -> None:
        self.rank = comm.rank
        self.sources = sources
        self.destinations = destinations
        # no reordering: ranks are nodes, and Open MPI's Neighbor_allgather hangs on a reordered graph (ompi#8939)
        self._graph = comm.Create_dist_graph_adjacent(
            sources,
            destinations,
            sourceweights=[1] * len(sources),
            destweights=[1] * len(destinations),
            reorder=False,
        )
        self._plans: dict[int, tuple[Array, Array, MPI.Prequest | None]] = {}
        self._persistent = True

    def exchange(self, x: Array) -> Array:
        """See Transport.exchange; `x` is contiguous."""
        plan = self._plans.get(id(x))
        if plan is None:
            # the plan holds x, so its id cannot come to mean another array
            plan = self._plans[id(x)] = self._plan(x)
        _, received, request = plan
        if request is not None:
            request.Start()
            request.Wait()
        else:
            self._graph.Neighbor_allgather(*self._arguments(x, received))
        return received

    def _plan(self, x: Array) -> tuple[Array, Array, MPI.Prequest | None]:
        received = np.empty((len(self.sources), *x.shape), x.dtype)
        if self._persistent:
            try:
                return x, received, self._graph.Neighbor_allgather_init(*self._arguments(x, received))
            except NotImplementedError:  # an MPI before version 4; the same on every rank
                self._persistent = False
        return x, received, None

    @staticmethod
    def _arguments(x: Array, received: Array) -> tuple[list[Any], list[Any]]:
        # explicit counts: mpi4py's implicit ones hang at a node with no neighbors in Open MPI (ompi#14452)
        kind = from_numpy_dtype(x.dtype)
        return [x, x.size, kind], [received, x.size, kind]

    def close(self) -> None:
        """Free plans and the communicator. Collective."""
        for _, _, request in self._plans.values():
            if request is not None:
                request.Free()
        self._plans.clear()
        self._graph.Free()


class MPIReducer:
    """A Reducer by MPI_Allreduce."""

    def __init__(self, comm: MPI.Intracomm) -> None:
        self._comm = comm
        self.size = comm.size

    def sum(self, x: Array) -> Array:
        """The sum of `x` over all ranks."""
        result = np.empty_like(x)
        self._comm.Allreduce(x, result, op=MPI.SUM)
        return result

"""The world of ranks: set-up, agreement on errors, metrics. Outside the clock, on a communicator and an account of its own."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from time import sleep
from typing import Any, TypeVar

import numpy as np
import threadpoolctl
from mpi4py import MPI
from numpy.typing import NDArray

from mpidec.errors import AgreedError, InputError
from mpidec.ledger import Ledger
from mpidec.mpi.launcher import host_name
from mpidec.mpi.transport import GraphTransport, MPIReducer

_NAPS = (5e-5, 2e-3)  # seconds between the first two looks, and between later ones

_HEAD_START = 0.1

_AT_ONCE = 1 << 24  # bytes of all ranks together that rank 0 takes at once

T = TypeVar("T")
Array = NDArray[Any]


def _first_message_may_be_early() -> bool:
    """Whether a message on COMM_WORLD to a rank that is still in MPI_Init can end that rank (ompi#12495, open in 5.0.11)."""
    return MPI.COMM_WORLD.size > 1 and MPI.Get_library_version().startswith("Open MPI v5.0")


class World:
    """All ranks of a communicator, each one a node. Making and closing it is collective.

    `ledger` is where the world's own traffic is booked, as collectives; whoever runs a method puts its ledger there.
    BLAS is held to one thread a rank unless OMP_NUM_THREADS says otherwise: ranks, not threads, fill the cores.
    """

    def __init__(self, comm: MPI.Intracomm | None = None) -> None:
        if comm is None:
            comm = MPI.COMM_WORLD
            if _first_message_may_be_early():
                sleep(_HEAD_START)
        self._comm = comm.Dup()
        self.rank = self._comm.rank
        self.size = self._comm.size
        self.local_ranks = self._ranks_on_this_host()
        self.new_books()
        self._closing: list[Callable[[], None]] = []
        threads = os.environ.get("OMP_NUM_THREADS", "1").partition(",")[0]
        threadpoolctl.threadpool_limits(int(threads) if threads.isdigit() else 1, user_api="blas")

    def __enter__(self) -> World:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # after an exception on this rank alone the others would never join in a collective close
        if kind is None:
            self.close()

    def _ranks_on_this_host(self) -> frozenset[int]:
        # by name: Open MPI's Split_type takes ranks that srun put on one host for ranks of several
        own = np.frombuffer(blake2b(host_name().encode(), digest_size=8).digest(), np.int64)
        all_of_them = np.empty(self.size, np.int64)
        self._comm.Allgather(own, all_of_them)
        return frozenset(np.flatnonzero(all_of_them == own[0]).tolist())

    def new_books(self) -> None:
        """Begin a new ledger, as for another run."""
        self.ledger = Ledger(self.local_ranks)

    # -- agreement ------------------------------------------------------------------------------------------------

    def together(self, work: Callable[[], T]) -> T:
        """Do `work` on every rank; if it raises InputError, OSError or MemoryError on any, raise AgreedError on all.

        Other exceptions are faults of the program and end the job with their traceback.
        """
        result, text = None, ""
        try:
            result = work()
        except (InputError, OSError, MemoryError) as error:
            text = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        self.gather_patiently()
        first = self._comm.allreduce(self.rank if text else self.size, op=MPI.MIN)
        if first < self.size:
            raise AgreedError(self._comm.bcast(text, root=first))
        return result  # type: ignore[return-value]

    def first(self, work: Callable[[], T]) -> T:
        """Do `work` on rank 0 alone and give its result to all; errors as in `together`."""
        return self.share(self.together(lambda: work() if self.rank == 0 else None))  # type: ignore[return-value]

    def share(self, value: T) -> T:
        """Rank 0's value, at every rank."""
        data = pickle.dumps(value) if self.rank == 0 else b""
        data = self._comm.bcast(data)
        others = self.size - 1
        if self.rank == 0:
            self.ledger.count_collective(others, others * len(data), 0, 0)
            return value
        self.ledger.count_collective(0, 0, 1, len(data))
        return pickle.loads(data)  # type: ignore[no-any-return]

    def deal(self, values: Sequence[T] | None) -> T:
        """The rank's own of rank 0's `values`, one a rank."""
        parts = None
        if self.rank == 0:
            assert values is not None
            parts = [pickle.dumps(v) for v in values]
            self.ledger.count_collective(self.size - 1, sum(len(p) for p in parts[1:]), 0, 0)
        part = self._comm.scatter(parts)
        if self.rank != 0:
            self.ledger.count_collective(0, 0, 1, len(part))
        return pickle.loads(part)  # type: ignore[no-any-return]

    def stream(self, *values: tuple[Any, Callable[[int, Any], None]]) -> None:
        """For each of this rank's (value, take) hand all ranks' values to `take(rank, value)` at rank 0, in order.

        Values that are few bytes on all ranks together go at once: where ranks share a core, an answer from one takes as long
        as a gather from all. Others go one at a time, so that rank 0 never holds more of them than its own and one other:
        those of the whole network may not fit on it.
        """
        most = np.array([_nbytes(value) for value, _ in values])
        self._comm.Allreduce(MPI.IN_PLACE, most, op=MPI.MAX)
        start = 0
        while start < len(values):
            if start:
                self._comm.Barrier()  # others would send the next ones while rank 0 is still busy with the last
            many = int(np.searchsorted(np.cumsum(most[start:]) * self.size, _AT_ONCE, side="right"))
            if many:
                self._stream_at_once(values[start : start + many])
            else:
                self._stream_one_by_one(*values[start])
            start += max(many, 1)

    def _stream_at_once(self, values: Sequence[tuple[Any, Callable[[int, Any], None]]]) -> None:
        if self.rank != 0:
            own = [pickle.dumps(value) for value, _ in values]
            self._comm.gather(own)
            for data in own:
                self.ledger.count_collective(1, len(data), 0, 0)
            return
        parts: Any = self._comm.gather(None)
        for i, (value, take) in enumerate(values):
            take(0, value)
            for rank in range(1, self.size):
                self.ledger.count_collective(0, 0, 1, len(parts[rank][i]))
                take(rank, pickle.loads(parts[rank][i]))

    def _stream_one_by_one(self, value: Any, take: Callable[[int, Any], None]) -> None:
        if self.rank != 0:
            self._comm.recv(source=0)  # a ticket, so that messages do not pile up at rank 0
            data = pickle.dumps(value)
            self._comm.send(data, dest=0)
            self.ledger.count_collective(1, len(data), 0, 0)
            return
        take(0, value)
        for rank in range(1, self.size):
            self._comm.send(None, dest=rank)
            data = self._comm.recv(source=rank)
            self.ledger.count_collective(0, 0, 1, len(data))
            take(rank, pickle.loads(data))

    # -- metrics --------------------------------------------------------------------------------------------------

    def total(self, x: Array | float) -> Array:
        """The sum of an array over all ranks, at every rank."""
        return self._reduce(x, MPI.SUM)

    def maximum(self, x: Array | float) -> Array:
        """The element-wise largest over all ranks, at every rank; what is not a number counts as infinite."""
        x = np.asarray(x, dtype=np.float64)
        return self._reduce(np.where(np.isnan(x), np.inf, x), MPI.MAX)

    def _reduce(self, x: Array | float, op: MPI.Op) -> Array:
        x = np.asarray(x, dtype=np.float64, order="C")
        result = np.empty_like(x)
        self._comm.Allreduce(x, result, op=op)
        if self.size > 1:
            self.ledger.count_collective(1, x.nbytes, 1, x.nbytes)
        return result

    def gather_patiently(self) -> None:
        """Wait for all ranks asleep, where one of them may have long work of its own.

        A rank that waits inside MPI spins, yielding or not: 19 of them leave rank 0 a fraction of a core for its work.
        """
        arrival = self._comm.Ibarrier()
        nap, longest = _NAPS
        while not arrival.Test():
            sleep(nap)
            nap = min(2 * nap, longest)

    def barrier(self) -> None:
        """Wait for all ranks."""
        self._comm.Barrier()

    # -- what methods talk over -----------------------------------------------------------------------------------

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Close what is made inside on leaving, collectively; not after an exception, which others may not share.

        MPI libraries have some 2,000 communicators, and what is left open goes only with the world.
        """
        before = len(self._closing)
        yield
        self._close_to(before)

    def transport(self, sources: Sequence[int], destinations: Sequence[int]) -> GraphTransport:
        """A transport on a graph of which this rank gives its own neighbors. Collective; closed with its scope."""
        transport = GraphTransport(self._comm, tuple(sources), tuple(destinations))
        self._closing.append(transport.close)
        return transport

    def reducer(self) -> MPIReducer:
        """Sums over all ranks on a communicator of its own. Collective; closed with its scope."""
        comm = self._comm.Dup()
        self._closing.append(comm.Free)
        return MPIReducer(comm)

    # -- about the world ------------------------------------------------------------------------------------------

    def hosts(self) -> dict[str, list[int]] | None:
        """The ranks on each host, at rank 0; None elsewhere."""
        found: dict[str, list[int]] = {}
        self.stream((host_name(), lambda rank, name: found.setdefault(name, []).append(rank)))
        return found if self.rank == 0 else None

    @staticmethod
    def library() -> str:
        """The MPI library's own words on its version, first line."""
        return MPI.Get_library_version().rstrip("\0 \n").splitlines()[0]

    def abort(self, status: int) -> None:
        """End the whole job at once."""
        sys.stdout.flush()
        sys.stderr.flush()
        self._comm.Abort(status)

    def close(self) -> None:
        """Free all communicators. Collective."""
        self.gather_patiently()
        self._close_to(0)
        self._comm.Free()

    def _close_to(self, number: int) -> None:
        while len(self._closing) > number:
            self._closing.pop()()


def _nbytes(value: Any) -> int:
    """About what it takes as a message; of an array, which may be most of what a rank holds, without a copy."""
    return value.nbytes if isinstance(value, np.ndarray) else len(value if isinstance(value, str) else pickle.dumps(value))

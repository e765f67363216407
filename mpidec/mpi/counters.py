"""What the MPI library itself counted: Open MPI's per-peer monitoring, read through MPI_T. mpi4py has no MPI_T."""

from __future__ import annotations

import ctypes as c
from functools import cache
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

Array = NDArray[Any]
_NAMES = ("pml_monitoring_messages_count", "pml_monitoring_messages_size")


class LibraryCounters:
    """Messages and bytes this rank sent to each rank of COMM_WORLD, as counted by Open MPI's pml monitoring.

    The library must have been started with `pml_monitoring_enable 1` (and no `pml ob1`, which switches it off).
    Raises RuntimeError where it has no such counters.
    """

    def __init__(self) -> None:
        self._mpi = _loaded_library()
        provided = c.c_int()
        self._call("MPI_T_init_thread", MPI.Query_thread(), c.byref(provided))
        self._session = c.c_void_p()
        self._call("MPI_T_pvar_session_create", c.byref(self._session))
        # counters bind to a communicator; the handle is kept alive here
        self._comm = c.c_void_p.from_address(MPI._addressof(MPI.COMM_WORLD))
        indices = self._indices()
        if len(indices) < len(_NAMES):
            raise RuntimeError(
                "this MPI library was started without byte monitoring; use Open MPI with pml_monitoring_enable 1, "
                "as `mpidec run --library-bytes` does"
            )
        self._handles = [self._handle(*indices[name]) for name in _NAMES]

    def read(self) -> tuple[Array, Array]:
        """Messages and bytes sent so far to each rank, each int64 (L,)."""
        values = []
        for handle, size in self._handles:
            buffer = np.zeros(size, np.uint64)
            self._call("MPI_T_pvar_read", self._session, handle, buffer.ctypes.data_as(c.c_void_p))
            values.append(buffer.astype(np.int64))
        return values[0], values[1]

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._mpi, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} failed with status {status}")

    def _indices(self) -> dict[str, tuple[int, bool]]:
        """Index and continuity of each wanted variable."""
        count = c.c_int()
        self._call("MPI_T_pvar_get_num", c.byref(count))
        found = {}
        for index in range(count.value):
            name, text = c.create_string_buffer(256), c.create_string_buffer(1024)
            name_length, text_length = c.c_int(256), c.c_int(1024)
            verbosity, kind, bind, readonly, continuous, atomic = (c.c_int() for _ in range(6))
            datatype, enum = c.c_void_p(), c.c_void_p()
            status = self._mpi.MPI_T_pvar_get_info(
                index,
                name,
                c.byref(name_length),
                c.byref(verbosity),
                c.byref(kind),
                c.byref(datatype),
                c.byref(enum),
                text,
                c.byref(text_length),
                c.byref(bind),
                c.byref(readonly),
                c.byref(continuous),
                c.byref(atomic),
            )
            if status == 0 and name.value.decode() in _NAMES:
                found[name.value.decode()] = (index, bool(continuous.value))
        return found

    def _handle(self, index: int, continuous: bool) -> tuple[c.c_void_p, int]:
        handle, count = c.c_void_p(), c.c_int()
        self._call("MPI_T_pvar_handle_alloc", self._session, index, c.byref(self._comm), c.byref(handle), c.byref(count))
        if not continuous:
            self._call("MPI_T_pvar_start", self._session, handle)
        return handle, count.value


@cache
def library_counters() -> LibraryCounters:
    """The counters of this process: one MPI_T session serves all methods."""
    return LibraryCounters()


def _loaded_library() -> c.CDLL:
    """The MPI library that mpi4py loaded, whether or not its symbols are global."""
    with open("/proc/self/maps") as maps:
        # the sixth field is the path, blanks and all
        paths = [line.split(None, 5)[5].rstrip("\n") for line in maps if "/libmpi.so" in line]
    return c.CDLL(paths[0] if paths else None)

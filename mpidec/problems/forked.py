"""Processes that share the memory of a large library: on each host one loads it, and forks one for each rank that asks.

A process that imports PyTorch 2.13 holds 131 MB of its own for it, whatever it goes on to compute: 64 ranks on a host hold
8 GB. A fork shares its parent's pages until it writes to them, which it does to about 15 MB. So the ranks of a host find one
another by a token, the first of them starts a process that loads the library, and each rank has a fork of that one compute for
it, which waits while the rank does something else. Arrays lie in memory that a rank and its fork both map; what goes to and
fro between them is a few bytes that say what to compute, and that it is done.

Nothing is left behind: a fork ends when its rank closes its socket, as the end of the rank does, and the parent when the rank
that started it ends, and all its forks. They ignore SIGINT and SIGTERM, which ranks answer in their own order.

`python -m mpidec.problems.forked MODULE` is the parent, with a socket that listens as its standard input. MODULE has
`load()`, which imports the library, and `begin(memory, threads)`, which makes the function of what is to be computed.
"""

from __future__ import annotations

import atexit
import errno
import functools
import gc
import hashlib
import importlib
import mmap
import os
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mpidec.errors import InputError

Work = Callable[[int, int], None]
"""Computes what has a number, for so many samples, from and into the shared memory."""

_HELLO = struct.Struct("=QI")  # bytes of the shared memory, threads
_ASK = struct.Struct("=II")  # what to compute, for how many samples
_DONE = b"+"
_WAITING = 4096  # ranks that may ask while the library is being loaded; the kernel allows no more
_PATIENCE = 30.0  # seconds from the bind of a socket to its listening, which is the next call of another rank
_LINGERING = 5.0  # seconds that other ranks of the host may take to end

_parents: list[tuple[subprocess.Popen[bytes], int]] = []
"""Those that this process started, each with the end of a pipe that it watches: closed by the kernel, however this one ends."""

_asking: weakref.WeakSet[Forked] = weakref.WeakSet()
"""All that this process has."""


@functools.cache
def token() -> str:
    """By which ranks that are told of it find one another; the same all the life of a process."""
    return secrets.token_hex(16)


class Forked:
    """A fork of the process of this host that has loaded MODULE's library, and the `memory` that it shares with this one.

    Raises InputError where the library cannot be imported, with the reason, RuntimeError where the fork has ended.
    """

    def __init__(self, module: str, nbytes: int, token: str, threads: int) -> None:
        self._module = module
        self._socket = _connect(module, token)
        weakref.finalize(self, self._socket.close)
        _asking.add(self)
        file = os.memfd_create("mpidec") if hasattr(os, "memfd_create") else _unnamed_file()
        try:
            os.ftruncate(file, nbytes)
            self.memory = mmap.mmap(file, nbytes)
            with self._telling_of_its_end():
                socket.send_fds(self._socket, [_HELLO.pack(nbytes, threads)], [file])
                answer = self._socket.recv(1)
                while answer not in (_DONE, b"") and (more := self._socket.recv(1 << 12)):
                    answer += more
        finally:
            os.close(file)
        if answer != _DONE:
            raise InputError(answer.decode()) if answer else self._ended()

    def compute(self, what: int, samples: int) -> None:
        """Have it compute. Raises RuntimeError where the fork has ended, as when memory ran out."""
        with self._telling_of_its_end():
            self._socket.sendall(_ASK.pack(what, samples))
            if not self._socket.recv(1):
                raise self._ended()

    def close(self) -> None:
        """Have it end."""
        self._socket.close()

    @contextmanager
    def _telling_of_its_end(self) -> Iterator[None]:
        try:
            yield
        except ConnectionError:
            raise self._ended() from None

    def _ended(self) -> RuntimeError:
        return RuntimeError(f"the process that computes for {self._module} has ended; was it killed, for want of memory?")


def _unnamed_file() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _connect(module: str, token: str) -> socket.socket:
    """A connection to the process of this host; starts it, if this is the first rank to ask."""
    # a name that no file has, and that goes with the socket, where the system has such names; else a short one
    name = "mpidec-" + hashlib.sha256(f"{module} {token}".encode()).hexdigest()[:16]
    address = f"\0{name}" if sys.platform == "linux" else os.path.join(tempfile.gettempdir(), name)
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return _connected(address)
        except (ConnectionRefusedError, FileNotFoundError):
            if not _start(module, address):
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)


def _connected(address: str) -> socket.socket:
    own = socket.socket(socket.AF_UNIX)
    try:
        own.connect(address)
        if _user(own) != os.getuid():
            raise RuntimeError(f"another user has taken the name {address!r}")
    except BaseException:
        own.close()
        raise
    return own


def _start(module: str, address: str) -> bool:
    """Start the parent with a socket of that name; False where another rank has one."""
    with socket.socket(socket.AF_UNIX) as listening:
        try:
            listening.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
        listening.listen(_WAITING)
        watched, own = os.pipe()
        try:
            # its output would keep a launcher waiting that reads the ranks' until all have closed it
            command = [sys.executable, "-P", "-m", __name__, module, str(watched)]
            parent = subprocess.Popen(command, stdin=listening.fileno(), stdout=subprocess.DEVNULL, pass_fds=[watched])
        finally:
            os.close(watched)
        _parents.append((parent, own))
        if len(_parents) == 1:
            atexit.register(_end)
    return True


def _end() -> None:
    """End what this process has, and wait for the parents that it started: a container may have nobody else who does."""
    for forked in list(_asking):
        forked.close()
    for parent, own in _parents:
        os.close(own)
        with suppress(subprocess.TimeoutExpired):  # of a rank that goes on alone
            parent.wait(_LINGERING)


def _user(connection: socket.socket) -> int:
    return _peer(connection)[1] if hasattr(socket, "SO_PEERCRED") else os.getuid()


def _peer(connection: socket.socket) -> tuple[int, int, int]:
    """The numbers of the process at the other end, of its user and group."""
    found: tuple[int, int, int] = struct.unpack("=3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return found


# -- the parent and its forks -----------------------------------------------------------------------------------------


def main(module: str, watched: int) -> None:
    """Load the library, then fork for each that connects, until the other end of the pipe `watched` is closed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    listening = socket.socket(fileno=os.dup(0))
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)  # forks do not listen: who asks once the parent has gone is to start another
    found: Any = importlib.import_module(module)
    lacking = b""
    try:
        found.load()
    except Exception as error:
        # a library may be there and broken in many ways
        lacking = (str(error) if isinstance(error, InputError) else f"{module}: {type(error).__name__}: {error}").encode()
    gc.collect()
    gc.freeze()  # a collection would write to all objects, and so copy the pages that they are in
    while watched not in select.select([listening.fileno(), watched], [], [])[0]:
        connection, _ = listening.accept()
        if _user(connection) != os.getuid():
            connection.close()
        elif lacking:
            connection.recv(_HELLO.size)
            connection.sendall(lacking)
            connection.close()
        elif os.fork():
            connection.close()
        else:
            listening.close()
            os.close(watched)
            try:
                _serve(connection, found.begin)
            except (ConnectionError, ProcessLookupError):
                os._exit(0)  # the rank has gone
            except BaseException:
                sys.excepthook(*sys.exc_info())
                sys.stderr.flush()
                os._exit(1)
            os._exit(0)
    if (address := listening.getsockname()) and isinstance(address, str):
        Path(address).unlink(missing_ok=True)
    listening.close()
    with suppress(ChildProcessError):
        os.wait()  # with SIGCHLD ignored, for the last of them


def _serve(connection: socket.socket, begin: Callable[[mmap.mmap, int], Work]) -> None:
    """Compute what a rank asks for until it has gone."""
    message, files, _, _ = socket.recv_fds(connection, _HELLO.size, 1)
    if not files:
        return  # it went before it said anything
    nbytes, threads = _HELLO.unpack(message)
    memory = mmap.mmap(files[0], nbytes)
    os.close(files[0])
    if hasattr(os, "sched_setaffinity") and (rank := _peer(connection)[0]):
        os.sched_setaffinity(0, os.sched_getaffinity(rank))  # the parent's are those of another rank
    work = begin(memory, threads)
    connection.sendall(_DONE)
    while asked := connection.recv(_ASK.size, socket.MSG_WAITALL):
        work(*_ASK.unpack(asked))
        connection.sendall(_DONE)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

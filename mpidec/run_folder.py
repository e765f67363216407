"""The run folder itself: making it, holding it against other runs, and replacing a file in it whole."""

from __future__ import annotations

import fcntl
import os
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import IO

from mpidec.errors import InputError

FORMAT = 1
"""Of the run folder, in run.json: goes up when files or columns change so that what reads them must know."""

CHECKED = "mpidec: note: the same ranks make "
"""Begins the line that tells how many runs were looked at together and found good, before ranks start for them."""

NEXT = "mpidec: note: next "
"""What rank 0 says on standard error, followed by the folder, before a further run of the same ranks."""

SETTINGS = "experiment.toml"
"""The file of a run folder that is written first, never replaced, and locked."""

SET_UP = "(set-up)"
"""What ledger.csv calls the traffic before the first method."""

LEDGER_COLUMNS = (
    "method",
    "account",
    "rank",
    "neighbor",
    "messages",
    "bytes",
    "received_messages",
    "received_bytes",
    "same_host",
    "basis",
    "library_messages",
    "library_bytes",
)


# the ranks of a run that was killed take a moment to go
_TRIES, _PAUSE = 100, 0.02


def now() -> str:
    """The time of day, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def default_folder(name: str) -> Path:
    """`runs/NAME-DATE-TIME` under the current folder."""
    return Path("runs") / f"{name}-{datetime.now().strftime('%Y%m%d-%H%M%S')}"


def check_new(folder: Path) -> None:
    """Raise InputError where something of this name is there, or a folder could not be."""
    try:
        str(folder).encode()
        folder.lstat()
    except FileNotFoundError:
        return
    except UnicodeEncodeError:
        raise InputError(f"the output folder {str(folder)!a} is not UTF-8: give another --out") from None
    except OSError as error:
        raise InputError(f"cannot make the output folder {folder}: {error.strerror}; give another --out") from None
    raise InputError(f"the output folder {folder} exists and is never overwritten: give another --out")


def replace(path: Path, data: bytes) -> None:
    """Put a new content in place whole: by renaming a finished copy, or, on a full disk, into the blocks that it has.

    Raises OSError where neither goes; the former content stays.
    """
    temporary = path.with_name(path.name + ".partial")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        if not path.exists():
            raise
        with path.open("r+b", buffering=0) as file:
            before = file.read()
            try:
                write_all(file, 0, data)
            except OSError:
                write_all(file, 0, before)
                raise


def lock(file: IO[bytes], kind: int) -> bool:
    """Take flock(2) on an open file, `fcntl.LOCK_EX` or `LOCK_SH`; False while another process has it.

    Raises InputError where the file system has no locks.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise InputError(f"cannot lock {file.name}: {error.strerror}; give --out on a file system that has locks") from None
    return True


def hold(folder: Path, must: bool) -> IO[bytes]:
    """experiment.toml of a run folder, locked until this process ends, however it ends.

    Whoever writes into a run folder holds it: a lock that a killed run left behind there is none. Between hosts it takes a
    file system that carries flock from one to the other, as NFS and Lustre mounted with `flock` do. Raises InputError
    where another run holds it or it cannot be written, and, if it `must` be held, where there are no locks.
    """
    try:
        file = (folder / SETTINGS).open("a+b", buffering=0)
    except OSError as error:
        raise InputError(f"cannot write into {folder}: {error.strerror}; give another --out") from None
    for _ in range(_TRIES):
        try:
            if lock(file, fcntl.LOCK_EX):
                return file
        except InputError:
            if must:
                raise
            return file
        time.sleep(_PAUSE)
    raise InputError(f"another run is writing into {folder}: wait until it has ended, or give another --out")


def make(folder: Path) -> Path:
    """A new folder. Raises InputError where it is there or cannot be made."""
    check_new(folder)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"cannot make the output folder {folder}: {error.strerror}; give another --out") from None
    return folder


def make_next(folder: Path) -> Path:
    """A folder of this name or the next: runs that start in the same second each get their own."""
    for i in count(1):
        numbered = folder if i == 1 else folder.with_name(f"{folder.name}-{i}")
        try:
            numbered.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise InputError(f"cannot make the output folder {numbered}: {error.strerror}; give --out") from None
        return numbered
    raise AssertionError  # a count has no end


def write_all(file: IO[bytes], start: int, data: bytes) -> None:
    """Write from `start` on and end the file there; raises OSError with a part written."""
    file.seek(start)
    while data:
        data = data[file.write(data) :]
    file.truncate()

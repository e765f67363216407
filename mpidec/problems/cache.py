"""Arrays kept on disk from one run to the next and mapped into memory, so that the ranks of a host share one copy."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

_READ_BYTES = 1 << 20


def cache_folder(data: Path | None) -> Path:
    """`mpidec-cache` beside the data, or where that is not writable or is the system's, mpidec under $XDG_CACHE_HOME.

    What lies under /usr belongs to the system's packages, which would not know the files.
    """
    if data is not None and os.access(data, os.W_OK) and not data.resolve().is_relative_to("/usr"):
        return data / "mpidec-cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mpidec"


def checksum(files: Sequence[Path]) -> str:
    """Of the files' names and contents, 32 hexadecimal digits. Raises OSError for what cannot be read."""
    total = hashlib.blake2b(digest_size=16)
    for path in files:
        total.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while part := file.read(_READ_BYTES):
                total.update(part)
    return total.hexdigest()


def keep(folder: Path, key: str, names: Sequence[str], make: Callable[[], Arrays]) -> Arrays:
    """The arrays `names`, mapped read-only from the files `key`.NAME.npy in `folder`; made, and written, where one is missing.

    A file is put in place whole, by renaming, so that several ranks may make it at once. Where nothing can be written, the
    arrays are what `make` gives.
    """
    paths = {name: folder / f"{key}.{name}.npy" for name in names}
    found = {name: _mapped(path) for name, path in paths.items()}
    kept = {name: array for name, array in found.items() if array is not None}
    if len(kept) == len(names):
        return kept
    made = make()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, path in paths.items():
            partial = ""
            try:
                with tempfile.NamedTemporaryFile(dir=folder, prefix=f"{path.name}.", suffix=".partial", delete=False) as file:
                    partial = file.name
                    np.save(file, made[name])  # through Python: into a plain file NumPy may fail to write without a word
                os.chmod(partial, 0o644)
                os.replace(partial, path)
            except BaseException:  # a disk that is full is not to stay so
                if partial:
                    os.unlink(partial)
                raise
    except OSError:
        return made
    return {name: array if (array := _mapped(path)) is not None else made[name] for name, path in paths.items()}


def _mapped(path: Path) -> NDArray[Any] | None:
    """None where there is no such file, or what is there is no whole .npy file."""
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError):
        return None

"""Tasks from .npy files, mapped into memory: a rank touches its own tasks only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError
from mpidec.options import Meta
from mpidec.problems.base import Array, check_sizes
from mpidec.problems.multitask import MultitaskRegression, stand_in
from mpidec.problems.partition import Partitioned

_LOOK_BYTES = 1 << 20
"""How much of a file is looked through for NaN at a time."""


@dataclass(frozen=True, kw_only=True)
class Files(Partitioned):
    """X.npy (T, n, d) and y.npy (T, n) of a folder, and U_true.npy (d, r) where the subspace is known.

    Any real or integer type; float64 in C order is used where it lies, anything else is converted for own tasks.
    """

    path: Annotated[str, Meta(description="folder of X.npy, y.npy and perhaps U_true.npy")]
    rank: Annotated[int, Meta(ge=1, description="dimension of the shared subspace")]
    isotropic: Annotated[bool, Meta(description="features are standard normal, so singular values give the step size")] = False

    def check(self, nodes: int) -> None:
        """Look at the headers; raises InputError naming the file for what is missing, truncated or misshapen."""
        tasks, samples, d = self._sizes()
        self.own_tasks(tasks, nodes, 0)
        check_sizes(d, tasks, self.rank, samples)
        self._truth_map(d)

    def share_nbytes(self, nodes: int) -> int:
        """See `ProblemSpec.share_nbytes`; reads headers."""
        tasks, samples, d = self._sizes()
        return 8 * len(self.own_tasks(tasks, nodes, 0)) * samples * (d + 1)

    def load(self, node: int, nodes: int, seed: int, public: Any) -> MultitaskRegression:
        """Map the files and look through the node's own tasks; raises InputError for NaN and Inf, naming the task."""
        self.check(nodes)
        tasks, _, d = self._sizes()
        own = self.own_tasks(tasks, nodes, node)
        X, y = self._own("X.npy", own), self._own("y.npy", own)
        return MultitaskRegression(X, y, rank=self.rank, total_tasks=tasks, truth=self._truth(d), isotropic=self.isotropic)

    def rehearsal(self) -> MultitaskRegression:
        """See `ProblemSpec.rehearsal`; reads headers."""
        _, samples, d = self._sizes()
        known = self._truth_map(d) is not None
        return stand_in(d, samples, self.rank, truth=known, isotropic=self.isotropic)

    def _sizes(self) -> tuple[int, int, int]:
        """(T, n, d)."""
        folder = Path(self.path)
        X, y = map_array(folder / "X.npy", 3, "(tasks, samples, features)"), map_array(folder / "y.npy", 2, "(tasks, samples)")
        if y.shape != X.shape[:2]:
            raise InputError(
                f"{folder / 'y.npy'}: shape {y.shape} does not match X.npy of shape {X.shape}; wanted {X.shape[:2]}"
            )
        return X.shape

    def _own(self, name: str, own: range) -> Array:
        path = Path(self.path) / name
        mapped = map_array(path, 3 if name == "X.npy" else 2, "")
        part: Array = np.require(mapped[own.start : own.stop], np.float64, ["C", "A"])
        step = max(1, _LOOK_BYTES // part[0].nbytes)
        for i in range(0, len(own), step):
            sound = np.isfinite(part[i : i + step])
            if not sound.all():
                task, *place = (int(k) for k in np.argwhere(~sound)[0])
                raise InputError(
                    f"{path}: task {own[i + task]} holds {part[(i + task, *place)]} at {tuple(place)}, counted from 0; "
                    "every number must be finite: mend or leave out that task"
                )
        return part

    def _truth_map(self, d: int) -> NDArray[Any] | None:
        path = Path(self.path) / "U_true.npy"
        if not path.exists():
            return None
        mapped = map_array(path, 2, f"({d}, {self.rank})")
        if mapped.shape != (d, self.rank):
            raise InputError(f"{path}: shape {mapped.shape}, wanted (features, rank) = ({d}, {self.rank})")
        return mapped

    def _truth(self, d: int) -> Array | None:
        mapped = self._truth_map(d)
        if mapped is None:
            return None
        path = Path(self.path) / "U_true.npy"
        U = np.asarray(mapped, np.float64)
        if not np.isfinite(U).all():
            raise InputError(f"{path}: holds NaN or Inf; every number must be finite")
        values = np.linalg.svd(U, compute_uv=False)
        if values[-1] <= 1e-10 * values[0]:
            raise InputError(
                f"{path}: its {self.rank} columns span fewer than {self.rank} dimensions "
                f"(singular values {values[0]:.2g} to {values[-1]:.2g}); give a basis of the true subspace"
            )
        return np.linalg.qr(U)[0]


def map_array(path: Path, ndim: int, wanted: str) -> NDArray[Any]:
    """The array of a .npy file, mapped read-only, after its header and the file's length have been looked at."""
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is no file of its own (a pipe or a folder cannot be mapped); write it with numpy.save")
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            offset = file.tell()
        length = path.stat().st_size
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror or error}; `path` names the folder of X.npy and y.npy"
        ) from None
    except (ValueError, SyntaxError, TokenError) as error:
        raise InputError(f"{path}: not a .npy file, or its header is damaged ({error}); write it with numpy.save") from None
    if dtype.hasobject or dtype.kind not in "fiub":
        raise InputError(f"{path}: type {dtype}, wanted real numbers; convert it, to float64 at best")
    if len(shape) != ndim or min(shape) < 1:
        raise InputError(f"{path}: shape {shape}, wanted {ndim} dimensions {wanted}, none of them 0")
    promised = offset + math.prod(shape) * dtype.itemsize
    if length < promised:
        raise InputError(f"{path}: truncated: {length} bytes, its header promises {promised}; copy or write it again")
    return np.asarray(np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C"))

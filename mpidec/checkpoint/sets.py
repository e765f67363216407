"""Sets of parts on the disk: a folder with a part a rank, and beside it a manifest whose renaming makes the set complete.

    RUN/checkpoints/000004-step1200-5a2c9f31/rank3.part      or FOLDER/RUN'S ID/000004-step1200-5a2c9f31/rank3.part
    RUN/checkpoints/000004-step1200-5a2c9f31.json

Parts are on the disk before the manifest is, and parts of an older set go after the newer one's manifest is there. A kill
at any instant therefore leaves the newest complete set. A part that is in a set by mistake carries another set's name.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from mpidec.checkpoint.part import Snapshot, read_part, sync_folder, write_part
from mpidec.errors import InputError

FOLDER = "checkpoints"
"""In the run folder: the manifests, and the parts unless they have a folder of their own."""


@dataclass(frozen=True)
class Manifest:
    """What makes a set complete: its name, the method and the step it is of, how many parts it has, and where.

    `place` is the folder of the parts' folder, on each rank's host; empty for that of the manifest.
    """

    name: str
    method: str
    step: int
    ranks: int
    place: str

    @property
    def serial(self) -> int:
        """Its place in the order in which sets were written."""
        return _serial(self.name)


class Sets:
    """One rank's hold on the sets of a run folder `home`. Nothing here is collective; rank 0 alone has to do with manifests.

    `place` is a folder of the user's for parts, in which those of the run `run_id` have one of their own.
    """

    def __init__(self, home: Path, rank: int, ranks: int, place: str | None = None, run_id: str = "") -> None:
        self._manifests = home.absolute() / FOLDER
        self._place = "" if place is None else str(Path(place).absolute() / run_id)
        self._rank, self._ranks = rank, ranks

    def prepare(self) -> None:
        """Make the folders and try whether this rank can write there; InputError where it cannot."""
        for folder in {self._manifests, self._root(self._place)}:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
            except OSError as error:
                raise InputError(f"cannot keep checkpoints in {folder}: {error.strerror}; name another folder") from None

    # -- a set ----------------------------------------------------------------------------------------------------

    def new(self, method: str, step: int) -> Manifest:
        """What the next set will be called: rank 0 says so, and no set was ever called the same."""
        there = [_serial(path.name) for path in self._manifests.iterdir()] if self._manifests.is_dir() else []
        name = f"{max(there, default=0) + 1:06d}-step{step}-{secrets.token_hex(4)}"
        return Manifest(name, method, step, self._ranks, self._place)

    def write(self, manifest: Manifest, snapshot: Snapshot) -> None:
        """This rank's part, on the disk. Raises OSError."""
        path = self._part(manifest)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_part(path, self._tag(manifest), snapshot)
        sync_folder(path.parent.parent)

    def read(self, manifest: Manifest) -> Snapshot:
        """This rank's part; InputError where it cannot be used."""
        return read_part(self._part(manifest), self._tag(manifest))

    def discard(self, manifest: Manifest) -> None:
        """Remove this rank's part of a set, and the set's folder with the last one."""
        with suppress(OSError):
            self._part(manifest).unlink()
        with suppress(OSError):
            self._part(manifest).parent.rmdir()

    # -- manifests, rank 0 ----------------------------------------------------------------------------------------

    def commit(self, manifest: Manifest) -> None:
        """Make a set complete whose parts are all on the disk. Raises OSError, and then it is not."""
        path = self._manifests / f"{manifest.name}.json"
        partial = path.with_suffix(".partial")
        try:
            self._manifests.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(json.dumps(asdict(manifest), indent=2).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
            sync_folder(self._manifests)
        except OSError:
            for left in (partial, path):
                with suppress(OSError):
                    left.unlink()
            raise

    def complete(self) -> tuple[list[Manifest], list[str]]:
        """The sets with a manifest, newest first, and sentences on manifests that cannot be read."""
        found, broken = [], []
        for path in self._manifests.glob("*.json"):
            try:
                manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
                if manifest.name != path.stem:
                    raise msgspec.ValidationError(f"it is the manifest of {manifest.name}")
                found.append(manifest)
            except (OSError, msgspec.DecodeError) as error:
                broken.append(f"{path} is damaged: {error}")
        return sorted(found, key=lambda manifest: manifest.serial, reverse=True), broken

    def forget(self, kept: Collection[Manifest]) -> list[str]:
        """Remove the manifests of all sets but those; the places where parts may be."""
        complete, _ = self.complete()
        names = {manifest.name for manifest in kept}
        for path in [*self._manifests.glob("*.json"), *self._manifests.glob("*.partial")]:
            if path.stem not in names:
                with suppress(OSError):
                    path.unlink()
        with suppress(OSError):
            sync_folder(self._manifests)
            if not kept:
                self._manifests.rmdir()
        return sorted({self._place, *(manifest.place for manifest in complete)})

    # -- parts of former sets, every rank -------------------------------------------------------------------------

    def clear(self, kept: Iterable[str], places: Iterable[str]) -> None:
        """Remove this rank's parts of all sets but those named, killed ones' too, and what folders that leaves empty."""
        names = set(kept)
        for place in places:
            root = self._root(place)
            try:
                there = list(root.iterdir())
            except OSError:
                continue  # no rank has a part here, or another rank, as fast as this one, has removed it with its last
            for folder in there:
                if folder.is_dir() and folder.name not in names:
                    with suppress(OSError):
                        (folder / f"rank{self._rank}.part").unlink()
                    with suppress(OSError):
                        folder.rmdir()
            if not names:
                with suppress(OSError):
                    root.rmdir()

    def _root(self, place: str) -> Path:
        return Path(place) if place else self._manifests

    def _part(self, manifest: Manifest) -> Path:
        return self._root(manifest.place) / manifest.name / f"rank{self._rank}.part"

    def _tag(self, manifest: Manifest) -> dict[str, Any]:
        return {**asdict(manifest), "rank": self._rank}


def _serial(name: str) -> int:
    digits = name.partition("-")[0]
    return int(digits) if digits.isdecimal() else 0

"""Sweeps that a program makes: kept beside their results as files, so that `mpidec sweep` repeats them one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from mpidec.sweep.plan import Sweep, read_sweep

Table = dict[str, Any]

FILES = "sweeps"
"""The folder of the sweep files in that of the results."""


@dataclass(frozen=True)
class Plan:
    """A sweep that a program makes: an experiment's tables, axes as a sweep file has them, and seeds, from 0 or given."""

    name: str
    experiment: Table
    seeds: int | Sequence[int]
    vary: Sequence[Table] = ()
    library_bytes: bool = False

    def write(self, folder: Path) -> Sweep:
        """Write the sweep and its experiment into `folder`, where they are not there as they should be, and read them."""
        folder.mkdir(parents=True, exist_ok=True)
        base = f"{self.name}.experiment.toml"
        seeds = self.seeds if isinstance(self.seeds, int) else list(self.seeds)
        sweep: Table = {"name": self.name, "experiment": base, "seeds": seeds, "vary": list(self.vary)}
        if self.library_bytes:
            sweep["library_bytes"] = True
        for name, table in ((base, self.experiment), (f"{self.name}.toml", sweep)):
            text = tomli_w.dumps(table)
            if not (folder / name).exists() or (folder / name).read_text() != text:
                (folder / name).write_text(text)
        return read_sweep(folder / f"{self.name}.toml")


def joined(name: str, parts: Mapping[str, Sweep]) -> Sweep:
    """The runs of several sweeps as one, by the folder of each: what goes into OUT is what each would put into OUT/FOLDER.

    So runs of different sweeps can share their ranks.
    """
    runs = [replace(run, id=f"{folder}/{run.id}") for folder, part in parts.items() for run in part.runs]
    notes = dict.fromkeys(note for part in parts.values() for note in part.notes)
    return Sweep(name, (), tuple(replace(run, index=i) for i, run in enumerate(runs)), tuple(notes), parts)

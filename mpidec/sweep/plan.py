"""Sweep files: a base experiment, values to vary and seeds, expanded into runs that are checked before any of them starts."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from mpidec.config import Experiment, Table, name_meta, parse, read_table
from mpidec.errors import InputError
from mpidec.options import Meta, build
from mpidec.overrides import literal, override, read_setting, read_value
from mpidec.problems import ProblemSpec

MOST = 100_000
"""Runs of a sweep, at most: each is checked before the first begins."""

OWN_COLUMNS = ("run", "seed", "status", "method", "ending")
"""Columns of runs.csv that no varied key can take."""

_KEY = re.compile(r"[^\s.=]+(\.[^\s.=]+)*")
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
# file systems take names of 255 bytes, and a log's name is longer than its run's
_LONGEST_VALUE, _LONGEST_ID = 40, 150


@dataclass(frozen=True)
class SweepFile:
    """The keys of a sweep file. Tables in `set` and `vary` are read as longer keys: `graph.p` and `"graph.p"` are the same."""

    name: Annotated[str, name_meta("names the folder runs/NAME")]
    experiment: Annotated[str, Meta(description="the base experiment, relative to the sweep file")]
    seeds: Annotated[int, Meta(ge=1, description="how many, from 0, or a list of them")] | list[int] | None = None
    set: Annotated[dict[str, Any], Meta(description="settings of all runs")] = field(default_factory=dict)
    vary: Annotated[list[dict[str, Any]], Meta(description="axes: lists of values by key")] = field(default_factory=list)
    library_bytes: Annotated[bool, Meta(description="record Open MPI's own byte counts in all runs")] = False


@dataclass(frozen=True)
class Run:
    """One run of a sweep. `settings` are all its changes of the experiment `base` but the seed, as `--set` takes them."""

    index: int
    id: str
    varied: Mapping[str, Any]
    seed: int
    base: Path
    settings: tuple[str, ...]
    experiment: Experiment
    library_bytes: bool = False

    def folder(self, out: Path) -> Path:
        """Its run folder in the sweep's."""
        return out / self.id

    def log(self, out: Path) -> Path:
        """What it prints, beside its folder; who makes the run holds a lock on this file."""
        return out / f"{self.id}.log"


@dataclass(frozen=True)
class Sweep:
    """A sweep as it will run: `keys` are the varied key paths, `notes` tell of settings that a choice left without a use.

    One that joins several has them as `parts`, by the folder of each within its own, and no keys.
    """

    name: str
    keys: tuple[str, ...]
    runs: tuple[Run, ...]
    notes: tuple[str, ...]
    parts: Mapping[str, Sweep] = field(default_factory=dict)


def read_sweep(path: Path, settings: Sequence[str] = ()) -> Sweep:
    """Read a sweep file and check every run of it; `settings` are `key.path=value` for all runs and win over its `set`.

    Axes multiply in the order of the file, the seeds run fastest. Raises InputError in one sentence for what is wrong in
    the sweep file, in the base experiment, or in any of the runs that they make together.
    """
    table = read_table(path, "sweep")
    if "experiment" not in table and {"graph", "problem", "method"} & table.keys():
        raise InputError(
            f"{path} is an experiment file, wanted a sweep file, which names one: experiment = {literal(path.name)}; "
            f"to run the experiment itself: mpidec run {path}"
        )
    file = build(SweepFile, table, path.name)
    base = (path.resolve().parent / file.experiment).resolve()
    if base == path.resolve():
        raise InputError(f"{path}: experiment names the sweep file itself, wanted the file of the experiment to vary")
    common = dict(_settings(file.set, f"{path.name}: set")) | dict(read_setting(s) for s in settings)
    axes = [axis(one, f"{path.name}: vary.{i}") for i, one in enumerate(file.vary)]
    keys = tuple(key for points in axes for key in points[0])
    _check_keys([*common, *keys], keys, path.name)
    if (points := math.prod(len(axis) for axis in axes)) > MOST:
        raise InputError(f"{path.name}: got {points:,} settings, wanted at most {MOST:,} runs; vary less at a time")
    changes: list[Table] = [{k: v for part in point for k, v in part.items()} for point in itertools.product(*axes)]
    seeds = _seeds(file.seeds, path.name)
    number = len(changes) * len(seeds)
    if number > MOST:
        raise InputError(f"{path.name}: got {number:,} runs, wanted at most {MOST:,}; vary less at a time")
    before = read_table(base)
    runs: list[Run] = []
    fitting: list[tuple[ProblemSpec, int]] = []
    notes: dict[str, None] = {}
    for varied, seed in itertools.product(changes, seeds):
        given = tuple(f"{key}={literal(value)}" for key, value in {**common, **varied}.items())
        try:
            changed, left_out = override(before, [*given, *([] if seed is None else [f"seed={seed}"])])
            experiment = parse(changed, base.parent, base.name)
            experiment.topology.check(experiment.ranks)
            if (kind := (experiment.problem, experiment.ranks)) not in fitting:
                experiment.problem.check(experiment.ranks)  # which may read whole files
                experiment.problem.check_memory(experiment.ranks)
                fitting.append(kind)
        except InputError as error:
            where = ", ".join(f"{key} = {literal(value)}" for key, value in varied.items())
            raise InputError(f"{path.name}: {f'with {where}: ' if where else ''}{error}") from None
        notes |= dict.fromkeys(left_out)
        own = _id(varied, experiment.seed)
        runs.append(Run(len(runs), own, varied, experiment.seed, base, given, experiment, file.library_bytes))
    _check_different(runs, path.name)
    return Sweep(file.name, keys, tuple(runs), tuple(notes))


def _settings(table: Table, where: str, above: str = "") -> Iterator[tuple[str, Any]]:
    """Key paths and values; what stands in a table of a table belongs to a longer key."""
    for key, value in table.items():
        path = above + key
        if not _KEY.fullmatch(path):
            raise InputError(f"{where}: got the key {path!r}, wanted words joined by dots, such as method.0.rounds")
        if isinstance(value, dict) and value:
            yield from _settings(value, where, f"{path}.")
        else:
            yield path, value


def axis(table: Table, where: str) -> list[Table]:
    """The points of an axis, each with a value for every key of it."""
    columns: dict[str, list[Any]] = {}
    for key, values in _settings(table, where):
        if not isinstance(values, list) or not values:
            raise InputError(f"{where}: {key} is {literal(values)}, wanted a list of one or more values, such as [1, 2, 5]")
        if key in columns:
            raise InputError(f"{where}: {key} is there twice, as one key and as a table; keep one of them")
        columns[key] = values
    if not columns:
        raise InputError(f'{where}: got an axis without a key, wanted lists of values by key, such as "graph.p" = [0.3, 0.5]')
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{key} has {length} values" for key, length in lengths.items())
        raise InputError(f"{where}: {told}; keys of one axis advance together, so give each as many, or each its own [[vary]]")
    return [dict(zip(columns, point, strict=True)) for point in zip(*columns.values(), strict=True)]


def _seeds(seeds: int | list[int] | None, where: str) -> Sequence[int | None]:
    """The seeds to repeat over; None stands for the base experiment's own."""
    if seeds is None:
        return [None]
    if isinstance(seeds, int):
        return range(seeds)
    twice = [seed for i, seed in enumerate(seeds) if seed in seeds[:i]]
    if not seeds or twice or min(seeds) < 0:
        wrong = f"{twice[0]} twice in {seeds}" if twice else str(seeds)
        raise InputError(f"{where}: seeds: got {wrong}, wanted a number of seeds or a list of different whole numbers >= 0")
    return seeds


def _check_keys(keys: Sequence[str], varied: Sequence[str], where: str) -> None:
    """Each key may be given once, and none inside of another: the order of settings must not matter."""
    for i, key in enumerate(keys):
        if key == "seed":
            raise InputError(f"{where}: the key seed cannot be set or varied; list the seeds to run in seeds = [0, 1, 2]")
        for other in keys[:i]:
            if key == other or key.startswith(f"{other}.") or other.startswith(f"{key}."):
                what = f"{key} is given twice" if key == other else f"{other} and {key} are one inside of the other"
                raise InputError(f"{where}: {what}, in vary, set or --set; keep one of them")
        if key in varied and key in OWN_COLUMNS:
            raise InputError(f"{where}: {key} cannot be varied as a whole; vary what is in it, such as {key}.0.rounds")


def _check_different(runs: Sequence[Run], where: str) -> None:
    seen: dict[str, Run] = {}
    for run in runs:
        for mark in (literal(run.experiment.resolved), run.id):
            other = seen.setdefault(mark, run)
            if other is not run:
                raise InputError(
                    f"{where}: the runs {other.index} ({other.id}) and {run.index} ({run.id}) have the same settings; "
                    "list each value once, and none that only repeats another under other keys"
                )


# -- names of runs ----------------------------------------------------------------------------------------------------


def _id(varied: Mapping[str, Any], seed: int) -> str:
    """A name for a folder, of the varied settings and nothing else: it stays when others come or go."""
    keys = [*varied, "seed"]
    parts = [f"{_UNSAFE.sub('_', _short(key, keys))}={_text(value)}" for key, value in {**varied, "seed": seed}.items()]
    name = ",".join(parts)
    if len(name) <= _LONGEST_ID:
        return name
    return f"{name[: _LONGEST_ID - 40]}-{_digest(dict(varied))},{parts[-1]}"


def _short(key: str, keys: Sequence[str]) -> str:
    """The last words of a key path, as many as tell it from the others, beginning with one that is no number."""
    words = key.split(".")
    for n in range(1, len(words)):
        tails = [other.split(".")[-n:] for other in keys]
        if not words[-n].isdigit() and tails.count(words[-n:]) == 1:
            return ".".join(words[-n:])
    return key


def _text(value: Any) -> str:
    """The value's own text where it is short, safe and says all, else what is left of it with a digest."""
    text = value if isinstance(value, str) else literal(value)
    again = read_value(text)
    if len(text) <= _LONGEST_VALUE and not _UNSAFE.search(text) and (type(again), again) == (type(value), value):
        return text
    return f"{_UNSAFE.sub('_', text).strip('_')[:24]}-{_digest(value)}"


def _digest(value: Any) -> str:
    return sha256(literal(value).encode()).hexdigest()[:8]

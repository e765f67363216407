"""Study files: an experiment, what varies, the grid of step sizes, and what is said to follow."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from mpidec.config import Table, name_meta, parse, read_table
from mpidec.errors import InputError
from mpidec.fitting import check_methods
from mpidec.graph.facts import graph_facts
from mpidec.metrics import METRICS
from mpidec.options import Meta, build
from mpidec.overrides import literal, override
from mpidec.sweep.plan import axis

STEP_SIZE, RANKS, ITERATIONS, SAMPLES = "step_size", "ranks", "iterations", "samples"
_OWN = (ITERATIONS, SAMPLES)  # axes that are no settings of an experiment
_GIVEN = (STEP_SIZE, ITERATIONS, "target")  # of every method, by the study: one that stops at a target has no last step
_NOT_VARIED = re.compile(r"seed|method\.\d+\.(step_size|iterations|target.*|label|algorithm)")
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass(frozen=True)
class Tune:
    """How step sizes are found: each method tries the same grid, the better half goes on to twice as many steps, up to all."""

    step_sizes: Annotated[list[float], Meta(description="the grid, the same for every method")]
    seeds: Annotated[int, Meta(ge=1, description="repetitions of a trial, by seeds that no later run has")] = 2
    share: Annotated[float, Meta(gt=0, le=1, description="of the study's iterations that the first heat has")] = 0.25

    @property
    def heats(self) -> int:
        """How many there are."""
        return 1 + math.ceil(-math.log2(self.share))

    def part(self, heat: int) -> float:
        """The share of the iterations that a heat has, counted from 0."""
        return min(1.0, math.ldexp(self.share, heat))

    def steps(self, heat: int, iterations: int) -> int:
        """Those of a heat where the runs have so many iterations."""
        return max(1, round(iterations * self.part(heat)))


@dataclass(frozen=True)
class Law:
    """What a method's error does as an axis grows: from its first to its last value, and from none to a later the other way."""

    method: str
    along: Annotated[str, Meta(description="a varied key")]
    error: Literal["falls", "rises"]


@dataclass(frozen=True)
class Thresholds:
    """Up to how many nodes a number of samples in all can be dealt out; wants axes of `samples` and of `ranks`."""

    bounds: Annotated[
        dict[str, list[float]], Meta(description="by method, the powers [p, q] of a bound rho^p N^q on the nodes")
    ]
    worse: Annotated[float, Meta(gt=1, description="by how much the error must exceed the least of smaller networks")] = 2.0
    fitted: Annotated[list[str], Meta(description="topologies whose thresholds the bound is fitted to (none: all)")] = field(
        default_factory=list
    )


@dataclass(frozen=True)
class StudyFile:
    """The keys of a study file."""

    name: Annotated[str, name_meta("names the folder runs/NAME")]
    question: Annotated[str, Meta(description="what the study is to answer, in a sentence")]
    metric: Annotated[str, Meta(description="what methods are tuned for and compared by, at the last step")]
    seeds: Annotated[int, Meta(ge=1, description="how many, from 0")]
    experiment: Annotated[dict[str, Any], Meta(description="tables of an experiment; its methods without step sizes")]
    tune: Tune
    iterations: Annotated[int, Meta(ge=1, description="steps of every method, where no axis has them")] | None = None
    vary: Annotated[
        list[dict[str, Any]], Meta(description="axes, as in a sweep file, and `iterations` or `samples`, in all")
    ] = field(default_factory=list)
    targets: Annotated[list[float], Meta(description="values of the metric whose cost to reach is told")] = field(
        default_factory=list
    )
    law: Annotated[list[Law], Meta(description="what is to be judged")] = field(default_factory=list)
    threshold: Annotated[Thresholds | None, Meta(description="asks for the parallelism threshold of each method")] = None
    quick: Annotated[dict[str, Any], Meta(description="keys of this file in their short form")] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """One choice of the varied settings: `name` is safe for a folder, `table` the experiment, methods without step sizes."""

    name: str
    varied: Table
    table: Table
    iterations: int


@dataclass(frozen=True)
class Study:
    """A study that has been checked: its points in the order of the axes, and the labels of its methods."""

    file: StudyFile
    points: Sequence[Point]
    methods: Sequence[str]

    @property
    def keys(self) -> list[str]:
        """The varied keys."""
        return list(self.points[0].varied)

    def around(self, point: Point, along: str | None) -> Table:
        """What a point has on the axes other than that of `along`, whose keys advance together."""
        moving = next((axis for axis in self.file.vary if along in axis), {})
        return {key: value for key, value in point.varied.items() if key not in moving}


def read_study(path: Path, *, quick: bool = False) -> Study:
    """Read and check a study file. Raises InputError in one sentence for what is wrong in it, at any of its points."""
    table = read_table(path, "study")
    if "experiment" not in table and {"graph", "problem", "method"} & table.keys():
        raise InputError(f"{path} is an experiment file, wanted a study file; to run the experiment itself: mpidec run {path}")
    if quick:
        short = table.get("quick")
        if not isinstance(short, dict) or not short:
            raise InputError(f"{path.name}: --quick, but there is no table [quick] with a short form; run it without")
        table = {**table, **{key: _merged(table.get(key), value) for key, value in short.items()}}
    file = build(StudyFile, table, path.name)
    if file.metric not in METRICS:
        raise InputError(f"{path.name}: metric: there is no {file.metric!r}; mpidec list metrics shows all")
    sizes = file.tune.step_sizes
    if len(sizes) < 2 or min(sizes) <= 0 or len({f"{size:g}" for size in sizes}) < len(sizes):
        raise InputError(
            f"{path.name}: tune.step_sizes: got {sizes}, wanted two or more above 0, different in their first six digits"
        )
    axes = [axis(one, f"{path.name}: vary.{i}") for i, one in enumerate(file.vary)]
    changes = [{key: value for part in parts for key, value in part.items()} for parts in itertools.product(*axes)]
    points = [_point(file, varied, path) for varied in changes]
    if file.targets and any(point.table["abreast"] for point in points):
        raise InputError(f"{path.name}: methods that go abreast have no seconds to a target: leave out abreast, or targets")
    names = [point.name for point in points]
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise InputError(f"{path.name}: two points of vary are both called {twice[0]}; list each value once")
    methods = [label_of(method) for method in points[0].table["method"]]
    for law in file.law:
        if METRICS[file.metric].higher_is_better:
            raise InputError(f"{path.name}: law: of {file.metric} more is better, wanted an error for the metric")
        if law.method not in methods:
            raise InputError(f"{path.name}: law: there is no method {law.method!r}; there are: {', '.join(methods)}")
        if law.along not in points[0].varied:
            raise InputError(
                f"{path.name}: law: {law.along!r} is not varied; varied are: {', '.join(points[0].varied) or 'none'}"
            )
        values = list(dict.fromkeys(point.varied[law.along] for point in points))
        if len(values) < 2 or not all(isinstance(value, int | float) for value in values):
            raise InputError(f"{path.name}: law: {law.along} has the values {values}, wanted two numbers or more")
    if file.threshold is not None:
        _check_thresholds(file, file.threshold, methods, points, path)
    return Study(file, points, methods)


def with_steps(table: Table, steps: Sequence[tuple[str, float, str]], iterations: int, observe: Table) -> Table:
    """An experiment of a point's `table` with a method for each (label, step size, new label), so many steps long."""
    methods = {label_of(method): method for method in table["method"]}
    tables = [{**methods[label], "label": new, STEP_SIZE: step, ITERATIONS: iterations} for label, step, new in steps]
    return {**table, "method": tables, "observe": observe}


def _merged(old: Any, new: Any) -> Any:
    return {**old, **new} if isinstance(old, dict) and isinstance(new, dict) else new


def label_of(method: Table) -> str:
    """A method's label, by default its algorithm."""
    return str(method.get("label", method.get("algorithm")))


def _check_thresholds(file: StudyFile, asked: Thresholds, methods: Sequence[str], points: Sequence[Point], path: Path) -> None:
    where = f"{path.name}: threshold"
    for key in (RANKS, SAMPLES):
        if key not in points[0].varied:
            raise InputError(f"{where}: {key} is not varied; varied are: {', '.join(points[0].varied) or 'none'}")
    if any({RANKS, SAMPLES} <= one.keys() for one in file.vary):
        raise InputError(f"{where}: ranks and samples advance together: give each a table [[vary]] of its own")
    if METRICS[file.metric].higher_is_better:
        raise InputError(f"{where}: of {file.metric} more is better, wanted an error for the metric")
    drawn = {point.table["graph"]["topology"] for point in points}
    if foreign := [name for name in asked.fitted if name not in drawn]:
        raise InputError(f"{where}.fitted: no point has the topology {foreign[0]!r}; there are: {', '.join(sorted(drawn))}")
    for method, powers in asked.bounds.items():
        if method not in methods:
            raise InputError(f"{where}.bounds: there is no method {method!r}; there are: {', '.join(methods)}")
        if len(powers) != 2:
            raise InputError(f"{where}.bounds.{method}: got {powers}, wanted two powers, of the gap and of the samples")


def _iterations(file: StudyFile, varied: Table, path: Path) -> int:
    """A point's steps: the file's, varied ones, or as many as share out the varied samples."""
    if SAMPLES in varied and ITERATIONS in varied:
        raise InputError(f"{path.name}: vary: samples / ranks are the iterations: leave out one of iterations and samples")
    ranks = varied.get(RANKS, file.experiment.get(RANKS))
    if SAMPLES in varied and (not isinstance(ranks, int) or ranks < 1):
        raise InputError(f"{path.name}: vary: samples are shared out over the ranks, which are {ranks}: give 1 or more")
    for key, least in ((ITERATIONS, 1), (SAMPLES, ranks)):
        if key in varied and (not isinstance(varied[key], int) or varied[key] < least):
            raise InputError(f"{path.name}: vary: {key} is {literal(varied[key])}, wanted whole numbers of {least} or more")
    if SAMPLES in varied:
        return int(round(varied[SAMPLES] / ranks))
    iterations = varied.get(ITERATIONS, file.iterations)
    if iterations is None:
        raise InputError(f"{path.name}: iterations is missing: give it, or vary iterations or samples")
    return int(iterations)


def _point(file: StudyFile, varied: Table, path: Path) -> Point:
    iterations = _iterations(file, varied, path)
    where = ", ".join(f"{key} = {literal(value)}" for key, value in varied.items())
    name = _UNSAFE.sub("_", ",".join(f"{key.rpartition('.')[2]}-{value}" for key, value in varied.items())) or "all"
    methods = file.experiment.get("method")
    if not isinstance(methods, list) or not all(isinstance(method, dict) for method in methods):
        raise InputError(f"{path.name}: experiment: wanted [[experiment.method]] tables")
    if given := [key for method in methods for key in _GIVEN if key in method]:
        raise InputError(f"{path.name}: experiment.method: {given[0]} is the study's own to give: leave it out")
    if given := ["experiment.seed"] * ("seed" in file.experiment) + [key for key in varied if _NOT_VARIED.fullmatch(key)]:
        raise InputError(
            f"{path.name}: {given[0]} is the study's own to give: leave it out (step sizes stand in [tune], seeds are counted "
            "from 0, and all points have the same methods)"
        )
    try:
        table, _ = override(file.experiment, [f"{key}={literal(value)}" for key, value in varied.items() if key not in _OWN])
        trial = [(label_of(m), file.tune.step_sizes[0], label_of(m)) for m in methods]
        observe = {"every": iterations, **table.get("observe", {})}
        observe["metrics"] = list(dict.fromkeys([file.metric, *observe.get("metrics", [])]))
        whole = {"name": file.name, **with_steps(table, trial, iterations, observe)}
        experiment = parse(whole, path.resolve().parent, path.name)
        experiment.topology.check(experiment.ranks)
        experiment.problem.check(experiment.ranks)
        facts = graph_facts(experiment.topology, experiment.mixing, experiment.ranks, experiment.graph_seed)
        check_methods(experiment, experiment.problem.rehearsal(), facts)
    except InputError as error:
        raise InputError(f"{path.name}: {f'with {where}: ' if where else ''}{error}") from None
    # as resolved, with paths that hold from any folder
    resolved = {key: value for key, value in experiment.resolved.items() if key != "seed"}
    given_up = (STEP_SIZE, ITERATIONS)
    resolved["method"] = [{k: v for k, v in m.items() if k not in given_up} for m in experiment.resolved["method"]]
    return Point(name, varied, resolved, iterations)

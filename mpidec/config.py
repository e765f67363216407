"""Experiment files: TOML to typed, frozen settings. An unknown key or a wrong type names the place and what is accepted."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import tomli_w

from mpidec.algorithms import ALGORITHMS, Algorithm
from mpidec.algorithms.base import NetworkKind
from mpidec.checkpoint import Checkpoint
from mpidec.errors import InputError
from mpidec.graph.mixing import MIXINGS, Mixing
from mpidec.graph.topology import TOPOLOGIES, Topology
from mpidec.metrics import METRICS
from mpidec.options import Meta, build, choose, load_class
from mpidec.problems import PROBLEMS, ProblemSpec

Table = dict[str, Any]

_SECTIONS = {"graph", "problem", "method", "observe", "checkpoint"}
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z"
# what CSV files, the names in final.npz and a line on a terminal can hold as it is
_LABEL = r"^(?![\s.])[^,\"/\x00-\x1f\x7f-\x9f\u2028\u2029]{1,100}\Z"


def name_meta(description: str) -> Meta:
    """The option type of a name that is also a folder's."""
    return Meta(pattern=_NAME, description=description, extra={"wanted": "at most 100 letters, digits, . _ -, not . _ - first"})


_LABEL_META = Meta(
    pattern=_LABEL,
    description="its name in tables; none: the algorithm",
    extra={"wanted": 'at most 100 characters without , " /'},
)


@dataclass(frozen=True)
class General:
    """The keys at the top of an experiment file."""

    name: Annotated[str, name_meta("names the run's folder")]
    ranks: Annotated[int, Meta(ge=1, description="nodes of the network, one MPI rank each")]
    seed: Annotated[int, Meta(ge=0, description="of the graph, the data and the start")] = 0
    abreast: Annotated[
        bool, Meta(description="methods advance together, a round of all in one message; no seconds of their own")
    ] = False


@dataclass(frozen=True)
class GraphChoice:
    """The keys of [graph] beside the topology's own options."""

    topology: Annotated[str, Meta(description="see mpidec list topologies, or FILE.py:CLASS")]
    mixing: Annotated[str, Meta(description="see mpidec list mixings")] = "metropolis"
    seed: Annotated[int, Meta(ge=0, description="of a random graph; none: the experiment's")] | None = None


@dataclass(frozen=True)
class MethodChoice:
    """The keys of [[method]] beside the algorithm's own options."""

    algorithm: Annotated[str, Meta(description="see mpidec list algorithms, or FILE.py:CLASS")]
    iterations: Annotated[int, Meta(ge=1, description="steps at most")]
    label: Annotated[str, _LABEL_META] | None = None
    target: Annotated[dict[str, float], Meta(description="stop once each metric is as good as this")] | None = None


@dataclass(frozen=True)
class Observe:
    """The keys of [observe]."""

    every: Annotated[int, Meta(ge=1, description="iterations between two observations")] = 10
    metrics: Annotated[list[str], Meta(description="metrics to record; none: all that the problem has")] | None = None


@dataclass(frozen=True)
class Method:
    """One method of an experiment: its label, its algorithm with options, and when it stops."""

    label: str
    algorithm: Algorithm
    iterations: int
    target: Mapping[str, float]


@dataclass(frozen=True)
class Experiment:
    """An experiment as it will run. `resolved` is the experiment file that says the same with nothing left out."""

    name: str
    ranks: int
    seed: int
    abreast: bool
    topology_name: str
    topology: Topology
    mixing: Mixing
    graph_seed: int
    problem_name: str
    problem: ProblemSpec
    methods: tuple[Method, ...]
    observe: Observe
    checkpoint: Checkpoint | None
    resolved: Table


def read_table(path: Path, what: str = "experiment") -> Table:
    """The tables of a TOML file, of an experiment or `what` else; InputError where it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no {what} file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not valid TOML: {error}") from None
    except RecursionError:
        raise InputError(f"{path} is not valid TOML: its brackets are nested too deeply") from None


def parse(table: Table, folder: Path, where: str = "experiment") -> Experiment:
    """Check a table of settings and build it. Paths and user classes in it are taken relative to `folder`.

    Raises InputError naming the place, what was got, what was wanted.
    """
    if "experiment" in table and "graph" not in table:
        raise InputError(f"{where} is a sweep file, wanted an experiment file; to make its runs: mpidec sweep {where}")
    known = {f.name for f in dataclasses.fields(General)} | _SECTIONS
    for key in table:
        choose(dict.fromkeys(known), key, "key", where)
    general = build(General, {k: v for k, v in table.items() if k not in _SECTIONS}, where)

    graph, options = _split(_section(table, "graph", where), GraphChoice)
    graph_choice = build(GraphChoice, graph, "graph")
    topology_class = _class(graph_choice.topology, TOPOLOGIES, "topology", folder, Topology, "graph.topology")
    graph_choice = dataclasses.replace(graph_choice, topology=_absolute_reference(graph_choice.topology, folder))
    topology = build(topology_class, _absolute(options, folder), f"graph ({graph_choice.topology})")
    mixing = choose(MIXINGS, graph_choice.mixing, "mixing", "graph.mixing")

    problem_table = _section(table, "problem", where)
    problem_name, problem_class, options = _problem_class(problem_table, folder)
    problem = build(problem_class, _absolute(options, folder), f"problem ({problem_name})")

    observe = build(Observe, _section(table, "observe", where, optional=True), "observe")
    for metric in observe.metrics or ():
        choose(METRICS, metric, "metric", "observe.metrics")
    checkpoint = build(Checkpoint, _section(table, "checkpoint", where), "checkpoint") if "checkpoint" in table else None
    if checkpoint is not None and checkpoint.folder is not None:
        checkpoint = dataclasses.replace(checkpoint, folder=str((folder / checkpoint.folder).resolve()))
    if checkpoint is not None and general.abreast:
        raise InputError(f"{where}: methods that go abreast keep no checkpoints: leave out abreast, or the table [checkpoint]")
    methods, method_tables = _methods(table.get("method"), folder, where)

    head = {k: v for k, v in problem_table.items() if k in ("kind", "source")}
    head["kind"] = _absolute_reference(head["kind"], folder)
    resolved = {
        **dataclasses.asdict(general),
        "graph": {**_plain(graph_choice), **_plain(topology)},
        "problem": {**head, **_plain(problem)},
        "method": method_tables,
        "observe": _plain(observe),
        **({} if checkpoint is None else {"checkpoint": _plain(checkpoint)}),
    }
    try:
        tomli_w.dumps(resolved).encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: an option holds what TOML cannot: {error}; options are numbers, texts, lists") from None
    return Experiment(
        general.name,
        general.ranks,
        general.seed,
        general.abreast,
        graph_choice.topology,
        topology,
        mixing,
        general.seed if graph_choice.seed is None else graph_choice.seed,
        problem_name,
        problem,
        methods,
        observe,
        checkpoint,
        resolved,
    )


def _methods(tables: object, folder: Path, where: str) -> tuple[tuple[Method, ...], list[Table]]:
    if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
        raise InputError(f"{where}: wanted one or more [[method]] tables, got {tables!r}")
    methods: list[Method] = []
    resolved: list[Table] = []
    for i, table in enumerate(tables):
        place = f"method.{i}"
        values, options = _split(table, MethodChoice)
        choice = build(MethodChoice, values, place)
        cls = _class(choice.algorithm, ALGORITHMS, "algorithm", folder, Algorithm, f"{place}.algorithm")
        choice = dataclasses.replace(choice, algorithm=_absolute_reference(choice.algorithm, folder))
        label = choice.label or choice.algorithm.rpartition(":")[2]
        algorithm = build(cls, _absolute(options, folder), f"{place} ({label})")
        for metric in choice.target or ():
            choose(METRICS, metric, "metric", f"{place}.target")
        if any(label == m.label for m in methods):
            raise InputError(f"{place}: a method labeled {label!r} is there already; give each its own label")
        methods.append(Method(label, algorithm, choice.iterations, choice.target or {}))
        resolved.append({**_plain(choice), "label": label, **_plain(algorithm)})
    return tuple(methods), resolved


def _problem_class(table: Table, folder: Path) -> tuple[str, type[ProblemSpec], Table]:
    options = {k: v for k, v in table.items() if k not in ("kind", "source")}
    kind = table.get("kind")
    if isinstance(kind, str) and ":" in kind:
        if "source" in table:
            options["source"] = table["source"]
        return kind.rpartition(":")[2], _user_class(kind, folder, ProblemSpec, "problem.kind"), options
    sources = choose(PROBLEMS, kind, "kind", "problem.kind")
    source = choose(sources, table.get("source"), "source", "problem.source")
    return f"{kind}/{table['source']}", source, options


def _class(name: str, table: Mapping[str, type[Any]], what: str, folder: Path, base: type, where: str) -> type[Any]:
    """The class that a name in `table`, or a user's `FILE.py:CLASS`, stands for."""
    return _user_class(name, folder, base, where) if ":" in name else choose(table, name, what, where)


def _user_class(reference: str, folder: Path, base: type, where: str) -> type[Any]:
    cls = load_class(reference, folder, where)
    if not issubclass(cls, base):
        raise InputError(f"{where}: {reference!r} is no {base.__name__}; derive it from mpidec.{base.__name__}")
    if issubclass(cls, Algorithm) and cls.network not in get_args(NetworkKind):
        known = ", ".join(get_args(NetworkKind))
        raise InputError(f"{where}: {reference!r} has the network {cls.network!r}; known: {known}")
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        raise InputError(f"{where}: {reference!r} is unfinished; it lacks: {', '.join(missing)}")
    return cls


def _absolute_reference(name: str, folder: Path) -> str:
    """A user's `FILE.py:CLASS` with the file taken from `folder`; other names as they are."""
    file, colon, cls = name.rpartition(":")
    return f"{(folder / file).resolve()}:{cls}" if colon else name


def _absolute(options: Table, folder: Path) -> Table:
    """The options with a relative `path` taken from the experiment file's folder, whatever the current one."""
    path = options.get("path")
    return {**options, "path": str((folder / path).resolve())} if isinstance(path, str) else options


def _section(table: Table, key: str, where: str, optional: bool = False) -> Table:
    section = table.get(key, {} if optional else None)
    if not isinstance(section, dict):
        raise InputError(f"{where}: wanted a table [{key}], got {section!r}")
    return section


def _split(table: Table, cls: type) -> tuple[Table, Table]:
    """The keys that are fields of `cls`, and the rest."""
    names = {f.name for f in dataclasses.fields(cls)}
    return {k: v for k, v in table.items() if k in names}, {k: v for k, v in table.items() if k not in names}


def _plain(settings: Any) -> Table:
    """A dataclass as a TOML table: TOML has no null, an absent key says none."""
    return {k: v for k, v in dataclasses.asdict(settings).items() if v is not None}

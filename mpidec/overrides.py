"""Changing an experiment from outside its file: `--set key.path=value`."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import tomli_w

from mpidec.algorithms import ALGORITHMS
from mpidec.errors import InputError
from mpidec.graph.topology import TOPOLOGIES
from mpidec.problems import PROBLEMS

Table = dict[str, Any]


def override(table: Table, settings: Sequence[str]) -> tuple[Table, list[str]]:
    """The table with `key.path=value` settings put in, and notes on what they left without a use.

    A value is read as TOML, or else as plain text. A setting that picks another topology, problem or algorithm drops the
    options in the file that belonged to the former one and are unknown to the new one.
    """
    changed = deepcopy(table)
    given: set[tuple[str, ...]] = set()
    for setting in settings:
        path, value = read_setting(setting)
        keys = tuple(path.split("."))
        _put(changed, keys, value, setting)
        given.add(keys)
    return changed, _drop_orphans(table, changed, given)


def read_setting(setting: str) -> tuple[str, Any]:
    """The key path and the value of `key.path=value`; InputError where it is not of that form."""
    path, sign, text = setting.partition("=")
    path = path.strip()
    if not sign or not all(path.split(".")):
        raise InputError(f"--set {setting!r}: wanted KEY.PATH=VALUE, such as graph.topology=torus or method.0.rounds=5")
    return path, read_value(text.strip())


def read_value(text: str) -> Any:
    """The value of a setting's text: TOML, or else the text itself."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    return table["value"] if len(table) == 1 else text  # more keys: a text of several lines


def literal(value: Any) -> str:
    """A value as TOML on one line, which `read_value` reads back."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(k)} = {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return tomli_w.dumps({"value": value}).partition(" = ")[2].strip()


def _put(table: Any, keys: tuple[str, ...], value: Any, setting: str) -> None:
    for i, key in enumerate(keys):
        here = ".".join(keys[:i]) or "the experiment"
        last = i == len(keys) - 1
        if isinstance(table, list):
            if not key.isdecimal() or int(key) >= len(table):
                raise InputError(f"--set {setting!r}: {here} has entries 0 to {len(table) - 1}, got {key!r}")
            index: Any = int(key)
        elif isinstance(table, dict):
            index = key
        else:
            raise InputError(f"--set {setting!r}: {here} is a value, not a table")
        if last:
            table[index] = value
        else:
            table = table.setdefault(index, {}) if isinstance(table, dict) else table[index]


def _drop_orphans(before: Table, after: Table, given: set[tuple[str, ...]]) -> list[str]:
    places: list[tuple[tuple[str, ...], Any, Any, tuple[str, ...]]] = [
        (("graph",), before.get("graph"), after.get("graph"), ("topology",)),
        (("problem",), before.get("problem"), after.get("problem"), ("kind", "source")),
    ]
    old_methods, new_methods = before.get("method"), after.get("method")
    if isinstance(old_methods, list) and isinstance(new_methods, list):
        for i, (old, new) in enumerate(zip(old_methods, new_methods, strict=False)):
            places.append((("method", str(i)), old, new, ("algorithm",)))
    notes = []
    for place, old, new, selectors in places:
        if not isinstance(old, dict) or not isinstance(new, dict) or all(old.get(s) == new.get(s) for s in selectors):
            continue
        former, accepted = _option_names(place[0], old), _option_names(place[0], new)
        for key in [k for k in new if k in former and k not in accepted and (*place, k) not in given]:
            del new[key]
            chosen = "/".join(str(new.get(s)) for s in selectors)
            notes.append(f"{'.'.join(place)}.{key} belongs to the former choice and is left out for {chosen}")
    return notes


def _option_names(section: str, table: Table) -> set[str]:
    """The options that the choice in a section accepts; none where the choice itself is unknown (parse says so)."""
    if section == "graph":
        cls: type | None = TOPOLOGIES.get(str(table.get("topology")))
    elif section == "problem":
        cls = PROBLEMS[str(table["kind"])].get(str(table.get("source"))) if table.get("kind") in PROBLEMS else None
    else:
        cls = ALGORITHMS.get(str(table.get("algorithm")))
    return {f.name for f in dataclasses.fields(cls)} if cls is not None else set()


def as_read(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they are once written and read: tuples are lists."""
    return tomllib.loads(tomli_w.dumps(settings))


def difference(there: Any, wanted: Any) -> str:
    """The settings of a folder that are not those wanted, three of them at most; empty where all agree."""
    a, b = dict(_leaves(there)), dict(_leaves(wanted))
    keys = [key for key in {**b, **a} if (key in a, a.get(key)) != (key in b, b.get(key))]
    told = [f"{key}: {a.get(key, 'nothing')} there, {b.get(key, 'nothing')} wanted" for key in keys[:3]]
    return "; ".join(told) + (f"; and {len(keys) - 3} more" if len(keys) > 3 else "")


def _leaves(settings: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(settings, dict) and settings:
        for key, value in settings.items():
            yield from _leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(settings, list) and any(isinstance(value, dict) for value in settings):
        for i, value in enumerate(settings):
            yield from _leaves(value, f"{path}.{i}")
    else:
        yield path, literal(settings)

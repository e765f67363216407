"""Options as frozen dataclasses: read from tables of values, checked against their annotations, and listed.

Every topology, problem, algorithm and table of an experiment file is a frozen dataclass whose fields are its options:

    rounds: Annotated[int, Meta(ge=1, description="gossip rounds an iteration")] = 10

The type and the bounds are checked by msgspec, so the same line is the declaration, the check and the help text.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib.util
import math
import sys
import typing
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Meta

from mpidec.errors import InputError

T = TypeVar("T")

LARGEST = 2**53
"""No whole number in an experiment file may be larger: beyond it, floats and other programs lose count."""

__all__ = ["Meta", "Option", "build", "choose", "describe", "load_class"]


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of a table entry, as `mpidec list` shows it."""

    name: str
    type: str
    default: Any
    help: str

    @property
    def required(self) -> bool:
        """Whether the option has no default."""
        return self.default is dataclasses.MISSING


def choose(table: Mapping[str, T], name: object, what: str, where: str) -> T:
    """The entry `name` of `table`; an unknown name, or none (None), raises InputError naming the known ones."""
    if name is None:
        raise InputError(f"{where}: the {what} is missing; known: {', '.join(sorted(table))}")
    if not isinstance(name, str) or name not in table:
        raise InputError(f"{where}: unknown {what} {name!r}{_nearest(name, table)}; known: {', '.join(sorted(table))}")
    return table[name]


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Make the frozen dataclass `cls` from a table of values.

    Raises InputError with the place (`where.key`) for an unknown key, a missing one, a wrong type, a number out of
    bounds or not finite, and for whatever the class's own `__post_init__` raises.
    """
    hints = _hints(cls, where)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            accepted = ", ".join(fields) or "no options"
            raise InputError(f"{where}: unknown key {key!r}{_nearest(key, fields)}; accepted: {accepted}")
    given = {}
    for name, field in fields.items():
        if name in values:
            given[name] = _convert(values[name], hints[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InputError(f"{where}: {name!r} is missing; wanted: {_type_name(hints[name])}")
    try:
        return cls(**given)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    except Exception as error:  # a user's class may raise anything
        raise InputError(f"{where}: {cls.__name__} cannot be made: {type(error).__name__}: {error}") from error


def describe(cls: type) -> list[Option]:
    """The options of a dataclass, in the order they are declared."""
    hints = _annotations(cls)
    options = []
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        default = field.default
        if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        options.append(Option(field.name, _type_name(hints[field.name]), default, _help(hints[field.name])))
    return options


def load_class(reference: str, folder: Path, where: str) -> type:
    """Load a user's class from `"path/to/file.py:Name"`, the path taken relative to `folder`.

    Raises InputError when the file or the name is not there, or when the file itself fails to load.
    """
    file, _, name = reference.rpartition(":")
    path = (folder / file).resolve()
    try:
        there = path.is_file()
    except OSError as error:
        raise InputError(f"{where}: cannot look for {path}: {error.strerror}") from None
    if there and path.suffix != ".py":
        raise InputError(f"{where}: {path} is no .py file; {reference!r} is read as FILE.py:CLASS")
    if not there:
        raise InputError(f"{where}: no file {path}; {reference!r} is read as FILE.py:CLASS, relative to {folder}")
    # the same on every rank, so that what one rank pickles another finds
    module_name = f"mpidec_user_{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InputError(f"{where}: {path} does not load: {type(error).__name__}: {error}") from error
    found = getattr(module, name, None)
    if not isinstance(found, type) or not dataclasses.is_dataclass(found):
        classes = [k for k, v in vars(module).items() if isinstance(v, type) and v.__module__ == module_name]
        raise InputError(
            f"{where}: {path} has no dataclass {name!r}; it defines: {', '.join(classes) or 'no class'}. "
            "Options are the fields of a class under @dataclass(frozen=True)"
        )
    return found


def _convert(value: Any, hint: Any, place: str) -> Any:
    nested, many = _nested(hint)
    if nested is not None and not many and isinstance(value, Mapping):
        return build(nested, value, place)
    if nested is not None and many and isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
        return [build(nested, one, f"{place}.{i}") for i, one in enumerate(value)]
    try:
        result = msgspec.convert(value, hint)
    except msgspec.ValidationError:
        wanted = _type_name(hint) + "".join(f", {m.extra['wanted']}" for m in _metas(hint) if m.extra)
        raise InputError(f"{place}: got {value!r}, wanted {wanted}") from None
    except TypeError:
        raise InputError(f"{place}: {_type_name(hint)} is no type that an option can have") from None
    for number in _numbers(result):
        if isinstance(number, int) and abs(number) > LARGEST:
            raise InputError(f"{place}: got {value!r}, wanted at most {LARGEST}")
        if not math.isfinite(number):
            raise InputError(f"{place}: got {value!r}, wanted a finite number")
    return result


def _nested(hint: Any) -> tuple[type | None, bool]:
    """The dataclass that an option is a table of, or a list of tables of (True), if it is: its own keys are to be named."""
    if typing.get_origin(hint) is typing.Annotated:
        return _nested(hint.__origin__)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint, False
    parts = typing.get_args(hint)
    if typing.get_origin(hint) is list:
        return _nested(parts[0])[0], True
    # one or nothing
    return next((found for part in parts if (found := _nested(part))[0] is not None), (None, False))


def _numbers(value: Any) -> Iterable[int | float]:
    """The numbers in a value, those in lists and tables included."""
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _numbers(part)


def _annotations(cls: type) -> dict[str, Any]:
    """The annotations, evaluated once: that takes most of the time of making an instance, and a sweep's ranks make hundreds.

    They are kept on the class itself, so that they go with it: a user's is loaded again for every run.
    """
    if "_evaluated" not in vars(cls):
        cls._evaluated = typing.get_type_hints(cls, include_extras=True)  # type: ignore[attr-defined]
    return vars(cls)["_evaluated"]  # type: ignore[no-any-return]


def _hints(cls: type, where: str) -> dict[str, Any]:
    try:
        return _annotations(cls)
    except Exception as error:  # a user's annotations may be anything
        raise InputError(
            f"{where}: the annotations of {cls.__name__} cannot be read: {type(error).__name__}: {error}"
        ) from None


def _nearest(name: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _metas(hint: Any) -> Iterable[Meta]:
    yield from (m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Meta))
    for part in typing.get_args(hint):
        yield from _metas(part)


def _help(hint: Any) -> str:
    return "; ".join(m.description for m in _metas(hint) if m.description)


def _type_name(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Annotated:
        bounds = [
            f"{sign} {value}"
            for m in hint.__metadata__
            if isinstance(m, Meta)
            for sign, value in ((">=", m.ge), (">", m.gt), ("<=", m.le), ("<", m.lt))
            if value is not None
        ]
        return " ".join([_type_name(hint.__origin__), " and ".join(bounds)]).rstrip()
    if typing.get_origin(hint) is typing.Literal:
        return " | ".join(repr(a) for a in typing.get_args(hint))
    args = typing.get_args(hint)
    if args and typing.get_origin(hint) not in (tuple, list, dict):
        return " | ".join(_type_name(a) for a in args)
    if hint is type(None):
        return "none"
    return str(getattr(hint, "__name__", hint)) if not args else str(hint).replace("typing.", "")

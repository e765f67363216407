"""Tables of classes by name that load a class when it is asked for: a rank imports what its experiment names, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, TypeVar

T = TypeVar("T")


class Table(Mapping[str, T]):
    """Names in order, each with the place of its class: `module:Class`, the module within `package`."""

    def __init__(self, package: str, places: Mapping[str, str]) -> None:
        self._package, self._places = package, dict(places)

    def __getitem__(self, name: str) -> T:
        module, _, cls = self._places[name].partition(":")
        found: Any = getattr(import_module(f"{self._package}.{module}"), cls)
        return found  # type: ignore[no-any-return]

    def __contains__(self, name: object) -> bool:
        return name in self._places  # without loading it

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

"""mpidec list: what experiment files can name, with options, defaults and help taken from the code."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from mpidec.options import describe

_KINDS = ("algorithms", "problems", "topologies", "mixings", "metrics")


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("list", help="list algorithms, problems, topologies, mixings and metrics")
    parser.add_argument("kind", nargs="?", choices=_KINDS, help="only these")
    parser.set_defaults(main=main)


def main(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    for kind in [arguments.kind] if arguments.kind else _KINDS:
        print(f"{kind}")
        for name, help_line, cls in _entries(kind):
            print(f"  {name}  {help_line}")
            if cls is not None:
                for option in describe(cls):
                    default = "required" if option.required else f"default {_shown(option.default)}"
                    print(f"      {option.name:18} {option.type}; {default}{'; ' if option.help else ''}{option.help}")
        print()
    return 0


def _entries(kind: str) -> Iterator[tuple[str, str, type | None]]:
    """Name, line of help and class of options of each entry."""
    from mpidec.algorithms import ALGORITHMS
    from mpidec.graph.mixing import MIXINGS
    from mpidec.graph.topology import TOPOLOGIES
    from mpidec.metrics import METRICS
    from mpidec.problems import PROBLEMS

    if kind == "algorithms":
        yield from ((name, _first_line(cls), cls) for name, cls in ALGORITHMS.items())
    elif kind == "problems":
        for name, sources in PROBLEMS.items():
            yield from ((f"{name}, source = {source!r}", _first_line(cls), cls) for source, cls in sources.items())
    elif kind == "topologies":
        yield from ((name, _first_line(cls), cls) for name, cls in TOPOLOGIES.items())
    elif kind == "mixings":
        yield from ((name, mixing.help, None) for name, mixing in MIXINGS.items())
    else:
        yield from ((name, metric.help, None) for name, metric in METRICS.items())


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]


def _shown(default: Any) -> str:
    return "none" if default is None else repr(default)

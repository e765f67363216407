"""mpidec topology: a graph's size, degrees, diameter and spectral gap, and a picture of it."""

from __future__ import annotations

import argparse
from typing import Any

from mpidec.errors import InputError
from mpidec.graph.facts import GraphFacts, graph_facts
from mpidec.graph.mixing import MIXINGS
from mpidec.graph.structured import Grid, Torus
from mpidec.graph.topology import TOPOLOGIES, Topology, adjacency
from mpidec.options import build, choose, describe

_READ = {"int": int, "float": float}  # others stay text, and `build` says what is wrong with it


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the verb, with a parser for each topology that knows its options."""
    parser = subparsers.add_parser("topology", help="show a graph's degrees, diameter and spectral gap, and draw it")
    names = parser.add_subparsers(title="topologies", metavar="NAME", dest="topology", required=True)
    for name, cls in TOPOLOGIES.items():
        line = (cls.__doc__ or "").splitlines()[0]
        sub = names.add_parser(name, help=line, description=line)
        sub.add_argument("-n", "--nodes", type=int, required=True, help="number of nodes")
        for option in describe(cls):
            sub.add_argument(
                "--" + option.name.replace("_", "-"),
                dest=f"option_{option.name}",
                type=_READ.get(option.type.split()[0], str),
                required=option.required,
                default=argparse.SUPPRESS,
                metavar=option.type.split()[0].upper(),
                help=option.help + ("" if option.required or option.default is None else f" (default {option.default})"),
            )
        sub.add_argument("--seed", type=int, default=0, help="of a random graph (default 0)")
        sub.add_argument("--mixing", default="metropolis", help=f"{', '.join(MIXINGS)} (default metropolis)")
        sub.add_argument("--plot", metavar="FILE", help="draw the graph to a .png or .svg file")
        sub.set_defaults(main=main)


def main(arguments: argparse.Namespace) -> int:
    """Print the facts. Raises InputError where there is no such graph."""
    name, n, seed = arguments.topology, arguments.nodes, arguments.seed
    given = {key.removeprefix("option_"): v for key, v in vars(arguments).items() if key.startswith("option_")}
    topology = build(TOPOLOGIES[name], given, f"topology {name}")
    mixing = choose(MIXINGS, arguments.mixing, "mixing", "--mixing")
    if seed < 0:
        raise InputError(f"--seed: got {seed}, wanted a whole number >= 0")
    whole = adjacency(topology, n, seed) if arguments.plot or not topology.structured else None
    facts = graph_facts(topology, mixing, n, seed, whole)
    rows = _rows(topology, facts, mixing.name)
    width = max(len(key) for key, _ in rows)
    for key, value in rows:
        print(f"{key:{width}}  {value}")
    if arguments.plot and whole is not None:
        from mpidec.graph.draw import save_graph

        save_graph(arguments.plot, whole, facts, name)
        print(f"{'picture':{width}}  {arguments.plot}")
    return 0


def _rows(topology: Topology, facts: GraphFacts, mixing: str) -> list[tuple[str, str]]:
    name = topology.name
    if isinstance(topology, Grid | Torus):
        name += " of {} x {}".format(*topology.sides(facts.nodes))
    low, high = facts.diameter_low, facts.diameter_high
    how = facts.how if facts.how == "closed form" else f"{facts.how}, residual {facts.residual:.1e}"
    if facts.residual > facts.gap:  # as happens on long thin graphs
        how += ", more than the gap: gamma may be larger still"
    return [
        ("graph", name),
        ("nodes", f"{facts.nodes:,}"),
        ("edges", f"{facts.edges:,}"),
        ("degrees", f"{facts.degree_min} min, {facts.degree_mean:.4g} mean, {facts.degree_max} max"),
        ("diameter", f"{low:,}" if low == high else f"{low:,} to {high:,}"),
        ("mixing", mixing),
        ("gamma", f"{facts.gamma:.12g}"),
        ("spectral gap", f"{facts.gap:.6g}"),
        ("rounds to halve the disagreement", f"{facts.rounds_to_halve:.6g}"),
        ("smallest eigenvalue", f"{facts.lambda_min:.6g}"),
        ("found by", how),
    ]

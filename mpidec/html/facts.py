"""Tables of what was run, how it ended, and where the numbers come from."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from typing import Any

from mpidec.html.collect import Run
from mpidec.html.figures import human_bytes
from mpidec.html.parts import Cell, Table, many, ranged, value_cell
from mpidec.html.series import Series, differing
from mpidec.metrics import METRICS


def title(runs: Sequence[Run]) -> str:
    """What the page is called: the names of its experiments."""
    return ", ".join(dict.fromkeys(run.about.name for run in runs))


def lead(runs: Sequence[Run], several: Sequence[Series]) -> str:
    """How many runs, nodes, methods and seeds, and of what problem."""
    ranks = sorted({run.about.ranks for run in runs})
    seeds = sorted({run.seed for run in runs})
    nodes = " or ".join(map(str, ranks)) if len(ranks) < 5 else f"{ranks[0]} to {ranks[-1]}"
    methods = len({one.method for one in several})
    problem = runs[0].experiment["problem"]
    return (
        f"{many(len(runs), 'run')} on {nodes} {'node' if ranks == [1] else 'nodes'}, {many(methods, 'method')}, "
        f"{many(len(seeds), 'seed')}; problem {problem.get('kind')}"
        + (f" from {problem['source']}." if "source" in problem else ".")
    )


def results(several: Sequence[Series], metrics: Sequence[str]) -> Table:
    """A row a series: what its last rows say."""
    head = ["method", "runs", "iterations", *(f"final {m.replace('_', ' ')}" for m in metrics)]
    head += ["rounds", "bytes of the busiest node", "bytes in all", "seconds"]
    rows: list[list[Cell]] = []
    for one in several:
        cells: list[Cell] = [one.label, len(one.runs), ranged(one.last("step"), "{:,.0f}".format)]
        cells += [ranged(one.last(m), METRICS[m].shown) for m in metrics]
        cells += [ranged(one.last("rounds"), "{:,.0f}".format)]
        cells += [ranged(one.last(key), partial(_bytes, modeled=one.modeled)) for key in ("bytes_max", "bytes_total")]
        rows.append([*cells, ranged(one.last("seconds"), "{:.3g}".format)])
    note = "; median (and range) over runs that differ by the seed" if any(len(s.runs) > 1 for s in several) else ""
    note += "; ~ by a model of the all-reduce, not counted" if any(s.modeled for s in several) else ""
    return Table(f"How each method ended{note}", head, rows)


def _bytes(count: float, modeled: bool) -> str:
    return f"{'~' if modeled else ''}{human_bytes(count)}"


def _all_settings(run: Run) -> dict[str, Any]:
    return {**run.settings, **{f"method.{m}.{k}": v for m, own in run.methods.items() for k, v in own.items() if k != "label"}}


def same(runs: Sequence[Run]) -> Table:
    """The settings that all runs share."""
    tables = [_all_settings(run) for run in runs]
    different = differing(tables)
    rows = [[key, value_cell(value)] for key, value in tables[0].items() if key not in different]
    return Table("Settings" + (" that all runs share" if len(runs) > 1 else ""), ("setting", "value"), rows)


def differences(runs: Sequence[Run]) -> Table | None:
    """A row a run: seed, and whatever else is not the same in all; None for one run."""
    if len(runs) < 2:
        return None
    tables = [_all_settings(run) for run in runs]
    keys = list(dict.fromkeys(["seed", *differing(tables)]))
    rows = [[run.name, *(value_cell(t.get(k)) for k in keys)] for run, t in zip(runs, tables, strict=True)]
    return Table("What differs from run to run", ("run", *keys), rows)


def totals(runs: Sequence[Run]) -> Table:
    """A row a run and method: the sums of its ledger."""
    rows: list[list[Cell]] = []
    for run in runs:
        for label, traffic in run.traffic.items():
            busiest = max(traffic.links.items(), key=lambda item: item[1], default=None)
            most = None if busiest is None else f"{busiest[0][0]} to {busiest[0][1]}: {busiest[1]:,}"
            counted, modeled = sum(traffic.links.values()), sum(traffic.collective.values())
            rows.append([f"{run.name}: {label}", len(traffic.links), counted, modeled, traffic.total, most])
    head = ("run and method", "links", "bytes counted", "bytes modeled", "bytes in all", "busiest link, bytes")
    return Table("Bytes sent by all ranks, initialization and iterations, summed from ledger.csv", head, rows)


def moments(runs: Sequence[Run]) -> Table:
    """When each run was made, and how it ended."""
    rows = [[run.name, run.about.status, run.about.start, run.about.end] for run in runs]
    return Table("When it was run (UTC)", ("run", "status", "start", "end"), rows)


def provenance(runs: Sequence[Run]) -> Table:
    """Machine, libraries and versions: a row a fact, and a row each value where runs differ in it."""
    described = []
    for run in runs:
        about = run.about
        hosts = ", ".join(f"{name} ({many(count, 'rank')})" for name, count in about.hosts.items())
        facts: dict[str, Any] = {"hosts": hosts, "ranks": about.ranks, "cores of rank 0's host": about.cores}
        facts |= {"BLAS threads a rank": about.blas_threads, "platform": about.platform}
        facts |= {"MPI library": about.mpi_library, "git state of mpidec": about.git}
        facts |= {name.replace("_", " "): value for name, value in about.problem.items()}
        facts |= {f"version of {name}": value for name, value in about.versions.items()}
        described.append(facts)
    different = differing(described)
    rows: list[list[Cell]] = []
    for key in dict.fromkeys(key for facts in described for key in facts):
        if key in different:
            values = dict.fromkeys(value_cell(facts.get(key)) for facts in described)
            names = {v: [r.name for r, f in zip(runs, described, strict=True) if value_cell(f.get(key)) == v] for v in values}
            rows += [[f"{key}, {_some(names[value])}", value] for value in values]
        else:
            rows.append([key, value_cell(described[0][key])])
    return Table("Where the numbers come from", ("fact", "value"), rows)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def again(run: Run) -> str:
    """The command that repeats a run from its own settings."""
    library = any("library_bytes_max" in rows[-1] for rows in run.trace.values())
    more = ["--library-bytes"] if library else []
    return shlex.join(["mpidec", "run", str(run.folder / "experiment.toml"), *more])

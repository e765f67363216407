"""What the claim runs: sweeps, kept beside the results as files that `mpidec sweep` repeats one by one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mpidec.config import Experiment, Method
from mpidec.graph.base import Structured
from mpidec.graph.facts import graph_facts
from mpidec.graph.topology import adjacency
from mpidec.html.collect import Run
from mpidec.html.parts import Picture, Verdict
from mpidec.predict import predict
from mpidec.sweep.planned import Plan

Table = dict[str, Any]

CENTRAL = "centralized"
"""The label of AltGDmin over all-reduce, which every accuracy is held against."""

_POWER: Table = {"power_iterations": 6}  # no better here with the default's 15

START: Table = {**_POWER, "gossip_init": "chebyshev"}
"""Of the initialization of methods over gossip, which on sparse graphs takes most rounds: acceleration leaves their root."""

# seconds on two quiet cores, messages of 3.2 kB: to start and end ranks, and each of them; a round and an iteration, per node
_START, _RANK, _ROUND, _ITERATION = 2.5, 0.3, 9e-5, 7e-4


@dataclass(frozen=True)
class Findings:
    """What a statement came to: rows of the verdict table, and pictures."""

    verdicts: Sequence[Verdict]
    pictures: Sequence[Picture] = ()


Found = dict[str, list[Run]]
"""The finished runs of each plan, by its name; a plan of which none finished has an empty list."""


@dataclass(frozen=True)
class Part:
    """A statement: what must run for it (`quick`: with few ranks and seeds), and what follows from the runs alone."""

    title: str
    plans: Callable[[bool], Sequence[Plan]]
    judge: Callable[[Found, Callable[[str], str]], Findings]
    """Takes the runs, and from a plan's name to the command that repeats it."""


def experiment(name: str, ranks: int, graph: Table, methods: Sequence[Table], **more: Any) -> Table:
    """An experiment of the claim: d = T = 200, r = 2, n = 60, every second iteration observed; `more` changes the problem."""
    problem: Table = {"kind": "multitask_regression", "source": "synthetic", "d": 200, "tasks": 200, "rank": 2, "samples": 60}
    return {
        "name": name,
        "ranks": ranks,
        "graph": graph,
        "problem": problem | more,
        "method": list(methods),
        "observe": {"every": 2, "metrics": ["subspace_distance"]},
    }


def ladder(
    algorithm: str, rounds: Sequence[int], iterations: int, eps: float | None = None, gossip: str = "plain"
) -> list[Table]:
    """A [[method]] table for each number of rounds, which stops at the error eps; see `rungs`."""
    accelerated = f" {gossip}" if gossip != "plain" else ""
    tables = [{"algorithm": algorithm, "label": f"{algorithm}{accelerated} {k}", "rounds": k} for k in rounds]
    return [{**table, **START, "gossip": gossip, **_end(iterations, eps)} for table in tables]


def central(iterations: int, eps: float | None = None) -> Table:
    """The [[method]] table of the centralized yardstick."""
    return {"algorithm": "altgdmin_allreduce", "label": CENTRAL, **_POWER, **_end(iterations, eps)}


def _end(iterations: int, eps: float | None) -> Table:
    return {"iterations": iterations, **({} if eps is None else {"target": {"subspace_distance": eps}})}


def rungs(run: Run, algorithm: str, gossip: str = "plain") -> dict[int, str]:
    """The labels of a run's ladder of one algorithm, by rounds an iteration, of those that were observed."""
    found = {}
    for label, own in run.methods.items():
        if own["algorithm"] == algorithm and own.get("gossip") == gossip and "rounds" in own and label in run.trace:
            found[int(own["rounds"])] = label
    return dict(sorted(found.items()))


def climb(run: Run, algorithm: str, gossip: str = "plain") -> dict[int, list[dict[str, float]]]:
    """The observations of a run's ladder, by rounds an iteration."""
    return {rounds: run.trace[label] for rounds, label in rungs(run, algorithm, gossip).items()}


def seconds(experiment: Experiment, *, starts: bool = True) -> float:
    """An estimate of how long a run takes on two quiet cores: its rounds, its iterations at most and, where the ranks were not
    started for another run, their start.
    """
    nodes, seed = experiment.ranks, experiment.graph_seed
    topology = experiment.topology
    graph = None if isinstance(topology, Structured) else adjacency(topology, nodes, seed)
    facts = graph_facts(topology, experiment.mixing, nodes, seed, graph)
    problem = experiment.problem.rehearsal()

    def one(method: Method) -> float:
        traffic = predict(method.algorithm.bind(facts), problem, facts, {facts.degree_max: nodes}, method.iterations)[0]
        return nodes * (_ROUND * traffic.rounds + _ITERATION * method.iterations)

    return starts * (_START + _RANK * nodes) + math.fsum(one(method) for method in experiment.methods)

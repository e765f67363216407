"""What a run will take, before it is submitted: memory of a node, and time."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from mpidec.config import Experiment
from mpidec.errors import InputError
from mpidec.graph.facts import graph_facts
from mpidec.graph.topology import Structured, adjacency
from mpidec.predict import predict
from mpidec.problems import Smooth, TwoBlock

# bytes that a rank needs beside its data, Python and the MPI library included: hpc/bench/memory.py measures it
_RANK_NBYTES = 100e6
_TRIES = 3


@dataclass(frozen=True)
class Calibration:
    """What messages cost on a cluster: seconds a round, and bytes a second that a node sends. hpc/bench/network.py measures it.

    The default is a plain one: 10 Gbit/s Ethernet.
    """

    seconds_a_round: float = 1e-4
    bytes_a_second: float = 1e9

    @staticmethod
    def read(path: Path) -> Calibration:
        """The file that hpc/bench/network.py wrote. Raises InputError where it is none."""
        wanted = asdict(Calibration())
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            values = {name: float(found[name]) for name in wanted}
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{path} is no calibration ({type(error).__name__}: {error}): wanted a JSON file with {', '.join(wanted)}, as "
                "hpc/bench/network.py writes it"
            ) from None
        if min(values.values()) <= 0:
            raise InputError(f"{path}: got {values}, wanted numbers above 0; measure again with hpc/bench/network.py")
        return Calibration(**values)


def node_nbytes(experiment: Experiment, nodes: int) -> int | None:
    """Bytes that the fullest of `nodes` hosts needs at most; None where the problem does not tell its size."""
    problem = experiment.problem
    share = problem.share_nbytes(experiment.ranks)
    if share is None:
        return None
    return problem.host_nbytes + math.ceil(experiment.ranks / nodes) * int(share + problem.rank_nbytes + _RANK_NBYTES)


def seconds(experiment: Experiment, calibration: Calibration) -> float:
    """At most about how long the methods take, a core a rank: local steps as timed here, rounds and bytes as calibrated.

    Timed is a stochastic gradient of the rehearsal, or that of its one task, for as many tasks as fill the largest node's
    share; where the problem does not tell its size, for one.
    """
    nodes, topology = experiment.ranks, experiment.topology
    graph = None if isinstance(topology, Structured) else adjacency(topology, nodes, experiment.graph_seed)
    facts = graph_facts(topology, experiment.mixing, nodes, experiment.graph_seed, graph)
    problem = experiment.problem.rehearsal()
    step = _local_step(problem, experiment.problem.share_nbytes(nodes))
    total = 0.0
    for method in experiment.methods:
        busiest = predict(method.algorithm.bind(facts), problem, facts, {facts.degree_max: nodes}, method.iterations)[0]
        total += method.iterations * step
        total += busiest.rounds * calibration.seconds_a_round + busiest.bytes / calibration.bytes_a_second
    return total


def _timed(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


def _local_step(problem: TwoBlock | Smooth, share: int | None) -> float:
    x = problem.start(0)
    if isinstance(problem, Smooth):
        return min(_timed(lambda: problem.grad(x, 1)) for _ in range(_TRIES))
    tasks = 1.0 if share is None else share / problem.nbytes
    return tasks * min(_timed(lambda: problem.grad(x)) for _ in range(_TRIES))

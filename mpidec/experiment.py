"""An experiment on real ranks: agree on the settings, lay the graph, load the shards, run the methods, record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from mpidec.algorithms import Algorithm
from mpidec.checkpoint.opening import MethodCheckpoints, open_checkpoints
from mpidec.config import Experiment, Method
from mpidec.engine import Meter, Observer, Outcome, Row, run_loop
from mpidec.errors import InputError
from mpidec.fitting import all_metrics, check_counting, check_methods, check_problem
from mpidec.laying import Graph, lay_graph, load_problem, make_network
from mpidec.ledger import Ledger
from mpidec.link import Clock
from mpidec.metrics import choose_metrics
from mpidec.mpi.counters import LibraryCounters, library_counters
from mpidec.mpi.world import World
from mpidec.options import build
from mpidec.recorder import Recorder
from mpidec.recording import in_words, record_graph, record_methods, record_setup
from mpidec.resuming import Opened, open_again

if TYPE_CHECKING:
    from mpidec.mpi.abreast import Lane


def _counters() -> LibraryCounters:
    try:
        return library_counters()
    except RuntimeError as error:
        raise InputError(f"--library-bytes: {error}") from None


@dataclass(frozen=True)
class Solution:
    """A method's outcome on this rank, with its ledger and meter."""

    outcome: Outcome
    algorithm: Algorithm
    meter: Meter

    @property
    def ledger(self) -> Ledger:
        """What this rank sent and received."""
        return self.meter.ledger


def run(
    world: World | Lane,
    graph: Graph,
    problem: Any,
    algorithm: Algorithm,
    iterations: int,
    *,
    every: int = 10,
    metrics: Sequence[str] | None = None,
    target: Mapping[str, float] | None = None,
    seed: int = 0,
    on_row: Callable[[Row], None] | None = None,
    library_bytes: bool = False,
    checkpoints: MethodCheckpoints | None = None,
) -> Solution:
    """Run one algorithm on a laid graph and a loaded problem. Collective.

    `on_row` is called on rank 0 with each observation. Raises InputError on all ranks, before the algorithm's first
    message, where options do not fit the graph or the problem.
    """

    def bound() -> tuple[Algorithm, list[str]]:
        for name, number in (("iterations", iterations), ("every", every)):
            if number < 1:
                raise InputError(f"{name}: got {number}, wanted at least 1")
        kind = type(algorithm)
        options = {f.name: getattr(algorithm, f.name) for f in fields(algorithm)}
        build(kind, {name: value for name, value in options.items() if value is not None}, kind.__name__)
        check_problem(algorithm, problem, kind.__name__)
        names = choose_metrics(metrics, problem)
        return algorithm.bind(graph.facts), choose_metrics([*names, *(target or {})], problem)

    ready, names = world.together(bound)
    ledger, clock = Ledger(world.local_ranks), Clock()
    world.ledger = ledger
    with world.scope():
        network = make_network(world, graph, ready, ledger, clock)
        meter = Meter(ledger, clock, world.together(_counters) if library_bytes else None)
        observer = Observer(world, meter, names, every, target, on_row if world.rank == 0 else None)
        kept = checkpoints or MethodCheckpoints()
        begin, keeper, transcript = kept.attach(meter, lambda: network.transcript)
        outcome = run_loop(ready, network, problem, observer, iterations, problem.start(seed), begin, keeper)
        own = transcript()
        first = world.share(own)
        world.together(lambda: _check_transcript(own, first, world.rank))
    return Solution(outcome, ready, meter)


def _check_transcript(own: int, first: int, rank: int) -> None:
    if own != first:
        raise InputError(
            f"ranks 0 and {rank} sent arrays of different sizes or types in the same exchange, and what came of it means "
            "nothing; a method sends the same shapes in the same order at every node"
        )


class Ended(NamedTuple):
    """How an experiment ended: a sentence for each method that diverged, and one if it was asked to stop before its end."""

    diverged: list[str]
    stopped: str | None = None


def run_experiment(
    world: World,
    experiment: Experiment,
    folder: Path | None,
    about: dict[str, Any],
    *,
    library_bytes: bool = False,
    resume: bool = False,
    progress: Any = None,
    on_recorder: Callable[[Recorder], None] | None = None,
    asked: Callable[[], bool] = lambda: False,
) -> Ended:
    """Run all methods of an experiment and record them in `folder`, or a new one under runs. Collective.

    With `resume`, a folder that is there is gone on with: methods that ended are left as they are, the one that was cut
    off goes on from its newest checkpoint. `progress` (rank 0) hears of methods and rows; `on_recorder` (rank 0) gets the
    recorder as soon as there is one; `asked` tells on any rank that the run shall stop at its next chance, which takes a
    section [checkpoint]. Raises InputError before the first message of an algorithm, RunError where results can no longer
    be written; what was recorded stays.
    """
    began = perf_counter()
    world.together(lambda: check_ranks(world.size, experiment))
    world.together(lambda: check_counting(experiment, library_bytes))

    def open_former() -> Opened | None:
        if world.rank != 0 or not resume or folder is None:
            return None
        return open_again(folder, experiment.resolved, library_bytes)

    opened = world.together(open_former)
    graph = lay_graph(world, experiment.topology, experiment.mixing, experiment.graph_seed)
    problem = load_problem(world, experiment.problem, experiment.seed)
    world.together(lambda: check_methods(experiment, problem, graph.facts))
    metrics = world.together(lambda: all_metrics(experiment, problem))
    references = _references(world, problem)
    hosts = world.hosts()

    def open_recorder() -> Recorder | None:
        if world.rank != 0:
            return None
        more = {
            "name": experiment.name,
            "hosts": {name: len(ranks) for name, ranks in (hosts or {}).items()},
            "layout": {name: in_words(ranks) for name, ranks in (hosts or {}).items()},
            "graph": {**asdict(graph.facts), "gap": graph.facts.gap},
            "references": references,
            "problem": getattr(problem, "notes", {}),
            "library_bytes": library_bytes,
            "abreast": experiment.abreast,
        }
        return Recorder(folder, experiment.resolved, {**about, **more, "setup_seconds": perf_counter() - began}, opened)

    recorder = world.together(open_recorder)
    if recorder is not None and on_recorder is not None:
        on_recorder(recorder)
    former = world.share(dict(opened.finished) if opened is not None else {})
    left = [method for method in experiment.methods if method.label not in former]
    checkpoints = open_checkpoints(world, experiment.checkpoint, recorder, asked, resume)
    snapshot = checkpoints.newest(left[0].label) if checkpoints is not None and resume and left else None
    step = None if snapshot is None else snapshot.start.step
    world.together(lambda: recorder.go_on(left[0].label if left else None, step) if recorder is not None else None)
    record_setup(world, recorder)
    record_graph(world, recorder, graph.neighbors)
    diverged = [how["advice"] for how in former.values() if how["ending"] == "diverged"]

    def solve(method: Method, ranks: World | Lane, on_row: Callable[[Row], None] | None = None) -> Solution:
        def keep(row: Row) -> None:
            assert recorder is not None
            recorder.row(method.label, row)
            if on_row is not None:
                on_row(row)

        return run(
            ranks,
            graph,
            problem,
            method.algorithm,
            method.iterations,
            every=experiment.observe.every,
            metrics=metrics,
            target=method.target,
            seed=experiment.seed,
            on_row=keep,
            library_bytes=library_bytes,
            checkpoints=MethodCheckpoints(checkpoints, method.label, snapshot),
        )

    if experiment.abreast and left:
        solutions = zip((method.label for method in left), _solve_abreast(world, left, solve, progress), strict=True)
        return Ended(diverged + record_methods(world, recorder, dict(solutions)))
    for method in left:
        if checkpoints is not None and checkpoints.stopping():
            return Ended(diverged, f"stopped before {method.label}, as asked to")
        if progress is not None:
            progress.begin(method.label, method.iterations)
        solution = solve(method, world, None if progress is None else progress.row)
        snapshot = None
        if solution.outcome.ending == "stopped":
            assert checkpoints is not None
            return Ended(diverged, checkpoints.farewell(method.label, solution.outcome.steps))
        diverged += record_methods(world, recorder, {method.label: solution})
        if checkpoints is not None:
            checkpoints.drop()
    if checkpoints is not None and not left:
        checkpoints.drop()  # killed before it came to that
    return Ended(diverged)


def _solve_abreast(world: World, methods: Sequence[Method], solve: Callable[..., Solution], progress: Any) -> list[Solution]:
    """All methods together; `progress` hears of the longest."""
    from mpidec.mpi.abreast import run_abreast

    longest = max(methods, key=lambda method: method.iterations)
    if progress is not None:
        progress.begin(f"{len(methods)} methods abreast, {longest.label}", longest.iterations)

    def work(method: Method) -> Callable[[Lane], Solution]:
        return lambda lane: solve(method, lane, None if progress is None or method is not longest else progress.row)

    return run_abreast(world, [work(method) for method in methods])


def check_ranks(size: int, experiment: Experiment) -> None:
    """Raise InputError where the world is not of the size that the experiment asks for."""
    if experiment.ranks != size:
        raise InputError(
            f"the experiment is for {experiment.ranks} ranks and MPI was started with {size}: start as many, or give -n {size}"
        )


def _references(world: World, problem: Any) -> dict[str, float]:
    """The problem's own yardsticks, means over all tasks."""
    own = world.together(lambda: problem.references() if hasattr(problem, "references") else {})
    return {name: float(world.total(value)) / problem.total_tasks for name, value in own.items()}

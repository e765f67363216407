"""mpidec run --dry-run: the resolved settings and the traffic they would cause, without a rank started."""

from __future__ import annotations

import tomli_w
from rich.console import Console
from rich.table import Table

from mpidec.config import Experiment
from mpidec.fitting import check_methods
from mpidec.graph.facts import graph_facts
from mpidec.graph.topology import Structured, adjacency
from mpidec.predict import predict


def show(experiment: Experiment) -> int:
    """Print the experiment file with nothing left out, the graph's facts, and messages and bytes of each method.

    Predicted is a run to its last iteration, initialization included; a target may end it earlier. Raises InputError as the
    run itself would.
    """
    n = experiment.ranks
    experiment.topology.check(n)
    graph = None
    if not isinstance(experiment.topology, Structured):
        graph = adjacency(experiment.topology, n, experiment.graph_seed)
    facts = graph_facts(experiment.topology, experiment.mixing, n, experiment.graph_seed, graph)
    if isinstance(experiment.topology, Structured):
        degrees = experiment.topology.degree_counts(n)
    else:
        assert graph is not None
        degrees = {int(d): int((graph.degrees == d).sum()) for d in set(graph.degrees.tolist())}
    experiment.problem.check(n)
    experiment.problem.check_memory(n)
    problem = experiment.problem.rehearsal()

    check_methods(experiment, problem, facts)
    print(tomli_w.dumps(experiment.resolved))
    print(
        f"{facts.nodes} nodes, {facts.edges} edges, degrees {facts.degree_min} to {facts.degree_max}, "
        f"gamma {facts.gamma:.6g}, diameter {facts.diameter_high}"
    )
    table = Table(title="predicted traffic (sent), of one node of each kind and of all", title_justify="left")
    table.add_column("method", no_wrap=True)
    table.add_column("nodes", no_wrap=True)
    for name in ("rounds/iteration", "messages/iteration", "bytes/iteration", "messages in all", "bytes in all"):
        table.add_column(name, justify="right", no_wrap=True)
    for method in experiment.methods:
        mark = "~" if method.algorithm.network == "all_reduce" else ""
        kinds = predict(method.algorithm.bind(facts), problem, facts, degrees, method.iterations)
        rounds = _span([s.each.rounds for s in kinds[0].steps])
        for kind in kinds:
            cells = [_span([getattr(s.each, name) for s in kind.steps], mark) for name in ("messages", "bytes")]
            cells += [f"{mark}{kind.messages:,}", f"{mark}{kind.bytes:,}"]
            table.add_row(method.label, f"{kind.nodes} x {kind.who}", rounds, *cells)
        cells = []
        for name in ("messages", "bytes"):
            # the classes of steps are the same at every kind of node
            by_class = zip(*([k.nodes * getattr(s.each, name) for s in k.steps] for k in kinds), strict=True)
            cells.append(_span([sum(counts) for counts in by_class], mark))
        cells += [f"{mark}{sum(k.nodes * getattr(k, name) for k in kinds):,}" for name in ("messages", "bytes")]
        table.add_row(method.label, "all", rounds, *cells, end_section=True)
    Console(width=160).print(table)
    if any(m.algorithm.at_largest() is not m.algorithm for m in experiment.methods):
        print("a rank that is estimated counts as the problem's, which is the largest it can be")
    if any(m.algorithm.network == "all_reduce" for m in experiment.methods):
        print("~ modeled: 2 (L-1)/L of the payload a node")
    return 0


def _span(counts: list[int], mark: str = "") -> str:
    """The one value, or the least and the largest."""
    low, high = min(counts), max(counts)
    return f"{mark}{low:,}" if low == high else f"{mark}{low:,} to {high:,}"

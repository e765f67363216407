"""Whether an experiment's settings go together, with its graph and with its problem: found before the first message."""

from __future__ import annotations

from typing import Any

from mpidec.algorithms import Algorithm
from mpidec.config import Experiment
from mpidec.errors import InputError
from mpidec.graph.facts import GraphFacts
from mpidec.metrics import choose_metrics


def check_counting(experiment: Experiment, library_bytes: bool) -> None:
    """Raise InputError where the library's counts are wanted and could not be told apart by method."""
    if library_bytes and experiment.abreast:
        raise InputError("--library-bytes: methods that go abreast share their messages: leave out one of the two")


def check_methods(experiment: Experiment, problem: Any, facts: GraphFacts) -> None:
    """Raise InputError where a method's options do not fit the graph or the problem."""
    for method in experiment.methods:
        check_problem(method.algorithm, problem, method.label)
        try:
            method.algorithm.bind(facts)
        except InputError as error:
            raise InputError(f"method {method.label!r}: {error}") from None
        except ValueError as error:
            raise InputError(f"method {method.label!r} does not fit the graph: {error}") from None
    all_metrics(experiment, problem)


def all_metrics(experiment: Experiment, problem: Any) -> list[str]:
    """The metrics that every method is observed by: those of [observe], and the targets of any method.

    Raises InputError for one that the problem does not have.
    """
    names = choose_metrics(experiment.observe.metrics, problem)
    return choose_metrics([*names, *(name for method in experiment.methods for name in method.target)], problem)


def check_problem(algorithm: Algorithm, problem: Any, label: str) -> None:
    """Raise InputError where the problem is not of the kind that the algorithm works on, or does not fit its options."""
    if not isinstance(problem, algorithm.requires):
        raise InputError(
            f"method {label!r} works on problems of the kind {algorithm.requires.__name__}, which this one is not; "
            "see mpidec list problems"
        )
    try:
        algorithm.check(problem)
    except InputError as error:
        raise InputError(f"method {label!r}: {error}") from None

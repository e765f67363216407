"""What is measured about the estimates: collective, outside the clock, booked on the account `observe`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mpidec.errors import InputError
from mpidec.problems import ClosedForm, Smooth

Array = NDArray[Any]


class Reductions(Protocol):
    """The part of World that metrics use."""

    @property
    def rank(self) -> int:
        """This node's number."""
        ...

    @property
    def size(self) -> int:
        """The number of nodes."""
        ...

    def total(self, x: Array | float) -> Array:
        """Sum over all nodes."""
        ...

    def maximum(self, x: Array | float) -> Array:
        """Largest over all nodes."""
        ...


@dataclass(frozen=True)
class Metric:
    """A number for the whole network: how to compute it, whether the problem has it, which way is better."""

    help: str
    value: Callable[[Reductions, Any, Array], float]
    applies: Callable[[Any], bool]
    higher_is_better: bool = False
    of_iterate: bool = False
    """Whether it looks at `Algorithm.iterate`, not at the estimate."""
    boundless: bool = False
    """Whether it grows without bound as the estimates do."""
    costly: Callable[[Any], bool] = lambda problem: False
    """Whether it costs so much on the problem that it is recorded only where it is named."""

    def reached(self, value: float, target: float) -> bool:
        """Whether `value` is as good as `target`; what is not a number never is."""
        return value >= target if self.higher_is_better else value <= target

    def shown(self, value: float) -> str:
        """The value as tables show it."""
        return f"{value:.4f}" if self.higher_is_better else f"{value:.2e}"


def subspace_distance_here(U: Array, truth: Array) -> float:
    """SD_2(U, U*) = ||(I - Q Q^T) U*||_2 for a basis Q of the columns of U (d, r) and U* (d, r*) orthonormal.

    1 where U has fewer columns than U*; more cost nothing. Infinite where U is not finite.
    """
    if not np.isfinite(U).all():
        return np.inf
    Q, _ = np.linalg.qr(U)
    return float(np.linalg.norm(truth - Q @ (Q.T @ truth), 2))


def _worst_distance(world: Reductions, problem: Any, U: Array) -> float:
    return float(world.maximum(subspace_distance_here(U, problem.truth)))


def _mean_distance(world: Reductions, problem: Any, U: Array) -> float:
    return float(world.total(subspace_distance_here(U, problem.truth))) / world.size


def _consensus_distance(world: Reductions, problem: Any, x: Array) -> float:
    mean = world.total(x) / world.size
    return float(np.sqrt(world.total(float(np.sum((x - mean) ** 2))) / world.size))


def _loss(world: Reductions, problem: Any, x: Array) -> float:
    return float(world.total(problem.loss(x)))


def _accuracy(world: Reductions, problem: Any, x: Array) -> float:
    return float(world.total(problem.scores(x)["accuracy"])) / float(problem.total_tasks)


def _mean(world: Reductions, x: Array | float) -> Array:
    return world.total(x) / world.size


def _objective(world: Reductions, problem: Any, x: Array) -> float:
    return float(_mean(world, problem.loss(_mean(world, x))))


def _suboptimality(world: Reductions, problem: Any, x: Array) -> float:
    if isinstance(problem, ClosedForm):
        return problem.excess(_mean(world, x))
    return _objective(world, problem, x) - float(problem.minimum)


def _in_turn(world: Reductions, x: Array) -> Iterator[Array]:
    """Every node's x, at all nodes, for what no node can evaluate alone."""
    for g in range(world.size):
        yield world.total(x if world.rank == g else np.zeros_like(x))


def _local_excess(world: Reductions, problem: Any, x: Array) -> float:
    """f(x_g) - min f of this node's own x_g."""
    if isinstance(problem, ClosedForm):
        return problem.excess(x)
    values = [float(_mean(world, problem.loss(theirs))) for theirs in _in_turn(world, x)]
    return values[world.rank] - float(problem.minimum)


def _suboptimality_local(world: Reductions, problem: Any, x: Array) -> float:
    return float(_mean(world, _local_excess(world, problem, x)))


def _suboptimality_worst(world: Reductions, problem: Any, x: Array) -> float:
    return float(world.maximum(_local_excess(world, problem, x)))


def _distance_to_optimum(world: Reductions, problem: Any, x: Array) -> float:
    return float(np.linalg.norm(_mean(world, x) - problem.optimum))


def _test_accuracy(world: Reductions, problem: Any, x: Array) -> float:
    return float(world.total(problem.scores(_mean(world, x))["test_accuracy"]))


def _test_accuracy_local(world: Reductions, problem: Any, x: Array) -> float:
    found = [float(world.total(problem.scores(theirs)["test_accuracy"])) for theirs in _in_turn(world, x)]
    return sum(found) / world.size


def _has_held_out(problem: Any) -> bool:
    return "test_accuracy" in getattr(problem, "score_names", ())


def _has_minimum(problem: Any) -> bool:
    return isinstance(problem, Smooth) and problem.minimum is not None


def _passes(problem: Any) -> bool:
    """Whether `_local_excess` takes a pass over all data for every node."""
    return not isinstance(problem, ClosedForm)


METRICS: dict[str, Metric] = {
    "subspace_distance": Metric(
        "SD_2(U_g, U*) of the worst node", _worst_distance, lambda p: getattr(p, "truth", None) is not None
    ),
    "subspace_distance_mean": Metric(
        "SD_2(U_g, U*), mean over nodes", _mean_distance, lambda p: getattr(p, "truth", None) is not None
    ),
    "consensus_distance": Metric("root mean square over nodes of ||x_g - mean x||_F", _consensus_distance, lambda p: True),
    "consensus_distance_iterates": Metric(
        "the same of the iterates w_g, where a method's estimate is an average of them",
        _consensus_distance,
        lambda p: isinstance(p, Smooth),
        of_iterate=True,
    ),
    "loss": Metric("sum of all nodes' losses, each at its own estimate", _loss, lambda p: not isinstance(p, Smooth)),
    "objective": Metric(
        "f at the mean of the nodes' estimates",
        _objective,
        lambda p: isinstance(p, Smooth) and p.minimum is None,
        boundless=True,
    ),
    "suboptimality": Metric("f - min f at the mean of the nodes' estimates", _suboptimality, _has_minimum, boundless=True),
    "suboptimality_local": Metric(
        "mean over nodes of f - min f, each at its own estimate",
        _suboptimality_local,
        _has_minimum,
        boundless=True,
        costly=_passes,
    ),
    "suboptimality_worst": Metric(
        "f - min f at the worst node's estimate", _suboptimality_worst, _has_minimum, boundless=True, costly=_passes
    ),
    "distance_to_optimum": Metric(
        "distance from the mean of the nodes' estimates to the optimum",
        _distance_to_optimum,
        lambda p: isinstance(p, Smooth) and p.optimum is not None,
        boundless=True,
    ),
    "test_accuracy": Metric(
        "held-out accuracy of the mean of the nodes' estimates",
        _test_accuracy,
        _has_held_out,
        higher_is_better=True,
    ),
    "test_accuracy_local": Metric(
        "mean over nodes of the held-out accuracy, each at its own estimate",
        _test_accuracy_local,
        _has_held_out,
        higher_is_better=True,
        costly=lambda problem: True,
    ),
    "accuracy": Metric(
        "held-out accuracy, mean over tasks, each with its own node's estimate",
        _accuracy,
        lambda p: "accuracy" in getattr(p, "score_names", ()),
        higher_is_better=True,
    ),
}


def leading(names: Iterable[str]) -> list[str]:
    """Of the recorded names, the metrics that tell how well a method did: error and accuracy, else loss, else any."""
    recorded = [name for name in names if name in METRICS]
    best = [n for n in recorded if n in ("subspace_distance", "accuracy", "suboptimality", "objective", "test_accuracy")]
    return best or [n for n in recorded if n == "loss"] or recorded[:1]


def choose_metrics(names: Sequence[str] | None, problem: Any) -> list[str]:
    """The metrics to record: those named, each once, or all that the problem has and that cost little.

    Raises InputError for one that the problem does not have.
    """
    having = [name for name, metric in METRICS.items() if metric.applies(problem)]
    for name in names or ():
        if name not in having:
            raise InputError(f"metrics: this problem has no {name!r}; it has: {', '.join(having)}")
    if names is None:
        return [name for name in having if not METRICS[name].costly(problem)]
    return list(dict.fromkeys(names))

"""What a round of D-SGD costs beside the bare MPI call and its gradient, and an epoch beside one process: ratios in one run.

    python hpc/bench/sgd_round.py                  # 16 ranks, d = 7,850; target at most 1.3
    python hpc/bench/sgd_round.py --epoch          # 4 ranks on Fashion-MNIST against plain NumPy with the same total batches;
                                                   # target at most 1 with 1,024 samples a step

A round: logistic regression of Fashion-MNIST's size on random data, on a ring. Alternating in one run: (a) `DSGD.step`; (b) the
same gradient alone and a bare mpi4py Neighbor_allgather of the same bytes. An epoch: (a) 4 ranks of D-SGD on a ring, each with
a quarter of the batch; (b) as above, which no method that sends an x a round can undercut; (c, d) one process that gathers,
multiplies and steps in NumPy, on one BLAS thread and on as many as there are cores, while the ranks sleep; each after a pass to
warm up. Blocks are interleaved; medians and quartiles are over blocks, of the slowest rank.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from time import perf_counter
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from machine import start

from mpidec.mpi import launcher

CLASSES, FEATURES = 10, 784


def ring(world: Any) -> tuple[Any, tuple[int, ...]]:
    """A network on a ring with equal weights, and the neighbors."""
    from mpidec.ledger import Ledger
    from mpidec.link import Clock, Link
    from mpidec.network import Network

    neighbors = tuple(sorted({(world.rank - 1) % world.size, (world.rank + 1) % world.size} - {world.rank}))
    weights = np.full(len(neighbors), 1 / (1 + len(neighbors)))
    link = Link(world.transport(neighbors, neighbors), Ledger(), Clock())
    return Network(link, 1 - weights.sum(), weights), neighbors


class Bare:
    """The gradient and the bare MPI call, nothing else."""

    name = "gradient and Neighbor_allgather"

    def __init__(self, problem: Any, neighbors: tuple[int, ...], x: Any) -> None:
        from mpi4py import MPI

        self._problem, self._x = problem, x
        self._graph = MPI.COMM_WORLD.Create_dist_graph_adjacent(neighbors, neighbors, reorder=False)
        self._received = np.empty((len(neighbors), x.size), x.dtype)

    def __call__(self, rounds: int) -> None:
        """So many rounds."""
        for k in range(rounds):
            self._graph.Neighbor_allgather(self._problem.grad(self._x, k), self._received)

    def close(self) -> None:
        """Free the communicator."""
        self._graph.Free()


def tell(world: Any, what: str, seconds: dict[str, list[float]], unit: str, factor: float) -> None:
    """Print all, and the ratio of the first to each, on rank 0."""
    if world.rank:
        return
    first = np.array(next(iter(seconds.values())))
    for name, own in seconds.items():
        low, median, high = factor * np.percentile(own, [25, 50, 75])
        ratios = np.percentile(first / own, [25, 50, 75])
        ratio = "ratio {1:.3f} [{0:.3f}, {2:.3f}]".format(*ratios)
        print(f"{what} {name:37} {median:9.1f} {unit} [{low:.1f}, {high:.1f}]  {ratio}", flush=True)


def measure_round(batch: int, dtype: str, blocks: int, calls: int) -> None:
    """Rounds of D-SGD on 200 random samples a node."""
    from mpidec import DSGD
    from mpidec.mpi.world import World
    from mpidec.problems.classification import Own
    from mpidec.problems.logistic import LogisticRegression

    with World() as world:
        rng = np.random.default_rng(world.rank)
        X, y = rng.random((200, FEATURES)).astype(dtype), rng.integers(0, CLASSES, 200)
        problem = LogisticRegression(X, Own(y, batch, seed=0, node=world.rank), classes=CLASSES, l2=1e-4, dtype=dtype)
        net, neighbors = ring(world)
        algorithm = DSGD(step_size=1e-3)
        state = algorithm.init(net, problem, problem.start(0))
        bare = Bare(problem, neighbors, state.x)

        def whole() -> None:
            nonlocal state
            for k in range(calls):
                state = algorithm.step(net, problem, state, k)

        names = ("D-SGD", bare.name)
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for block in range(blocks + 1):
            for name, call in zip(names, (whole, lambda: bare(calls)), strict=True):
                world.barrier()
                start = perf_counter()
                call()
                if block:  # the first is warm-up
                    seconds[name].append(float(world.maximum((perf_counter() - start) / calls)))
        tell(world, f"{world.size:3d} ranks d = {state.x.size:,} {dtype} batch {batch}", seconds, "us/round", 1e6)
        bare.close()


def measure_epoch(batch: int, dtype: str, blocks: int) -> None:
    """A pass over Fashion-MNIST, `batch` samples a step in all."""
    from mpidec import DSGD
    from mpidec.laying import load_problem
    from mpidec.mpi.world import World
    from mpidec.problems import PROBLEMS

    with World() as world:
        M = world.size
        spec: Any = PROBLEMS["logistic"]["fashion"](batch=batch // M, dtype=dtype, find_minimum=False)
        problem = load_problem(world, spec, 0)
        steps = len(problem.y) * M // batch
        plain = {
            f"one process, NumPy, {many(n)}": start_plain(n, batch, dtype, steps) if world.rank == 0 else None
            for n in sorted({1, launcher.cores()})
        }
        net, neighbors = ring(world)
        algorithm = DSGD(step_size=0.05)
        bare = Bare(problem, neighbors, problem.start(0))

        def whole() -> None:
            state = algorithm.init(net, problem, problem.start(0))
            for k in range(steps):
                state = algorithm.step(net, problem, state, k)

        ours = {"D-SGD on all ranks": whole, f"{bare.name} alone": lambda: bare(steps)}
        seconds: dict[str, list[float]] = {name: [] for name in (*ours, *plain)}
        for _ in range(blocks):
            for name, call in ours.items():
                # of two passes the second: ranks that have slept come back on any core, often three on one and one on the other
                for _ in range(2):
                    world.barrier()
                    start = perf_counter()
                    call()
                    taken = perf_counter() - start
                seconds[name].append(float(world.maximum(taken)))
            for name, child in plain.items():
                taken = 0.0 if child is None else plain_seconds(child)
                world.gather_patiently()
                seconds[name].append(float(world.maximum(taken)))
        for child in plain.values():
            if child is not None:
                child.communicate()
        bare.close()
        tell(world, f"{M:3d} ranks Fashion-MNIST {dtype} batch {batch} in all", seconds, "ms/epoch", 1e3)


def many(threads: int) -> str:
    """In words."""
    return f"{threads} BLAS thread{'s' * (threads > 1)}"


def start_plain(threads: int, batch: int, dtype: str, steps: int) -> subprocess.Popen[str]:
    """A process that makes epochs in NumPy with so many BLAS threads, one for each line that it gets."""
    command = [sys.executable, __file__, "--plain", str(steps), "--batch", str(batch), "--dtype", dtype]
    own = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    own["OMP_NUM_THREADS"] = str(threads)
    return subprocess.Popen(command, env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def plain_seconds(child: subprocess.Popen[str]) -> float:
    """What its next epoch takes."""
    assert child.stdin is not None and child.stdout is not None
    print(file=child.stdin, flush=True)
    return float(child.stdout.readline())


def be_plain(batch: int, dtype: str, steps: int) -> None:
    """Be that process."""
    from mpidec.problems import PROBLEMS

    whole = load_whole(PROBLEMS["logistic"]["fashion"](dtype=dtype, find_minimum=False))
    for _ in sys.stdin:
        for _ in range(2):
            start = perf_counter()
            plain_epoch(*whole, batch, steps)
            taken = perf_counter() - start
        print(taken, flush=True)


def load_whole(spec: Any) -> tuple[Any, Any]:
    """All samples with a 1 at the end, and their classes."""
    data = spec.data()
    A = np.ones((len(data.X), data.X.shape[1] + 1), spec.dtype)
    np.multiply(data.X, data.scale, out=A[:, :-1], casting="same_kind")
    return A, np.array(data.y)


def plain_epoch(A: Any, y: Any, batch: int, steps: int) -> Any:
    """Minibatch SGD as one would write it."""
    rng = np.random.default_rng(0)
    W = np.zeros((A.shape[1], CLASSES), A.dtype)
    each = np.arange(batch)
    order = rng.permutation(len(A))
    for k in range(steps):
        rows = order[k * batch : (k + 1) * batch]
        part = A[rows]
        P = np.exp(part @ W)
        P /= P.sum(axis=1, keepdims=True)
        P[each, y[rows]] -= 1
        W -= 0.05 * (part.T @ P / batch + 1e-4 * W)
    return W


def main() -> int:
    """Start the ranks, or measure as one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epoch", action="store_true")
    parser.add_argument("--ranks", type=int, default=None)
    parser.add_argument(
        "--batch", type=int, nargs="+", help="of a node and round (32), or of a step of all ranks (128 256 512 1024)"
    )
    parser.add_argument("--dtype", choices=["float64", "float32"], default="float64")
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--plain", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plain is not None:
        be_plain(*given.batch, given.dtype, given.plain)
        return 0
    if launcher.promised() is None:
        ranks = given.ranks or (4 if given.epoch else 16)
        for batch in given.batch or ([128, 256, 512, 1024] if given.epoch else [32]):
            if status := start(ranks, __file__, *sys.argv[1:], "--batch", str(batch)).returncode:
                return status
        return 0
    if given.epoch:
        measure_epoch(*given.batch, given.dtype, given.blocks)
    else:
        measure_round(*given.batch, given.dtype, given.blocks, 100)
    return 0


if __name__ == "__main__":
    sys.exit(main())

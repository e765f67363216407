"""What Network.mix costs beside the bare MPI call: a ratio measured in one run.

    mpiexec -n 8 python hpc/bench/exchange.py            # or: python hpc/bench/exchange.py --ranks 8

On a ring, alternating in one run: (a) Network.mix; (b) a bare mpi4py Neighbor_allgather on the same graph plus the same
weighted sums, which like (a) keep x and give a new array; (c) as (b) with the persistent call. Blocks of rounds are
interleaved, so that a change of the machine's load hits all three; medians and quartiles are over blocks, of the slowest rank.
"""

from __future__ import annotations

import argparse
import os
import sys
from time import perf_counter

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from machine import start

from mpidec.mpi import launcher


def measure(size: int, rounds: int, blocks: int) -> None:
    """Print one line a variant for messages of `size` bytes and `rounds` rounds a call."""
    from mpi4py import MPI

    from mpidec.ledger import Ledger
    from mpidec.link import Clock, Link
    from mpidec.mpi.world import World
    from mpidec.network import Network

    with World() as world:
        L, rank = world.size, world.rank
        neighbors = tuple(sorted({(rank - 1) % L, (rank + 1) % L} - {rank}))
        weights = np.full(len(neighbors), 1 / (1 + len(neighbors)))
        own = 1 - weights.sum()
        net = Network(Link(world.transport(neighbors, neighbors), Ledger(), Clock()), own, weights)
        graph = MPI.COMM_WORLD.Create_dist_graph_adjacent(neighbors, neighbors, reorder=False)
        x = np.random.default_rng(rank).standard_normal(size // 8)
        received = np.empty((len(neighbors), x.size))
        fixed = np.empty_like(x)
        request = graph.Neighbor_allgather_init([fixed, x.size, MPI.DOUBLE], [received, x.size, MPI.DOUBLE])

        def sums(y: np.ndarray) -> np.ndarray:
            mixed = own * y
            for row, weight in zip(received, weights, strict=True):
                mixed += weight * row
            return mixed

        def blocking() -> np.ndarray:
            y = x
            for _ in range(rounds):
                graph.Neighbor_allgather([y, y.size, MPI.DOUBLE], [received, y.size, MPI.DOUBLE])
                y = sums(y)
            return y

        def persistent() -> np.ndarray:
            y = x
            for _ in range(rounds):
                np.copyto(fixed, y)
                request.Start()
                request.Wait()
                y = sums(y)
            return y

        variants = {"Network.mix": lambda: net.mix(x, rounds=rounds), "blocking": blocking, "persistent": persistent}
        seconds: dict[str, list[float]] = {name: [] for name in variants}
        calls = 0
        for block in range(blocks + 1):
            for name, call in variants.items():
                if block == 0:  # warm-up; afterwards as many calls as fill 0.05 s
                    call()
                    world.barrier()
                    start = perf_counter()
                    call()
                    once = float(world.maximum(perf_counter() - start))
                    calls = max(calls, 3, min(2000, int(0.05 / once)))
                    continue
                world.barrier()
                start = perf_counter()
                for _ in range(calls):
                    call()
                seconds[name].append(float(world.maximum((perf_counter() - start) / calls / rounds)))
        if rank == 0:
            what = f"{L:3d} ranks {size:8d} B x {rounds:2d} "
            for name, values in seconds.items():
                low, median, high = 1e6 * np.percentile(values, [25, 50, 75])
                print(f"{what} {name:12} {median:9.1f} us/round [{low:.1f}, {high:.1f}]")
            for name in ("blocking", "persistent"):
                ratios = np.array(seconds["Network.mix"]) / seconds[name]
                low, median, high = np.percentile(ratios, [25, 50, 75])
                print(f"{what} Network.mix / {name:10} {median:.3f} [{low:.3f}, {high:.3f}]")
            sys.stdout.flush()
        request.Free()
        graph.Free()


def main() -> int:
    """Start the ranks, or measure as one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--blocks", type=int, default=20)
    arguments = parser.parse_args()
    if launcher.promised() is None:
        return start(arguments.ranks, __file__, "--blocks", str(arguments.blocks)).returncode
    for size, rounds in ((19_200, 1), (19_200, 10), (1_000_000, 1), (1_000_000, 10)):
        measure(size, rounds, arguments.blocks)
    return 0


if __name__ == "__main__":
    sys.exit(main())

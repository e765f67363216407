"""Memory of each rank as the network grows, with the same data a rank: nothing may grow with all data or all pairs.

    python hpc/bench/memory.py --ranks 8 16 32 64 --out memory
    python hpc/bench/memory.py --problem logistic --ranks 64      # Fashion-MNIST dealt out; or --problem lenet

Each rank lays an Erdos-Renyi graph, makes its tasks and takes some steps of Dif-AltGDmin, or gets its share of Fashion-MNIST
and takes some of D-SGD, then reads its own proportional and unshared memory (smaps_rollup); shown are rank 0, the largest other
rank, the data of a rank, and all together (proportional), with the processes that ranks started, such as PyTorch's, in MB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from machine import described, figure, start, table

from mpidec.mpi import launcher

TASKS = 4  # of each rank


def memory(process: int) -> tuple[float, float]:
    """(proportional, private) memory of a process, in bytes."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {line.split(":")[0]: float(line.split()[1]) for line in lines}
    return 1024 * kilobytes["Pss"], 1024 * (kilobytes["Private_Clean"] + kilobytes["Private_Dirty"])


def started(process: int) -> list[int]:
    """The processes that one has started, and those that they have."""
    children = [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return children + [other for child in children for other in started(child)]


def measure(name: str) -> None:
    """One rank; rank 0 prints a line of numbers."""
    import mpidec
    from mpidec.graph.mixing import MIXINGS
    from mpidec.graph.topology import ErdosRenyi
    from mpidec.problems import PROBLEMS

    with mpidec.World() as world:
        L = world.size
        graph = mpidec.lay_graph(world, ErdosRenyi(p=0.3), MIXINGS["metropolis"], seed=0)
        algorithm: Any = mpidec.DSGD(step_size=0.01)
        if name == "tasks":
            spec: Any = PROBLEMS["multitask_regression"]["synthetic"](d=500, tasks=TASKS * L, rank=4, samples=100)
            algorithm = mpidec.DifAltGDmin(rounds=5)
        elif name == "logistic":
            spec = PROBLEMS["logistic"]["fashion"](batch=32, find_minimum=False)
        else:
            spec = PROBLEMS["lenet"]["fashion"](batch=32)
        problem: Any = mpidec.load_problem(world, spec, seed=0)
        mpidec.run(world, graph, problem, algorithm, iterations=5)
        world.barrier()
        own = memory(os.getpid())
        most = [world.maximum(value if world.rank else 0.0) for value in own]
        total = world.total(own[0] + sum(memory(process)[0] for process in started(os.getpid())))
        if world.rank == 0:
            print("measured", L, *own, *(float(value) for value in most), problem.nbytes, float(total), flush=True)


def main() -> int:
    """Start worlds of several sizes, or measure as a rank."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", choices=["tasks", "logistic", "lenet"], default="tasks")
    parser.add_argument("--ranks", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--out", type=Path, default=Path("memory"), help="of FILE.png")
    arguments = parser.parse_args()
    if launcher.promised() is not None:
        measure(arguments.problem)
        return 0
    rows = []
    for ranks in arguments.ranks:
        done = start(ranks, __file__, "--problem", arguments.problem, stdout=subprocess.PIPE)
        if done.returncode != 0:
            return done.returncode
        line = next(line for line in done.stdout.splitlines() if line.startswith("measured"))
        rows.append([float(word) for word in line.split()[1:]])
    machine = described()
    print(machine)
    names = ("ranks", "rank 0, PSS", "private", "largest other, PSS", "private", "its data", "all, PSS")
    table(names, [[f"{row[0]:.0f}", *(f"{value / 1e6:.1f}" for value in row[1:])] for row in rows])
    lines = {"rank 0": [row[1] / 1e6 for row in rows], "largest other": [row[3] / 1e6 for row in rows]}
    lines["its data"] = [row[5] / 1e6 for row in rows]
    figure(arguments.out.with_suffix(".png"), [row[0] for row in rows], lines, ("ranks", "MB of a rank (PSS)"), machine)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Strong and weak scaling of an experiment: seconds of an iteration against ranks.

    python hpc/bench/scaling.py --ranks 1 2 4 8 --out scaling        # in a Slurm job of 8 tasks: over its hosts

Strong: 1,024 tasks in all; weak: 128 tasks a rank. d = 300, 50 samples a task, Dif-AltGDmin with 5 rounds on a ring. A
number is the median over observations of the seconds between two of them, by the method's own clock.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from machine import described, figure, table

from mpidec.mpi.launcher import PYTHON
from mpidec.reader import read_trace

_EXPERIMENT = """
name = "scaling"
ranks = {ranks}
graph = {{ topology = "ring" }}
problem = {{ kind = "multitask_regression", source = "synthetic", d = 300, tasks = {tasks}, rank = 4, samples = 50 }}
method = [{{ algorithm = "dif_altgdmin", rounds = 5, iterations = {iterations} }}]
observe = {{ every = 5 }}
"""


def iteration(ranks: int, tasks: int, iterations: int, folder: Path) -> float:
    """Seconds of an iteration."""
    name = f"{ranks}-{tasks}"
    (folder / f"{name}.toml").write_text(_EXPERIMENT.format(ranks=ranks, tasks=tasks, iterations=iterations))
    command = [*PYTHON, "-m", "mpidec", "run", str(folder / f"{name}.toml"), f"--out={folder / name}", "--no-picture"]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)
    seen = next(iter(read_trace(folder / name).values()))
    pairs = zip(seen[1:], seen[2:], strict=False)  # what comes before the first observation warms up
    return median((b["seconds"] - a["seconds"]) / (b["step"] - a["step"]) for a, b in pairs)


def main() -> int:
    """Run all, print the table and save the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--tasks", type=int, default=1024, help="in all for strong scaling, 1/8 of it a rank for weak")
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--out", type=Path, default=Path("scaling"), help="of FILE.png")
    arguments = parser.parse_args()
    # a shared folder: the ranks of a job are on several hosts
    with tempfile.TemporaryDirectory(prefix=".mpidec-", dir=Path.cwd()) as scratch:
        folder = Path(scratch)
        strong = [iteration(n, arguments.tasks, arguments.iterations, folder) for n in arguments.ranks]
        each = arguments.tasks // 8
        weak = [iteration(n, each * n, arguments.iterations, folder) for n in arguments.ranks if each * n != arguments.tasks]
        at = [n for n in arguments.ranks if each * n != arguments.tasks]
        weak_at = dict(zip(at, weak, strict=True)) | {n: s for n, s in zip(arguments.ranks, strong, strict=True) if n not in at}
    machine = described()
    print(machine)
    first = arguments.ranks[0]
    rows = [
        (
            n,
            f"{1e3 * s:.2f}",
            f"{strong[0] * first / (s * n):.2f}",
            f"{1e3 * weak_at[n]:.2f}",
            f"{weak_at[first] / weak_at[n]:.2f}",
        )
        for n, s in zip(arguments.ranks, strong, strict=True)
    ]
    table(("ranks", "strong, ms", "efficiency", "weak, ms", "efficiency"), rows)
    lines = {"strong": strong, "weak": [weak_at[n] for n in arguments.ranks]}
    figure(arguments.out.with_suffix(".png"), arguments.ranks, lines, ("ranks", "seconds of an iteration"), machine)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""From the command to the first iteration: seconds to start the ranks, lay the graph, load the data, and initialize.

    python hpc/bench/startup.py --ranks 20

Runs one iteration of Dif-AltGDmin on the quickstart's problem several times. The initialization, a run's own gossip, is shown
apart, since its seconds grow with the rounds it is asked for.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, sleep

import numpy as np

from mpidec.mpi.launcher import PYTHON

QUICKSTART = Path(__file__).resolve().parents[2] / "launch" / "experiments" / "quickstart.toml"


def measure(ranks: int, out: Path) -> tuple[float, float]:
    """Seconds from the command to the first observation, and those of the initialization in them."""
    command = [*PYTHON, "-m", "mpidec", "run", str(QUICKSTART), "-n", str(ranks), "--out", str(out)]
    trace = out / "trace.csv"
    start = perf_counter()
    run = subprocess.Popen([*command, "--set", "method.0.iterations=1"], stdout=subprocess.DEVNULL)
    while run.poll() is None and not (trace.exists() and trace.read_text().count("\n") > 1):
        sleep(0.02)
    seconds = perf_counter() - start
    run.terminate()
    run.wait()
    with trace.open(newline="") as file:
        return seconds, float(next(csv.DictReader(file))["seconds"])


def main() -> int:
    """Measure several times and print the median and the range."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mpidec-") as folder:
        found = np.array([measure(arguments.ranks, Path(folder) / str(i)) for i in range(arguments.repeats)])
    for name, values in zip(("command to first iteration", "initialization in it"), found.T, strict=True):
        print(f"{arguments.ranks} ranks  {name:27} {np.median(values):6.2f} s [{values.min():.2f}, {values.max():.2f}]")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the benchmarks share: starting themselves as ranks, the machine in words, a table, and a figure of it."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mpidec.mpi import launcher


def start(ranks: int, *program: str, stdout: int | None = None) -> subprocess.CompletedProcess[str]:
    """Start ranks of a benchmark by this machine's launcher, or by srun in a Slurm job, and wait for them."""
    found = launcher.find_launcher(launcher.family(launcher.library_version()))
    command = launcher.command(found, ranks, [sys.executable, *program])
    with launcher.folder() as scratch:
        return subprocess.run(command, env=launcher.environment(found, ranks, scratch), stdout=stdout, text=True, check=False)


def described(hosts: dict[str, list[int]] | None = None) -> str:
    """Processor, cores, system and MPI library, and the ranks of each host where they are known."""
    model = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    load = _lines("/proc/loadavg")[0].split()[0]
    layout = "" if hosts is None else f"; {sum(map(len, hosts.values()))} ranks on {len(hosts)} hosts"
    library = launcher.library_version().splitlines()[0].split(",")[0]
    return f"{model or platform.machine()}, {launcher.cores()} cores, load {load}, {platform.system()}, {library}{layout}"


def table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, right-aligned."""
    cells = [[str(cell) for cell in row] for row in [names, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    for row in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)), flush=True)


def figure(path: Path, x: Sequence[float], lines: dict[str, Sequence[float]], labels: tuple[str, str], machine: str) -> None:
    """Save a picture with both axes logarithmic, the machine below it."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    drawing, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    for label, values in lines.items():
        axes.loglog(x, values, "o-", label=label)
    axes.set_xlabel(f"{labels[0]}\n{machine}", fontsize=7)
    axes.set_ylabel(labels[1])
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    drawing.savefig(path, dpi=150)
    print(f"figure: {path}", flush=True)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return ["?"]

"""mpidec run --place: ranks that are neighbors on the same host of the Slurm job, as far as they go there.

A rank stays the node of its number, so that results are the same to the bit; what changes is the host that srun puts it on.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping

from mpidec.config import Experiment
from mpidec.errors import InputError
from mpidec.graph.placement import cut, place, plain
from mpidec.graph.topology import adjacency
from mpidec.mpi.launcher import Launcher


def hostfile(experiment: Experiment, found: Launcher) -> tuple[str, str]:
    """A host a line, in the order of the ranks, for srun --distribution=arbitrary; and what it saves, in words.

    Raises InputError outside of a Slurm job.
    """
    if found.pmi is None:
        raise InputError("--place chooses among the hosts of a Slurm job, and this is none: leave it out, or use mpidec submit")
    names = _names()
    sizes = granted(os.environ, len(names), experiment.ranks)
    graph = adjacency(experiment.topology, experiment.ranks, experiment.graph_seed)
    hosts = place(graph, sizes)
    edges, before = len(graph.edges()), cut(graph, plain(sizes))
    said = f"placement: {cut(graph, hosts)} of {edges} edges go between {len(sizes)} hosts, {before} in the plain order"
    return "".join(f"{names[host]}\n" for host in hosts), said


def granted(environment: Mapping[str, str], hosts: int, ranks: int) -> list[int]:
    """How many of so many ranks go to each of the job's hosts, the first ones full, by SLURM_TASKS_PER_NODE, as 2(x3),1."""
    text = environment.get("SLURM_TASKS_PER_NODE", "")
    room: list[int] = []
    for tasks, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        room += [int(tasks)] * int(times or 1)
    if len(room) != hosts or sum(room) < ranks:
        raise InputError(
            f"--place: Slurm grants {sum(room)} tasks on {hosts} hosts (SLURM_TASKS_PER_NODE={text!r}), wanted room for "
            f"{ranks} ranks; give sbatch --ntasks={ranks}"
        )
    sizes: list[int] = []
    for each in room:
        sizes.append(min(each, ranks - sum(sizes)))
    return [size for size in sizes if size]


def _names() -> list[str]:
    try:
        done = subprocess.run(
            ["scontrol", "show", "hostnames", os.environ.get("SLURM_JOB_NODELIST", "")],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(f"--place: cannot ask Slurm for the job's hosts: {error}; leave --place out") from None
    return done.stdout.split()

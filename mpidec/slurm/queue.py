"""Talking to Slurm by its command line, in the forms that it keeps for programs.

pyslurm is built against one release of Slurm's headers, and libraries that write batch scripts of their own would be a second
source of what `run.sbatch` says; `--parsable` and `--format` have been the same in every release since 14.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mpidec.errors import InputError

_UNDER_WAY = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD", "RESIZING", "STOPPED")
_SECONDS = 60.0  # that a busy controller may take to answer


@dataclass(frozen=True)
class Queued:
    """A job, or a task of an array, as Slurm has it: state in its words, why it waits or ended so, and time left."""

    state: str
    reason: str
    left: str

    @property
    def ended(self) -> bool:
        """Whether it will not run on."""
        return self.state not in _UNDER_WAY


def submit(script: Path) -> str:
    """Hand a script to sbatch; the job's number. Raises InputError with sbatch's reason where it refuses."""
    told = _ask(["sbatch", "--parsable", str(script)], "the submission was rejected")
    return told.strip().partition(";")[0]  # the cluster's name may follow


def queue() -> dict[str, Queued]:
    """This user's jobs that Slurm knows, by JOB or JOB_INDEX: those that wait or run, and those that ended minutes ago."""
    lines = _ask(
        ["squeue", "--me", "--states=all", "--array", "--noheader", "--format=%i|%T|%L|%r"], "squeue failed"
    ).splitlines()
    found = {}
    for line in lines:
        job, state, left, reason = line.split("|", 3)
        found[job] = Queued(state, "" if reason == "None" else reason, left)
    return found


def node_memory(partition: str | None) -> int | None:
    """Bytes of memory of the smallest node of a partition (the default one); None where Slurm has not been told."""
    chosen = [] if partition is None else [f"--partition={partition}"]
    lines = _ask(["sinfo", "--noheader", "--format=%P|%m", *chosen], "sinfo failed").splitlines()
    rows = [line.split("|") for line in lines]
    default = [row for row in rows if row[0].endswith("*")]
    if partition is not None and not rows:
        raise InputError(f"--partition: Slurm knows no {partition!r} here; sinfo lists those that there are")
    sizes = [int(size.rstrip("+")) for _, size in (rows if partition is not None else default)]
    # 1 is what Slurm takes where slurm.conf says nothing
    return min(sizes) << 20 if sizes and min(sizes) > 1 else None


def _ask(command: Sequence[str], failure: str) -> str:
    program = shutil.which(command[0])
    if program is None:
        raise InputError(
            f"there is no {command[0]} on the PATH: this is no machine with Slurm, or its module is not loaded; mpidec run "
            "starts ranks here"
        )
    try:
        done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"{failure}: {error}; see whether sinfo answers") from None
    if done.returncode != 0:
        reason = " ".join(line.strip() for line in done.stderr.splitlines() if line.strip()) or f"status {done.returncode}"
        raise InputError(f"{failure}: {reason}")
    return done.stdout

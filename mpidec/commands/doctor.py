"""mpidec doctor: is this machine fit to run, and if not, what to do."""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mpidec.errors import InputError
from mpidec.mpi import launcher

_SECONDS = 60.0
# two ranks exchange over a graph of one edge, through the package's own transport
_EXCHANGE = """
import numpy as np
from mpidec.mpi import launcher
from mpidec.mpi.world import World
world = World()
launcher.check_promise(world.size)
other = (1 - world.rank,)
heard = world.transport(other, other).exchange(np.full(3, float(world.rank)))
assert heard.tolist() == [[float(1 - world.rank)] * 3], heard
world.close()
print("exchanged")
"""


@dataclass(frozen=True)
class Finding:
    """One thing looked at: whether it is well, what was found, and what to do."""

    well: bool
    subject: str
    found: str
    advice: str = ""


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("doctor", help="check MPI library, launcher, cores, threads, and an exchange on 2 ranks")
    parser.add_argument("-n", type=int, default=8, metavar="RANKS", help="ranks you mean to run (default 8)")
    parser.add_argument(
        "--bytes",
        action="store_true",
        help="also hold the ledger of a small run against Open MPI's counters and, with a C compiler, a PMPI interposer",
    )
    parser.set_defaults(main=main)


def main(arguments: argparse.Namespace) -> int:
    """Run the verb; 0 when all is well, 1 otherwise."""
    if arguments.n < 1:
        raise InputError(f"-n {arguments.n}: wanted a number of ranks, at least 1")
    findings = examine(arguments.n, arguments.bytes)
    for finding in findings:
        print(f"{'ok  ' if finding.well else 'BAD '} {finding.subject}: {finding.found}")
        if finding.advice:
            print(f"       -> {finding.advice}")
    return 0 if all(f.well for f in findings) else 1


def examine(ranks: int, count_bytes: bool = False) -> list[Finding]:
    """All findings, in order; later ones are left out where they need an earlier one that failed."""
    findings = [_cores(ranks), _threads()]
    try:
        text = launcher.library_version()
    except InputError as error:
        return [Finding(False, "MPI library", "none", str(error)), *findings]
    family = launcher.family(text)
    library = Finding(
        family != "unknown",
        "MPI library",
        text.splitlines()[0],
        "" if family != "unknown" else "not one that mpidec knows; Open MPI, MPICH and Intel MPI are tested",
    )
    try:
        found = launcher.find_launcher(family)
    except InputError as error:
        return [library, Finding(False, "launcher", "none that fits", str(error)), *findings]
    first_line = (launcher.launcher_version(found.path).splitlines() or ["silent"])[0]
    matches = found.family == family
    fits = Finding(
        matches,
        "launcher",
        f"{found.path} ({first_line})",
        "" if matches else f"it is {found.family} and the library {family}: name the library's own in MPIDEC_MPIEXEC",
    )
    findings = [library, fits, *findings, _attempt("exchange on 2 ranks", lambda: _exchange(found))]
    if count_bytes and findings[-1].well:
        from mpidec.commands.doctor_bytes import examine_bytes

        try:
            findings += examine_bytes(found)
        except (InputError, OSError, subprocess.SubprocessError) as error:
            findings.append(Finding(False, "bytes", str(error), "see whether mpidec run works by itself"))
    return findings


def _cores(ranks: int) -> Finding:
    cores = launcher.cores()
    if ranks <= cores:
        return Finding(True, "cores", f"{ranks} ranks on {cores} cores")
    return Finding(
        True,
        "cores",
        f"{ranks} ranks share {cores} cores",
        "counts and errors are exact; seconds say little about a real network. mpidec run lets idle ranks yield",
    )


def _threads() -> Finding:
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    if threads == "1":
        return Finding(True, "BLAS threads", "1 a rank")
    return Finding(False, "BLAS threads", f"OMP_NUM_THREADS={threads}", "unset it or set it to 1: ranks fill the cores")


def _attempt(subject: str, work: Callable[[], str]) -> Finding:
    try:
        return Finding(True, subject, work())
    except (InputError, OSError, subprocess.SubprocessError) as error:
        return Finding(False, subject, str(error), "run the launcher by hand on `hostname` to see whether MPI itself works")


def _exchange(found: launcher.Launcher) -> str:
    command = launcher.command(found, 2, [*launcher.PYTHON, "-c", _EXCHANGE])
    with launcher.folder() as scratch:
        settings = launcher.environment(found, 2, scratch)
        done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode != 0 or done.stdout.count("exchanged") != 2:
        reason = (done.stderr.strip().splitlines() or ["no word of why"])[-1]
        raise InputError(f"failed with status {done.returncode}: {reason}")
    return "each heard the other"

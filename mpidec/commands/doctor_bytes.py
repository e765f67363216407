"""mpidec doctor --bytes: the ledger of a small run against counts that share no line with it, to the byte and by neighbor."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from importlib.resources import as_file, files
from pathlib import Path

from mpidec.commands.doctor import Finding
from mpidec.errors import InputError
from mpidec.mpi import launcher

_RANKS = 5
_SECONDS = 120.0
# a path, so that most pairs of ranks are no neighbors; the ends and the middle have other degrees
_EXPERIMENT = """
name = "bytes"
ranks = 5
graph = { topology = "path" }
problem = { kind = "multitask_regression", source = "synthetic", d = 300, tasks = 10, rank = 2, samples = 10 }
method = [
  { algorithm = "dif_altgdmin", rounds = 3, iterations = 10 },
  { algorithm = "dec_altgdmin", rounds = 4, iterations = 10, gossip = "chebyshev" },
  { algorithm = "altgdmin_fusion", iterations = 10 },
  { algorithm = "altgdmin_allreduce", iterations = 10 },
]
"""
_ALL_REDUCE = "altgdmin_allreduce"

Row = Mapping[str, str]
Counts = dict[tuple[int, int], tuple[int, int]]
"""Messages and bytes from one rank to another."""


def examine_bytes(found: launcher.Launcher) -> list[Finding]:
    """Run a small experiment under all the outside counters there are, and compare. Raises InputError where it fails."""
    library = found.family == "openmpi"
    with launcher.folder() as scratch:
        folder = Path(scratch)
        (folder / "bytes.toml").write_text(_EXPERIMENT)
        preload, why = _interposer(found, folder)
        program = [*launcher.PYTHON, "-m", "mpidec", "run", f"--out={folder / 'run'}"]
        program += ["--library-bytes"] if library else []
        if preload is not None:
            # for the ranks alone: the launcher is no rank
            program = ["env", f"LD_PRELOAD={preload}", f"MPIDEC_INTERPOSER={folder / 'sent'}", *program]
        command = launcher.command(found, _RANKS, [*program, str(folder / "bytes.toml")], library)
        settings = launcher.environment(found, _RANKS, scratch)
        done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=_SECONDS, check=False)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no word of why"])[-1]
            raise InputError(f"the small run failed with status {done.returncode}: {reason}")
        with (folder / "run" / "ledger.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        findings = []
        if library:
            findings.append(against_library(rows))
        else:
            findings.append(Finding(True, "ledger and library", f"not compared: {found.family} has no counters to read"))
        if preload is not None:
            findings.append(against_interposer(rows, _read(folder)))
        else:
            findings.append(Finding(True, "ledger and interposer", f"not compared: {why}"))
        return findings


def against_library(rows: Iterable[Row]) -> Finding:
    """The ledger's rows against the library's own counters, which each row on the accounts init and iterate has beside it."""
    wrong, links, total = [], set(), 0
    for row in rows:
        if row["account"] not in ("init", "iterate"):
            continue
        where = f"{row['method']}, {row['account']}: rank {row['rank']} to {row['neighbor']}"
        if row["basis"] == "counted":
            links.add((row["rank"], row["neighbor"]))
            total += int(row["bytes"])
            if (row["messages"], row["bytes"]) != (row["library_messages"], row["library_bytes"]):
                wrong.append(f"{where}: {row['bytes']} bytes in the ledger, {row['library_bytes'] or 'none'} in the library")
        elif row["basis"] == "library" and row["method"] != _ALL_REDUCE:
            wrong.append(f"{where}: {row['library_bytes']} bytes to a rank that is no neighbor")
    return _finding("ledger and library", len(links), total, "Open MPI's own counters", wrong)


def against_interposer(rows: Iterable[Row], seen: Counts) -> Finding:
    """The ledger's sums over all methods and accounts against what the ranks asked MPI to send to neighbors."""
    booked: Counts = {}
    for row in rows:
        if row["basis"] == "counted":
            link = int(row["rank"]), int(row["neighbor"])
            messages, nbytes = booked.get(link, (0, 0))
            booked[link] = messages + int(row["messages"]), nbytes + int(row["bytes"])
    wrong = [
        f"rank {a} to {b}: messages and bytes {booked.get((a, b), (0, 0))} in the ledger, {seen.get((a, b), (0, 0))} at MPI"
        for a, b in sorted(booked.keys() | seen.keys())
        if booked.get((a, b)) != seen.get((a, b))
    ]
    return _finding(
        "ledger and interposer", len(booked), sum(n for _, n in booked.values()), "what MPI was asked to send", wrong
    )


def _finding(subject: str, links: int, total: int, what: str, wrong: list[str]) -> Finding:
    if not wrong and total:
        return Finding(True, subject, f"equal on {links} links, {total:,} bytes, {what}; nothing to any other rank")
    told = wrong[0] + (f"; and {len(wrong) - 1} more" if len(wrong) > 1 else "") if wrong else "nothing was counted"
    return Finding(False, subject, told, "the ledger cannot be trusted here: please report it with this output")


def _interposer(found: launcher.Launcher, folder: Path) -> tuple[Path | None, str]:
    """The interposer, compiled with the library's own mpicc; else None and why not."""
    if any(separator in str(folder) for separator in " :"):
        return None, f"LD_PRELOAD takes no path with blanks or colons, such as {folder}: name another folder in TMPDIR"
    compiler = shutil.which("mpicc", path=f"{found.path.parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if compiler is None:
        return None, "there is no mpicc beside the launcher or on the PATH"
    made = folder / "interposer.so"
    with as_file(files("mpidec.mpi") / "interposer.c") as source:
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode != 0:
        return None, f"{compiler} failed: {(done.stderr.strip().splitlines() or ['no word of why'])[-1]}"
    return made, ""


def _read(folder: Path) -> Counts:
    """The counts that the ranks wrote. Raises InputError where one is missing or cut short."""
    counts: Counts = {}
    for rank in range(_RANKS):
        path = folder / f"sent.{rank}"
        lines = path.read_text().splitlines() if path.exists() else []
        if lines[-1:] != ["end"]:
            raise InputError(f"the interposer has not seen rank {rank} end: was LD_PRELOAD taken out of the environment?")
        for line in lines[:-1]:
            neighbor, messages, nbytes = map(int, line.split())
            counts[rank, neighbor] = messages, nbytes
    return counts

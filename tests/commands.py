"""Running mpidec as a user does: processes with a time limit, ended by their own process group."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import tomli_w

from mpidec.mpi import launcher

SECONDS = 120.0
_RANK_VARIABLES = ("OMPI_", "PMI", "SLURM_", "MPIDEC_")


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what would make a child think it is a rank."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_RANK_VARIABLES)}
    return kept | more


def start(command: list[str], cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a command in a session of its own."""
    # what a shell starts in the background ignores Ctrl-C, what nohup starts a hangup, and so would all that they start in turn
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, lambda *_: None)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=clean_environment(**environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
    """Wait for it; past the time limit end its whole group and fail."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def mpidec(*arguments: str, cwd: Path, seconds: float = SECONDS, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m mpidec …` plainly."""
    return finish(start([sys.executable, "-m", "mpidec", *arguments], cwd, **environment), seconds)


def by_hand(cwd: Path, ranks: int, *program: str) -> tuple[list[str], dict[str, str]]:
    """The command, and the variables for it, by which a user starts ranks of a Python program, without `mpidec run`."""
    found = launcher.find_launcher(launcher.family(launcher.library_version()))
    settings = {k: v for k, v in launcher.environment(found, ranks, str(cwd)).items() if k not in os.environ}
    settings.pop(launcher.RANKS_VARIABLE, None)
    return launcher.command(found, ranks, [sys.executable, *program]), settings


def under_mpirun(ranks: int, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `mpiexec -n RANKS python -m mpidec …` as a user would by hand."""
    command, settings = by_hand(cwd, ranks, "-m", "mpidec", *arguments)
    return finish(start(command, cwd, **(settings | environment)))


def small(**changes: Any) -> dict[str, Any]:
    """A small experiment's tables; `graph={…}` and so on replace or add keys in a section, None takes one out."""
    table: dict[str, Any] = {
        "name": "small",
        "ranks": 3,
        "seed": 1,
        "graph": {"topology": "ring"},
        "problem": {
            "kind": "multitask_regression",
            "source": "synthetic",
            "d": 20,
            "tasks": 25,
            "rank": 2,
            "samples": 10,
        },
        "method": [{"algorithm": "dif_altgdmin", "rounds": 3, "iterations": 20}],
        "observe": {"every": 5},
    }
    for key, value in changes.items():
        merged = {**table[key], **value} if isinstance(table.get(key), dict) and isinstance(value, dict) else value
        table[key] = {k: v for k, v in merged.items() if v is not None} if isinstance(merged, dict) else merged
    return table


def write(folder: Path, table: dict[str, Any], name: str = "small.toml") -> str:
    """Write an experiment file; its path."""
    path = folder / name
    path.write_text(tomli_w.dumps(table))
    return str(path)


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def dry_rows(output: str, method: str) -> list[list[int]]:
    """The numbers in a dry run's rows for a method: rounds, messages, bytes an iteration, messages, bytes in all.

    Where iterations differ, the largest.
    """
    lines = [line.strip("│ ").split("│") for line in output.splitlines() if f" {method} " in line]
    return [[int(cell.split(" to ")[-1].strip().lstrip("~").replace(",", "")) for cell in line[2:]] for line in lines]


def assert_one_sentence(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """Exit status, the wanted words on standard error, one message of mpidec's, and no traceback."""
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    messages = [line for line in done.stderr.splitlines() if line.startswith("mpidec: ") and "note:" not in line]
    assert len(messages) == 1, done.stderr
    for word in words:
        assert word in messages[0], (word, messages[0])


def counting_launcher(folder: Path) -> str:
    """A launcher that notes each of its starts as a line of the file `starts`."""
    found = launcher.find_launcher(launcher.family(launcher.library_version())).path
    script = folder / "counts"
    lines = ["#!/bin/sh", f'[ "$1" != --version ] || exec {found} --version', f"echo >>{folder}/starts", f'exec {found} "$@"']
    script.write_text("\n".join([*lines, ""]))
    script.chmod(0o755)
    return str(script)

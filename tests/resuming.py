"""Runs that are killed and go on, and what they must equal: shared by the tests and by `kill_and_resume.py`."""

from __future__ import annotations

import csv
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from commands import small


def several(iterations: int, **changes: Any) -> dict[str, Any]:
    """An experiment of methods over gossip, accelerated and not, over a fusion center and an all-reduce."""
    methods: list[dict[str, Any]] = [
        {"algorithm": "dif_altgdmin", "rounds": 3},
        {"algorithm": "dec_altgdmin_falling", "most": 6, "gossip": "chebyshev"},
        {"algorithm": "altgdmin_fusion"},
        {"algorithm": "altgdmin_allreduce"},
    ]
    table = {"ranks": 4, "observe": {"every": 7}, "checkpoint": {"every": 15}}
    return small(method=[method | {"iterations": iterations} for method in methods], **(table | changes))


def inside(folder: Path) -> list[int]:
    """The processes whose current folder this is: ranks and launchers keep that of the command."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "cwd") == str(folder):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def kill(folder: Path) -> None:
    """kill -9 of all processes of a run that was started in this folder, ranks and launchers, as fast as it goes."""
    until = time.monotonic() + 20
    while (there := inside(folder)) and time.monotonic() < until:
        for pid in there:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    assert not there, "a process does not go"


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> bool:
    """Whether the condition came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def lasting(folder: Path) -> dict[str, Any]:
    """All of a run folder that must not depend on whether the run was broken off.

    The trace less its time columns, the ledger less the accounts `setup` and `observe`, the final arrays as bytes.
    """
    with (folder / "trace.csv").open(newline="") as file:
        trace = [{k: v for k, v in row.items() if "seconds" not in k} for row in csv.DictReader(file)]
    with (folder / "ledger.csv").open(newline="") as file:
        ledger = [row for row in csv.DictReader(file) if row["account"] not in ("setup", "observe")]
    with np.load(folder / "final.npz") as final:
        arrays = {name: (final[name].shape, final[name].dtype.str, final[name].tobytes()) for name in final.files}
    return {"trace": trace, "ledger": ledger, "final": arrays, "graph": (folder / "graph.txt").read_bytes()}


def assert_same(folder: Path, whole: dict[str, Any], *, hosts: bool = True) -> None:
    """A run folder equals what an unbroken run left, bit for bit; of runs on other `hosts`, but for which share one."""
    got = lasting(folder)
    if not hosts:
        for row in (*got["ledger"], *whole["ledger"]):
            del row["same_host"]
    assert got["final"].keys() == whole["final"].keys()
    for name, array in whole["final"].items():
        assert got["final"][name] == array, name
    for table in ("trace", "ledger"):
        assert len(got[table]) == len(whole[table]), table
        for mine, other in zip(got[table], whole[table], strict=True):
            assert mine == other, table
    assert got["graph"] == whole["graph"]

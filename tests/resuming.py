"""Runs that are killed and go on, and what they must equal: shared by the tests and by `kill_and_resume.py`."""

from __future__ import annotations

import csv
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

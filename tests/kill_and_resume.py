"""Kills all ranks of a run at random instants, lets it go on, and compares it with an unbroken run, bit for bit.

    python tests/kill_and_resume.py --times 50

Each time a run of four methods on four ranks, with a checkpoint every 15 iterations, is ended by kill -9: after a number of
observations drawn evenly from all that it makes, and then up to 0.2 s later, so that instants are spread over the whole run
however fast the machine is; one in eight within the start instead. It goes on with `--resume`; every second one is killed
again, and every sixth a third time. Exit status 1 where any run did not come out as the unbroken one.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from commands import finish, mpidec, start, write
from processes import kill, wait_for
from resuming import assert_same, lasting, several

COMMAND = [sys.executable, "-m", "mpidec", "run"]


def unbroken(folder: Path, iterations: int) -> tuple[str, dict[str, Any]]:
    """The experiment's file, and what an unbroken run of it leaves."""
    file = write(folder, several(iterations))
    done = mpidec("run", file, "--out", "whole", cwd=folder)
    assert done.returncode == 0, done.stderr
    return file, lasting(folder / "whole")


def instants(draw: random.Random, number: int, rows: int) -> list[tuple[int, float]]:
    """When to kill a run, its first start and those after it: after so many rows of the trace, and so many seconds more."""
    chosen = sorted(draw.randrange(rows) for _ in range(number))
    return [(0, draw.uniform(0, 3)) if draw.random() < 1 / 8 else (1 + row, draw.uniform(0, 0.2)) for row in chosen]


def broken(folder: Path, file: str, when: list[tuple[int, float]]) -> str:
    """Start the run, kill it, again for each instant, let it come to its end; what each start after the first went on from."""
    command = [*COMMAND, file, "--out", "out", "--resume"]
    trace = folder / "out" / "trace.csv"
    for row, delay in when:
        process = start(command, folder)
        wait_for(lambda row=row, process=process: process.poll() is not None or _rows(trace) >= row, 100)
        time.sleep(delay)
        kill(folder)
        process.communicate(timeout=30)
    done = finish(start(command, folder))
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr}"
    assert "cannot be used" not in done.stderr, done.stderr  # each set with a manifest is whole
    assert not (folder / "out" / "checkpoints").exists(), "checkpoints are left"
    starts = json.loads((folder / "out" / "run.json").read_text())["starts"]
    return ", ".join(f"{each['method']} {each['step']}" for each in starts[1:]) or "the beginning"


def _rows(trace: Path) -> int:
    return max(0, trace.read_bytes().count(b"\n") - 1) if trace.exists() else 0


def main() -> int:
    """Break so many runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50, help="runs to break (default: 50)")
    parser.add_argument("--iterations", type=int, default=120, help="of each method (default: 120)")
    parser.add_argument("--seed", type=int, default=0, help="of the instants (default: 0)")
    given = parser.parse_args()
    draw = random.Random(given.seed)
    bad = 0
    with tempfile.TemporaryDirectory(prefix="mpidec-kills-") as scratch:
        file, whole = unbroken(Path(scratch).resolve(), given.iterations)
        for i in range(given.times):
            folder = Path(scratch).resolve() / str(i)
            folder.mkdir()
            when = instants(draw, 1 + (i % 2 == 1) + (i % 6 == 5), len(whole["trace"]))
            told = ", ".join(f"row {row} and {delay:.3f} s" for row, delay in when)
            try:
                origin = broken(folder, file, when)
                assert_same(folder / "out", whole)
                print(f"{i + 1:3d} killed after {told}, went on from {origin}: the same", flush=True)
            except AssertionError as error:
                bad += 1
                print(f"{i + 1:3d} killed after {told}: NOT the same: {error}", flush=True)
            finally:
                kill(folder)
    print(f"{given.times - bad} of {given.times} runs came out as the unbroken one, bit for bit")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

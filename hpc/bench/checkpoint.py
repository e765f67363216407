"""What does a checkpoint cost, against plain np.save and fsync of the same bytes?

    mpiexec -n 4 python hpc/bench/checkpoint.py            # or: python hpc/bench/checkpoint.py --ranks 4
    python hpc/bench/checkpoint.py --folder /scratch

Alternating in one run, every rank with an array of its own: (a) a set as `mpidec run` writes it, with checksums, the ranks'
agreement, the manifest, and the removal of the set before; (b) a plain np.save of the same array to a file of each rank,
fsync of file and folder; (c) reading a set back and checking it; (d) a meeting at which nothing is due. Seconds are of the
slowest rank, medians and quartiles over repeats; rates count all ranks' bytes; ratios are to (b), repeat by repeat.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from machine import start

from mpidec.mpi import launcher


class State(NamedTuple):
    """An estimate."""

    x: np.ndarray


def measure(folder: Path, size: int, repeats: int) -> None:
    """Print a line for each of the four, with arrays of `size` bytes a rank, in `folder`."""
    from mpidec.checkpoint import Checkpoint
    from mpidec.checkpoint.keeper import Checkpoints
    from mpidec.checkpoint.part import Snapshot, sync_folder
    from mpidec.checkpoint.sets import Sets
    from mpidec.engine import Meter, Start
    from mpidec.ledger import Ledger
    from mpidec.link import Clock
    from mpidec.mpi.world import World

    with World() as world:
        state = State(np.random.default_rng(world.rank).standard_normal(size // 8))
        meter = Meter(Ledger(world.local_ranks), Clock())
        sets = Sets(folder, world.rank, world.size)
        world.together(sets.prepare)

        def note(sentence: str) -> None:
            raise RuntimeError(sentence)

        checkpoints = Checkpoints(world, Checkpoint(), sets, lambda: False, lambda: None, note)
        keeper = checkpoints.keeper("bench", meter, lambda: 0, 0)
        assert keeper is not None

        def write() -> None:
            checkpoints.write("bench", Snapshot.of(Start(state, 1), meter, 0))

        def plain() -> None:
            path = folder / f"plain{world.rank}.npy"
            with path.open("wb") as file:
                np.save(file, state.x)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(folder)

        def read() -> None:
            back = checkpoints.newest("bench")
            assert back is not None
            assert np.array_equal(back.start.state.x, state.x)

        what = {
            "checkpoint": write,
            "np.save + fsync": plain,
            "read back": read,
            "meeting": lambda: keeper.visit(Start(state, 1)),
        }
        seconds: dict[str, list[float]] = {name: [] for name in what}
        for repeat in range(repeats + 1):
            for name, call in what.items():
                world.barrier()
                began = perf_counter()
                call()
                took = float(world.maximum(perf_counter() - began))
                if repeat:  # the first is warm-up
                    seconds[name].append(took)
        (folder / f"plain{world.rank}.npy").unlink()
        checkpoints.drop()
        if world.rank == 0:
            for name, values in seconds.items():
                low, median, high = 1e3 * np.percentile(values, [25, 50, 75])
                rate = "" if name == "meeting" else f"{world.size * size / 1e3 / median:8.0f} MB/s"
                ratio = ""
                if name == "checkpoint":
                    ratios = np.percentile(np.array(values) / seconds["np.save + fsync"], [25, 50, 75])
                    ratio = f"  ratio {ratios[1]:.2f} [{ratios[0]:.2f}, {ratios[2]:.2f}]"
                print(f"{world.size:3d} x {size / 1e6:7.2f} MB {name:16} {median:9.2f} ms [{low:.2f}, {high:.2f}]{rate}{ratio}")
            sys.stdout.flush()


def main() -> int:
    """Start the ranks, or measure as one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk to measure (default: here)")
    parser.add_argument("--megabytes", type=float, nargs="+", default=[0.02, 1.0, 64.0], help="a rank (default: 0.02 1 64)")
    given = parser.parse_args()
    if launcher.promised() is None:
        with tempfile.TemporaryDirectory(prefix="mpidec-bench-", dir=given.folder) as scratch:
            options = ["--repeats", str(given.repeats), "--folder", scratch, "--megabytes", *map(str, given.megabytes)]
            print(f"load {os.getloadavg()[0]:.2f}, {launcher.cores()} cores, {given.folder.resolve()}", flush=True)
            return start(given.ranks, __file__, *options).returncode
    for megabytes in given.megabytes:
        measure(given.folder, 8 * round(megabytes * 1e6 / 8), given.repeats)
    return 0


if __name__ == "__main__":
    sys.exit(main())

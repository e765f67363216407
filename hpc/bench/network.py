"""Latency and bandwidth of exchanges between hosts, and the calibration file of `mpidec submit`.

    python hpc/bench/network.py --ranks 8 --out network          # in a Slurm job: over its hosts

Rank i exchanges with rank i + L/2, which the plain order of a job puts on another host: first alone (ranks 0 and L/2, the
others idle), then all pairs at the same time. Medians over blocks of the slowest rank, for messages of 8 B to 4 MB each way.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from time import perf_counter

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from machine import described, figure, start, table

from mpidec.mpi import launcher

SIZES = (8, 64, 512, 4096, 32_768, 262_144, 2_097_152, 4_194_304)


def measure(out: Path, blocks: int) -> None:
    """Measure as one of the ranks; rank 0 prints and writes."""
    from mpidec.mpi.world import World

    with World() as world:
        half = world.size // 2
        partner = (world.rank + half) % (2 * half)
        paired = world.rank < 2 * half
        hosts = world.hosts()
        found: dict[str, list[float]] = {"one pair": [], "all pairs": []}
        for name, busy in (("one pair", world.rank in (0, half)), ("all pairs", paired)):
            others = (partner,) if busy and half else ()
            transport = world.transport(others, others)
            for size in SIZES:
                x = np.zeros(size // 8)
                rounds = max(5, min(500, 20_000_000 // (size + 40_000)))
                seconds = []
                for _ in range(blocks + 1):
                    world.barrier()
                    began = perf_counter()
                    for _ in range(rounds):
                        transport.exchange(x)
                    seconds.append(float(world.maximum((perf_counter() - began) / rounds)))
                found[name].append(float(np.median(seconds[1:])))  # the first warms up
        if world.rank != 0 or hosts is None:
            return
        home = {rank: name for name, ranks in hosts.items() for rank in ranks}
        away = sum(home[i] != home[i + half] for i in range(half))
        machine = described(hosts)
        print(f"{machine}; {away} of {half} pairs between hosts")
        rows = [
            (size, f"{1e6 * a:.1f}", f"{1e6 * b:.1f}", f"{size / a / 1e6:,.0f}", f"{size / b / 1e6:,.0f}")
            for size, a, b in zip(SIZES, *found.values(), strict=True)
        ]
        table(("bytes", "us, one pair", "us, all pairs", "MB/s, one pair", "MB/s a rank, all"), rows)
        figure(out.with_suffix(".png"), SIZES, found, ("bytes of a message, each way", "seconds of an exchange"), machine)
        crowded = found["all pairs"]
        calibration = {"seconds_a_round": crowded[0], "bytes_a_second": SIZES[-1] / crowded[-1], "machine": machine}
        out.with_suffix(".json").write_text(json.dumps(calibration, indent=2) + "\n")
        print(f"calibration: {out.with_suffix('.json')}", flush=True)


def main() -> int:
    """Start the ranks, or measure as one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("network"), help="of FILE.png and FILE.json")
    arguments = parser.parse_args()
    if arguments.ranks < 2:
        parser.error("--ranks: wanted at least 2")
    if launcher.promised() is None:
        return start(arguments.ranks, __file__, "--blocks", str(arguments.blocks), "--out", str(arguments.out)).returncode
    measure(arguments.out, arguments.blocks)
    return 0


if __name__ == "__main__":
    sys.exit(main())

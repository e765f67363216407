"""How fast is the local step of AltGDmin on one core, against a loop over tasks and against reading the data once?

    python hpc/bench/local_step.py
    python hpc/bench/local_step.py --tasks 900 --samples 10 --rank 8

The candidates take turns, so that whatever else the machine does falls on all alike. Times are milliseconds a call;
ratios are of medians.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read once, when numpy loads its BLAS

import numpy as np  # noqa: E402

from mpidec.problems.multitask import MultitaskRegression  # noqa: E402


def task_loop(X: Any, y: Any, U: Any, solve: Callable[[Any, Any], Any]) -> Any:
    """The gradient, one task after the other."""
    grad = np.zeros_like(U)
    for X_t, y_t in zip(X, y, strict=True):
        XU = X_t @ U
        b = solve(XU, y_t)
        grad += np.outer(X_t.T @ (XU @ b - y_t), b)
    return grad


def least_squares(XU: Any, y_t: Any) -> Any:
    """b_t by singular values."""
    return np.linalg.lstsq(XU, y_t, rcond=None)[0]


def normal_equations(XU: Any, y_t: Any) -> Any:
    """b_t by the (r, r) normal equations."""
    return np.linalg.solve(XU.T @ XU, XU.T @ y_t)


def measure(candidates: dict[str, Callable[[], Any]], repeats: int) -> dict[str, Any]:
    """Seconds of each call, (repeats,), the candidates taking turns; two rounds of warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for k in range(repeats + 2):
        for name, call in candidates.items():
            began = perf_counter()
            call()
            if k >= 2:
                seconds[name].append(perf_counter() - began)
    return {name: np.array(values) for name, values in seconds.items()}


def machine() -> str:
    """Processor, cache, BLAS, threads and load."""
    info = Path("/proc/cpuinfo")
    names = [s for s in info.read_text().splitlines() if s.startswith("model name")] if info.exists() else []
    cpu = names[0].partition(":")[2].strip() if names else "unknown processor"
    cache = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")
    level2 = cache.read_text().strip() if cache.exists() else "unknown"
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return (
        f"{cpu}, {os.cpu_count()} cores, second-level cache {level2}, load {os.getloadavg()[0]:.2f}\n"
        f"numpy {np.__version__}, {blas['name']} {blas['version']}, OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}"
    )


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=300, help="tasks (default: 300)")
    parser.add_argument("--samples", type=int, default=30, help="samples a task (default: 30)")
    parser.add_argument("--features", type=int, default=600, help="features (default: 600)")
    parser.add_argument("--rank", type=int, default=4, help="rank (default: 4)")
    parser.add_argument("--repeats", type=int, default=31, help="timed calls of each candidate (default: 31)")
    given = parser.parse_args()

    rng = np.random.default_rng(0)
    X = rng.standard_normal((given.tasks, given.samples, given.features))
    y = rng.standard_normal((given.tasks, given.samples))
    U = np.linalg.qr(rng.standard_normal((given.features, given.rank)))[0]
    problem = MultitaskRegression(X, y, rank=given.rank, total_tasks=given.tasks)
    flat = X.ravel()
    candidates: dict[str, Callable[[], Any]] = {
        "grad": lambda: problem.grad(U),
        "loop over tasks, lstsq": lambda: task_loop(X, y, U, least_squares),
        "loop over tasks, solve": lambda: task_loop(X, y, U, normal_equations),
        "read pass, X.sum()": flat.sum,
        "read pass, dot(x, x)": lambda: np.dot(flat, flat),
    }
    seconds = measure(candidates, given.repeats)
    print(machine())
    print(f"X ({given.tasks}, {given.samples}, {given.features}), {X.nbytes / 1e6:.1f} MB, rank {given.rank}")
    print(f"{'':24}{'median ms':>11}{'quartiles':>17}{'grad / this':>13}")
    ours = np.median(seconds["grad"])
    for name, values in seconds.items():
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        print(f"{name:24}{1e3 * middle:11.2f}{1e3 * low:10.2f} -{1e3 * high:5.2f}{ours / middle:13.2f}")


if __name__ == "__main__":
    main()

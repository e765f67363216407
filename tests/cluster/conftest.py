"""The cluster of all tests in this folder."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import Cluster, missing


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running Slurm of four nodes."""
    if absent := missing():
        pytest.skip(f"no {', '.join(absent)} here: apt-get install munge slurmctld slurmd slurm-client libpmix-dev")
    # a short path: the name of munge's socket must not be longer than 107 bytes
    with tempfile.TemporaryDirectory(prefix="mpidec-slurm-", ignore_cleanup_errors=True) as folder:
        running = Cluster(Path(folder))
        # daemons end with this process, but the steps of jobs would stay: end in order also when told to
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            running.begin()
            yield running
        finally:
            running.end()
            signal.signal(signal.SIGTERM, before)

"""Ranks on the nodes of a Slurm job: started by `mpidec run` in a batch job, by srun itself, and by srun with the wrong PMI."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import assert_one_sentence, mpidec, rows, small, write
from slurm_cluster import PYTHON, SCRIPTS

from mpidec.mpi import launcher

FAMILY = launcher.family(launcher.library_version())
PMI = {"openmpi": "pmix", "mpich": "pmi2"}[FAMILY]
SYSTEM = Path("/usr/lib/x86_64-linux-gnu/libmpi.so.40")
OTHER = {"openmpi": "pmi2", "mpich": "none"}[FAMILY]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same experiment run without Slurm: its folder, and the experiment's file."""
    folder = tmp_path_factory.mktemp("alone")
    experiment = write(folder, small(ranks=6))
    done = mpidec("run", experiment, "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run", experiment


def same_results(one, other):
    """Final arrays bit for bit, and the ledger but for what only the hosts decide."""
    with np.load(one / "final.npz") as a, np.load(other / "final.npz") as b:
        assert a.files == b.files
        for name in a.files:
            assert a[name].tobytes() == b[name].tobytes()
    ledgers = [[{k: v for k, v in row.items() if k != "same_host"} for row in rows(p / "ledger.csv")] for p in (one, other)]
    charged = [[row for row in ledger if row["method"] != "(set-up)"] for ledger in ledgers]
    assert charged[0] == charged[1]
    assert sum(int(row["bytes"]) for row in charged[0]) > 0


def test_a_batch_job_starts_its_ranks_on_all_its_nodes(cluster, alone, tmp_path):
    reference, experiment = alone
    job = cluster.submit("--nodes=3", "--ntasks=6", SCRIPTS / "run.sbatch", experiment, "--out=run", cwd=tmp_path)
    cluster.wait(job)
    log = (tmp_path / f"mpidec-{job}.log").read_text()
    assert "6 nodes, run" in log, log
    same_results(reference, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"
    assert not list(tmp_path.glob(".mpidec-*")), "the handover's folder stayed"


def test_the_layout_is_told_and_bytes_between_hosts_are_counted(cluster, alone, tmp_path):
    """Two ranks a host on a ring of 6: of each rank's two neighbors one is on its host, so half of the bytes stay there."""
    job = cluster.submit("--nodes=3", "--ntasks=6", SCRIPTS / "run.sbatch", alone[1], "--out=run", cwd=tmp_path)
    cluster.wait(job)
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert sorted(about["layout"].values()) == ["0-1", "2-3", "4-5"]
    assert {name.rpartition("/")[2] for name in about["layout"]} == {"n1", "n2", "n3"}
    host = {rank: rank // 2 for rank in range(6)}
    links = [row for row in rows(tmp_path / "run" / "ledger.csv") if row["method"] != "(set-up)" and row["basis"] == "counted"]
    for row in links:
        assert (row["same_host"] == "1") == (host[int(row["rank"])] == host[int(row["neighbor"])])
    charged = [row for row in links if row["account"] in ("init", "iterate")]
    total = sum(int(row["bytes"]) for row in charged)
    assert about["methods"]["dif_altgdmin"]["bytes_between_hosts"] == total // 2 > 0
    assert f"{total // 2:,}" in (tmp_path / f"mpidec-{job}.log").read_text()


def test_the_system_s_open_mpi_runs_too(cluster, alone, tmp_path):
    """Debian's, older than the wheel's and without persistent collectives, in place of the one beside this Python."""
    if not SYSTEM.exists():
        pytest.skip(f"no {SYSTEM} here: apt-get install libopenmpi3")
    # Its shared memory is named after the host's name and the rank's number there, which these nodes have in common; and where
    # it may choose, it takes libfabric, whose sockets fail on some machines ("Failed to del fd from progress", libfabric 1.17).
    environment = {"MPI4PY_LIBMPI": str(SYSTEM), "MPI4PY_MPIABI": "openmpi", "OMPI_MCA_pml": "ob1", "OMPI_MCA_btl": "self,tcp"}
    arguments = ("--nodes=3", "--ntasks=6", SCRIPTS / "run.sbatch", alone[1], "--out=run")
    cluster.wait(cluster.submit(*arguments, cwd=tmp_path, **environment))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["mpi_library"].startswith("Open MPI v4")
    same_results(alone[0], tmp_path / "run")


def test_srun_starts_ranks_itself(cluster, alone, tmp_path):
    reference, experiment = alone
    command = ["srun", "--nodes=3", "--ntasks=6", f"--mpi={PMI}", PYTHON, "-m", "mpidec", "run"]
    done = cluster.call(*command, experiment, "--out=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    same_results(reference, tmp_path / "run")


def test_neighbors_are_placed_on_the_same_host(cluster, tmp_path):
    """A ring through the nodes 0 3 1 4 2 5: in the plain order all edges go between hosts of two, placed every other one."""
    (tmp_path / "graph.txt").write_text("0 3\n3 1\n1 4\n4 2\n2 5\n5 0\n")
    experiment = write(tmp_path, small(ranks=6, graph={"topology": "edge_list", "path": "graph.txt"}))
    job = cluster.submit("--nodes=3", "--ntasks=6", SCRIPTS / "run.sbatch", experiment, "--out=placed", "--place", cwd=tmp_path)
    cluster.wait(job)
    log = (tmp_path / f"mpidec-{job}.log").read_text()
    assert "placement: 3 of 6 edges go between 3 hosts, 6 in the plain order" in log, log
    about = json.loads((tmp_path / "placed" / "run.json").read_text())
    charged = [r for r in rows(tmp_path / "placed" / "ledger.csv") if r["account"] in ("init", "iterate")]
    between = [r for r in charged if r["same_host"] == "0"]
    assert sum(int(r["bytes"]) for r in between) == about["methods"]["dif_altgdmin"]["bytes_between_hosts"]
    assert 2 * sum(int(r["bytes"]) for r in between) == sum(int(r["bytes"]) for r in charged)
    done = mpidec("run", experiment, "--out=alone", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    same_results(tmp_path / "alone", tmp_path / "placed")
    refused = mpidec("run", experiment, "--place", cwd=tmp_path)
    assert_one_sentence(refused, 2, "--place chooses among the hosts of a Slurm job")


@pytest.mark.parametrize("pmi", sorted({OTHER, "none"}))
def test_a_pmi_that_makes_worlds_of_one_rank_is_refused(cluster, alone, tmp_path, pmi):
    done = cluster.call(
        "srun", "--nodes=3", "--ntasks=6", f"--mpi={pmi}", PYTHON, "-m", "mpidec", "run", alone[1], "--out=run", cwd=tmp_path
    )
    assert_one_sentence(done, 2, "promised 6 ranks", "MPI sees 1", "--mpi=pmix for Open MPI", "--mpi=pmi2 for MPICH")
    assert not (tmp_path / "run").exists()


def test_fewer_tasks_than_ranks_are_refused(cluster, alone, tmp_path):
    job = cluster.submit("--ntasks=4", SCRIPTS / "run.sbatch", alone[1], "--out=run", cwd=tmp_path)
    cluster.wait(job, "FAILED")
    log = (tmp_path / f"mpidec-{job}.log").read_text()
    assert log.splitlines() == [
        "mpidec: the experiment is for 6 ranks and the Slurm job was granted 4 tasks (SLURM_NTASKS): submit it with "
        "--ntasks=6, or give -n 4"
    ]
    done = cluster.call("srun", "--ntasks=4", f"--mpi={PMI}", PYTHON, "-m", "mpidec", "run", alone[1], cwd=tmp_path)
    assert_one_sentence(done, 2, "for 6 ranks and MPI was started with 4", "-n 4")
    assert not (tmp_path / "run").exists() and not (tmp_path / "runs").exists()


def test_a_rank_that_dies_ends_the_job_at_once(cluster, tmp_path):
    (tmp_path / "dying.py").write_text(
        "import os, signal\nfrom dataclasses import dataclass\nfrom mpidec.algorithms.dif_altgdmin import DifAltGDmin\n\n\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Dying(DifAltGDmin):\n"
        "    def step(self, net, problem, state, k):\n"
        "        if k == 5 and net.rank == 3:\n            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().step(net, problem, state, k)\n"
    )
    experiment = write(tmp_path, small(ranks=6, method=[{"algorithm": "dying.py:Dying", "rounds": 2, "iterations": 20}]))
    job = cluster.submit("--nodes=3", "--ntasks=6", SCRIPTS / "run.sbatch", experiment, "--out=run", cwd=tmp_path)
    cluster.wait(job, "FAILED", seconds=60)
    log = (tmp_path / f"mpidec-{job}.log").read_text()
    assert (tmp_path / "run").is_dir(), log
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["status"] == "failed" and "ended with status" in about["reason"]

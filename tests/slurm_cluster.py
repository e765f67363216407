"""A real Slurm on this machine for the time of the tests: munged, slurmctld, and a slurmd for each of four nodes.

All in a folder of their own, on ports of their own, without systemd and cgroups. Debian's packages munge, slurmctld, slurmd
and slurm-client hold the programs. The daemons stay in the foreground as children of this process: they are ended by pid,
and `setpriv --pdeathsig` ends them should this process be killed before it can.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import clean_environment, finish, start

NODES = ("n1", "n2", "n3", "n4")
CORES = 2  # of each node, as Slurm sees them
PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "squeue", "scontrol", "scancel", "setpriv")
_ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
PYTHON = sys.executable
SCRIPTS = Path(__file__).resolve().parents[1] / "hpc" / "slurm"
_PATH = f"{Path(PYTHON).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"

_CONFIGURATION = """
ClusterName=mpidec
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
TmpFS={folder}/tmp.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,bf_interval=1
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=5
SlurmdTimeout=10
SlurmdParameters=config_overrides
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""
_NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cores} RealMemory=4000\n"


class Cluster:
    """A running Slurm: commands that see it, and its daemons by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        # ranks of four nodes on the cores of one: those that wait must give way. Transports are as Open MPI chooses, which
        # starts a second slower than `pml ob1` over `btl tcp`, where one MPI_Init in some hundred ends in a segmentation fault
        self.environment = {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": _PATH,  # with this Python first, as an activated environment has it
            "OMPI_MCA_mpi_yield_when_idle": "1",
        }

    def call(self, *command: str, cwd: Path, seconds: float = 90.0, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command as on the login node."""
        return finish(start(list(command), cwd, **(self.environment | more)), seconds)

    def out(self, *command: str) -> str:
        """What a Slurm command prints; it must not fail."""
        done = self.call(*command, cwd=self.folder, seconds=30.0)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.strip()

    def mpidec(self, *arguments: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
        """`mpidec …` on the login node."""
        return self.call(PYTHON, "-m", "mpidec", *arguments, cwd=cwd, **more)

    def submit(self, *arguments: str | Path, cwd: Path, **more: str) -> str:
        """`sbatch …`; the job's number."""
        done = self.call("sbatch", "--parsable", "--time=5", *map(str, arguments), cwd=cwd, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """The state of a job, or of the task JOB_INDEX of an array."""
        return self.out("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T")

    def wait(self, job: str, *states: str, seconds: float = 90.0) -> str:
        """Wait for a job to come to one of these states (COMPLETED unless told); fails where it ends in another."""
        wanted = states or ("COMPLETED",)
        self.until(lambda: (now := self.state(job)) in wanted or now in _ENDED, f"job {job} does not end", seconds)
        if (now := self.state(job)) not in wanted:
            pytest.fail(f"job {job} is {now}, wanted {' or '.join(wanted)}\n{self._told()}")
        return now

    def until(self, true: Callable[[], object], what: str, seconds: float = 60.0) -> None:
        """Wait for this to come true; fails with what Slurm and the jobs say."""
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                pytest.fail(f"after {seconds:g} s: {what}\n{self._told()}")
            time.sleep(0.2)

    def steps(self, job: str) -> list[str]:
        """The steps of a job, or of an array of one task, that a node has not done with: a daemon each, named after it."""
        mark, found = f"slurmstepd: [{job.partition('_')[0]}.", []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                name = os.fsdecode((entry / "cmdline").read_bytes())  # anybody's, and of whatever bytes
            except OSError:
                continue  # it has ended
            if name.startswith(mark):
                found.append(name)
        return found

    # -- daemons --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start all daemons and wait until every node is idle."""
        folder, host = self.folder, socket.gethostname().partition(".")[0]
        with _ports(1 + len(NODES)) as (port, *ports):
            text = _CONFIGURATION.format(folder=folder, host=host, port=port, user=getpass.getuser())
            text += "".join(
                _NODE.format(name=name, host=host, port=each, cores=CORES) for name, each in zip(NODES, ports, strict=True)
            )
        (folder / "slurm.conf").write_text(text)
        for name in ("state", *(f"{kind}.{node}" for kind in ("spool", "tmp") for node in NODES)):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        files = {"key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munged.pid"}
        files |= {"log-file": folder / "munged.log", "seed-file": folder / "munged.seed"}
        self._start("munged", "munged", "--foreground", "--force", *(f"--{name}={path}" for name, path in files.items()))
        self._until("munged listens", (folder / "munge.socket").exists)
        self._start("slurmctld", "slurmctld", "-D")
        for node in NODES:
            self.start_node(node)
        self._until("all nodes are idle", lambda: self._nodes() == {"idle"}, 40.0)

    def start_node(self, node: str) -> None:
        """Start the slurmd of a node."""
        self._start(node, "slurmd", "-D", "-N", node)

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        """End a daemon."""
        daemon = self.daemons.pop(name)
        daemon.send_signal(number)
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def end(self) -> None:
        """Cancel all jobs and end all that was started here."""
        if "slurmctld" in self.daemons and self.daemons["slurmctld"].poll() is None:
            for command in (["scancel", "--state=PENDING"], ["scancel", "--state=RUNNING"]):
                self.call(*command, f"--user={getpass.getuser()}", cwd=self.folder, seconds=30.0)
            until = time.monotonic() + 20.0
            while time.monotonic() < until and self.call("squeue", "--noheader", cwd=self.folder, seconds=30.0).stdout.strip():
                time.sleep(0.2)
        for name in reversed(list(self.daemons)):
            self.stop(name)
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)

    def processes(self) -> list[int]:
        """Processes of this cluster that its daemons started and left: they have its slurm.conf in their environment."""
        mark, found = f"SLURM_CONF={self.folder / 'slurm.conf'}".encode(), []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
                except OSError:
                    continue  # it has ended, or is another user's
        return found

    def _start(self, name: str, *command: str) -> None:
        program = shutil.which(command[0], path=_PATH)
        with (self.folder / f"{name}.out").open("ab") as log:
            self.daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", str(program), *command[1:]],
                cwd=self.folder,
                env=clean_environment(PATH=_PATH, SLURM_CONF=self.environment["SLURM_CONF"]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _nodes(self) -> set[str]:
        done = self.call("sinfo", "--noheader", "--Node", "--format=%t", cwd=self.folder, seconds=30.0)
        return set(done.stdout.split())

    def _told(self) -> str:
        """The last three jobs as Slurm has them, what they wrote, and the end of slurmctld's log."""
        about = self.call("scontrol", "show", "job", cwd=self.folder).stdout.strip().split("\n\n")[-3:]
        logs = [Path(line.partition("=")[2]) for job in about for line in job.split() if line.startswith("StdOut=")]
        logs = [*dict.fromkeys(log for log in logs if log.is_file()), self.folder / "slurmctld.log"]
        return "\n".join([*about, *(f"--- {log}\n{log.read_text()[-3000:]}" for log in logs)])

    def _until(self, what: str, true: Callable[[], bool], seconds: float = 20.0) -> None:
        until = time.monotonic() + seconds
        while not true():
            dead = [name for name, daemon in self.daemons.items() if daemon.poll() is not None]
            if dead or time.monotonic() > until:
                logs = [*sorted(self.folder.glob("*.log")), *sorted(self.folder.glob("*.out"))]
                told = "\n".join(f"--- {path.name}\n{path.read_text()[-2000:]}" for path in logs)
                why = f"{', '.join(dead)} ended before" if dead else "waited in vain until"
                pytest.fail(f"no Slurm for the tests: {why} {what}\n{told}")
            time.sleep(0.1)


class _ports:  # noqa: N801 (used as a function)
    """So many free ports of this host, each once."""

    def __init__(self, number: int) -> None:
        self._sockets = [socket.socket() for _ in range(number)]

    def __enter__(self) -> list[int]:
        for each in self._sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in self._sockets]

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            each.close()


def missing() -> list[str]:
    """The programs that are not here."""
    return [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]

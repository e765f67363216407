"""Finding and telling apart MPI libraries and launchers."""

from types import SimpleNamespace

import pytest

from mpidec.errors import InputError
from mpidec.mpi import launcher


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("Open MPI v5.0.11, package: Open MPI user@localhost", "openmpi"),
        ("mpiexec (Open MPI) 5.0.11", "openmpi"),
        ("MPICH Version:      5.0.2", "mpich"),
        ("HYDRA build details:\n    Version: 4.0.2", "mpich"),
        ("Intel(R) MPI Library 2021.18 for Linux* OS", "intel"),
        ("Intel(R) MPI Library for Linux* OS, Version 2021.18 Build (id: HYDRA)", "intel"),
        ("something else", "unknown"),
    ],
)
def test_family(text, family):
    assert launcher.family(text) == family


def program(folder, name, says):
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def outside_of_slurm(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


def test_a_launcher_of_another_family_is_passed_over(tmp_path, monkeypatch):
    wrong, right = tmp_path / "wrong", tmp_path / "right"
    wrong.mkdir()
    right.mkdir()
    program(wrong, "mpiexec", "HYDRA build details")
    fitting = program(right, "mpirun", "mpirun (Open MPI) 5.0.11")
    monkeypatch.delenv(launcher.LAUNCHER_VARIABLE, raising=False)
    monkeypatch.setattr(launcher.sys, "prefix", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", f"{wrong}:{right}")
    assert launcher.find_launcher("openmpi") == launcher.Launcher(fitting, "openmpi")
    with pytest.raises(InputError, match=r"library is intel, but the launchers found are .*mpich.*openmpi"):
        launcher.find_launcher("intel")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="no MPI launcher found"):
        launcher.find_launcher("openmpi")


def test_a_named_launcher_of_another_family_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(launcher.LAUNCHER_VARIABLE, str(program(tmp_path, "mine", "mpirun (Open MPI) 5.0.11")))
    assert launcher.find_launcher("openmpi").family == "openmpi"
    with pytest.raises(InputError, match=r"names .*mine, which belongs to openmpi, but the MPI library is mpich"):
        launcher.find_launcher("mpich")


def test_oversubscribed_ranks_yield_under_open_mpi_and_mpich_gets_no_options(monkeypatch):
    monkeypatch.setattr(launcher, "cores", lambda: 2)
    ompi, mpich = (
        launcher.Launcher(launcher.Path("mpirun"), "openmpi"),
        launcher.Launcher(launcher.Path("mpiexec"), "mpich"),
    )
    many, few = launcher.command(ompi, 8, ["x"]), launcher.command(ompi, 2, ["x"])
    assert "mpi_yield_when_idle" in many
    assert "mpi_yield_when_idle" not in few
    assert launcher.command(mpich, 8, ["x"]) == ["mpiexec", "-n", "8", "x"]
    assert "ob1" not in launcher.command(ompi, 2, ["x"], library_bytes=True)


def test_open_mpi_sends_unasked_where_its_shared_memory_has_the_room(monkeypatch):
    names = ("OMPI_MCA_btl_sm_eager_limit", "OMPI_MCA_btl_sm_max_send_size")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    ompi = launcher.Launcher(launcher.Path("mpirun"), "openmpi")

    def limits(ranks, free, found=ompi):
        monkeypatch.setattr(launcher.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
        return [launcher.environment(found, ranks, "/a").get(name) for name in names]

    monkeypatch.setattr(launcher, "_SHARED", launcher.Path("/"))
    assert limits(8, 2 * 8 * 2**24) == ["131072", "131072"]
    assert limits(8, 2 * 8 * 2**24 - 1) == limits(4, 64_000_000) == [None, None]  # as in a container
    assert limits(8, 2**40, launcher.Launcher(launcher.Path("mpiexec"), "mpich")) == [None, None]
    monkeypatch.setenv(names[0], "4096")
    assert limits(8, 2**40) == ["4096", "131072"]
    monkeypatch.delenv(names[0])
    monkeypatch.setattr(launcher, "_SHARED", launcher.Path("/nowhere"))
    assert limits(8, 2**40) == [None, None]


def test_each_start_of_open_mpi_s_launcher_has_a_folder_of_its_own_and_the_user_s_wins(monkeypatch):
    name = "PRTE_MCA_prte_tmpdir_base"
    monkeypatch.delenv(name, raising=False)
    ompi = launcher.Launcher(launcher.Path("mpirun"), "openmpi")
    assert [launcher.environment(ompi, 2, folder).get(name) for folder in ("/a", "/b")] == ["/a", "/b"]
    for program, *others in (("mpiexec", "mpich"), ("srun", "openmpi", "pmix")):
        assert name not in launcher.environment(launcher.Launcher(launcher.Path(program), *others), 2, "/a")
    monkeypatch.setenv(name, "/mine")
    assert launcher.environment(ompi, 2, "/a")[name] == "/mine"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "1"}, ("OMPI_COMM_WORLD_SIZE", 4)),
        ({"PMI_SIZE": "3", "PMI_RANK": "0"}, ("PMI_SIZE", 3)),
        ({"SLURM_NTASKS": "6", "SLURM_PROCID": "0", "SLURM_STEP_ID": "0"}, ("SLURM_NTASKS", 6)),
        # a batch script is no rank, nor is an interactive shell
        ({"SLURM_NTASKS": "6", "SLURM_PROCID": "0"}, None),
        ({"SLURM_NTASKS": "6", "SLURM_PROCID": "0", "SLURM_STEP_ID": "4294967290"}, None),
    ],
)
def test_who_promised_how_many_ranks(environment, expected, monkeypatch):
    for name in list(launcher.os.environ):
        if name.startswith(("OMPI_", "PMI", "SLURM_", "MPIDEC_")):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launcher.promised() == expected
    if expected is not None:
        launcher.check_promise(expected[1])
        with pytest.raises(InputError, match=f"promised {expected[1]} ranks"):
            launcher.check_promise(1)


@pytest.mark.parametrize(("family", "pmi"), [("openmpi", "pmix"), ("mpich", "pmi2"), ("intel", "pmi2")])
def test_in_a_slurm_job_srun_starts_the_ranks_with_the_pmi_of_the_library(family, pmi, tmp_path, monkeypatch):
    monkeypatch.delenv(launcher.LAUNCHER_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_NTASKS", "6")
    with pytest.raises(InputError, match="Slurm job 7, but there is no srun on the PATH"):
        launcher.find_launcher(family)
    srun = program(tmp_path, "srun", "slurm 22.05")
    found = launcher.find_launcher(family)
    assert found == launcher.Launcher(srun, family, pmi)
    assert launcher.command(found, 6, ["x"]) == [str(srun), "--ntasks=6", f"--mpi={pmi}", "--kill-on-bad-exit=1", "x"]
    assert "OMPI_ALLOW_RUN_AS_ROOT" not in launcher.environment(found, 6, "/a")
    with pytest.raises(InputError, match=r"for 7 ranks .* granted 6 tasks .* --ntasks=7, or give -n 6"):
        launcher.command(found, 7, ["x"])
    with pytest.raises(InputError, match="--mpi this MPI library wants"):
        launcher.find_launcher("unknown")
    monkeypatch.setenv(launcher.LAUNCHER_VARIABLE, str(program(tmp_path, "mine", "mpirun (Open MPI) 5.0.11")))
    assert launcher.find_launcher("openmpi").pmi is None

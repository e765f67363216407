"""Imports go one way, and only mpidec/mpi/ speaks to mpi4py: read off the source, not believed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "mpidec"
MODULES = sorted(PACKAGE.rglob("*.py"))

# a module may import from its own layer and from those before it
LAYERS = [
    {"errors", "seeding", "tables"},
    {"options"},
    {"graph", "ledger"},
    {"link"},
    {"network", "problems"},
    {"algorithms", "mpi", "metrics"},
    {"predict", "engine", "intervals", "lines"},
    {"run_folder", "checkpoint"},
    {
        "recorder",
        "resuming",
        "reader",
        "screen",
        "plots",
        "config",
        "fitting",
        "laying",
        "overrides",
        "recording",
        "experiment",
    },
    {"html", "sweep", "slurm"},
    {"claim", "study"},
    {"commands"},
    {"cli"},
    {"__main__", "__init__"},
]
APART = [{"algorithms", "mpi"}, {"graph", "ledger"}, {"algorithms", "metrics"}, {"mpi", "metrics"}]


def part(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def layer(name):
    return next(i for i, names in enumerate(LAYERS) if name in names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    here = part(path)
    for module in imports(path):
        if module.split(".")[0] != "mpidec" or module == "mpidec" or here == "__init__":
            continue
        there = module.split(".")[1]
        assert layer(there) <= layer(here), f"{here} imports {there}"
        assert here == there or {here, there} not in APART, f"{here} imports {there}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_mpi_folder_imports_mpi4py(path):
    named = {module.split(".")[0] for module in imports(path)}
    assert ("mpi4py" not in named) or part(path) == "mpi"


def test_pytorch_is_imported_by_the_one_network_that_takes_its_gradients_from_it():
    importing = [str(path.relative_to(PACKAGE)) for path in MODULES if "torch" in set(imports(path))]
    assert importing == ["problems/lenet_network.py"]
    text = "import sys; from mpidec.problems import PROBLEMS; [PROBLEMS[k][s] for k in PROBLEMS for s in PROBLEMS[k]]"
    loaded = subprocess.run(
        [sys.executable, "-c", text + "; print(sorted({'torch', 'mpidec.problems.lenet'} & set(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.strip() == "['mpidec.problems.lenet']"  # only when it loads data


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_stay_small(path):
    limit = 110 if path.parent.name == "algorithms" and path.stem != "base" else 300
    assert len(path.read_text().splitlines()) <= limit

"""mpidec run as a user starts it: the run folder, its numbers, and the laws between them."""

import json
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from commands import by_hand, dry_rows, finish, mpidec, rows, small, start, under_mpirun, write

from mpidec.mpi import launcher
from mpidec.problems.fashion_files import FOLDER

ROOT = Path(__file__).resolve().parents[2]
METHODS = [
    {"algorithm": "dif_altgdmin", "rounds": 3, "iterations": 20},
    {"algorithm": "altgdmin_fusion", "iterations": 20},
    {"algorithm": "altgdmin_allreduce", "iterations": 20},
    {"algorithm": "dec_altgdmin_falling", "most": 20, "iterations": 20, "gossip": "chebyshev"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("run")
    file = write(where, small(method=METHODS, graph={"topology": "star"}, ranks=4))
    done = mpidec("run", file, "--out", "out", cwd=where)
    assert done.returncode == 0, done.stderr
    assert "dif_altgdmin" in done.stdout
    assert str(Path("out") / "subspace_distance.png") in done.stdout
    return where / "out"


def test_the_folder_holds_what_it_should_and_no_more(folder):
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        ["experiment.toml", "run.json", "graph.txt", "trace.csv", "ledger.csv", "final.npz", "subspace_distance.png"]
    )
    assert (folder / "subspace_distance.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_trace_columns_and_steps(folder):
    traced = rows(folder / "trace.csv")
    assert list(traced[0])[:9] == (
        [
            "method",
            "step",
            "seconds",
            "compute_seconds",
            "comm_seconds",
            "rounds",
            "messages_max",
            "bytes_max",
            "bytes_total",
        ]
    )
    assert {"subspace_distance", "consensus_distance", "loss"} <= set(traced[0])
    for method in METHODS:
        steps = [int(r["step"]) for r in traced if r["method"] == method["algorithm"]]
        assert steps == [0, 5, 10, 15, 20]


def test_bytes_in_trace_and_ledger_are_the_formulas(folder):
    """Star of 4: the hub has 3 neighbors; d r 8 = 20 * 2 * 8 bytes; 3 rounds an iteration, 20 iterations."""
    unit = 20 * 2 * 8
    traced, ledger = rows(folder / "trace.csv"), rows(folder / "ledger.csv")
    for method, hub, total in (("dif_altgdmin", 3 * 3, 3 * 6), ("altgdmin_fusion", 3, 6)):
        own = [r for r in traced if r["method"] == method]
        assert int(own[-1]["bytes_max"]) - int(own[0]["bytes_max"]) == 20 * hub * unit
        assert int(own[-1]["bytes_total"]) - int(own[0]["bytes_total"]) == 20 * total * unit
        iterate = [r for r in ledger if r["method"] == method and r["account"] == "iterate"]
        assert sum(int(r["bytes"]) for r in iterate) == 20 * total * unit
        assert sum(int(r["received_bytes"]) for r in iterate) == 20 * total * unit
        assert sum(int(r["bytes"]) for r in iterate if r["rank"] == "0") == 20 * hub * unit
        charged = [r for r in ledger if r["method"] == method and r["account"] in ("init", "iterate")]
        assert sum(int(r["bytes"]) for r in charged) == int(own[-1]["bytes_total"])
        assert {r["basis"] for r in charged} == {"counted"}
        assert {r["same_host"] for r in charged} == {"1"}
    reduced = [r for r in ledger if r["method"] == "altgdmin_allreduce" and r["account"] == "iterate"]
    assert {(r["neighbor"], r["basis"]) for r in reduced} == {("collective", "modeled")}
    assert sum(int(r["bytes"]) for r in reduced) == 20 * 4 * round(2 * unit * 3 / 4)


def test_decentralized_method_speaks_to_neighbors_alone(folder):
    for r in rows(folder / "ledger.csv"):
        if r["method"] == "dif_altgdmin" and r["account"] != "observe":
            assert "0" in (r["rank"], r["neighbor"])  # the star's only edges are those of node 0


def test_final_arrays_are_every_nodes_and_give_the_last_traced_error(folder):
    with np.load(folder / "final.npz") as final:
        U = final["dif_altgdmin/U"]
        assert final["dif_altgdmin/step_size"].shape == (4,)
    assert U.shape == (4, 20, 2)
    from mpidec.problems.synthetic import Synthetic

    truth = Synthetic(d=20, tasks=25, rank=2, samples=10).load(0, 4, 1, None).truth
    worst = max(np.linalg.norm(truth - u @ (u.T @ truth), 2) for u in U)
    traced = [r for r in rows(folder / "trace.csv") if r["method"] == "dif_altgdmin"]
    assert worst == pytest.approx(float(traced[-1]["subspace_distance"]), rel=1e-9)
    consensus = np.sqrt(np.mean(np.sum((U - U.mean(axis=0)) ** 2, axis=(1, 2))))
    assert consensus == pytest.approx(float(traced[-1]["consensus_distance"]), rel=1e-9)


def test_run_json_and_the_resolved_experiment(folder, tmp_path):
    about = json.loads((folder / "run.json").read_text())
    assert (about["status"], about["ranks"], sum(about["hosts"].values())) == ("finished", 4, 4)
    assert about["format"] == 1
    assert about["graph"]["degree_max"] == 3
    assert about["graph"]["gamma"] == pytest.approx(0.75)  # star of 4 under Metropolis: 1 - 1/4
    assert about["start"] <= about["end"]
    assert {m: e["ending"] for m, e in about["methods"].items()} == {m["algorithm"]: "finished" for m in METHODS}
    assert all(e["shapes"] == {"U": [20, 2], "step_size": []} for e in about["methods"].values())
    assert "MPI" in about["mpi_library"] or "MPICH" in about["mpi_library"]
    assert "run" in about["command"]
    resolved = tomllib.loads((folder / "experiment.toml").read_text())
    assert resolved["graph"] == {"topology": "star", "mixing": "metropolis"}
    assert resolved["method"][0]["power_iterations"] == 15
    # the resolved file is an experiment that gives the same numbers
    done = mpidec("run", str(folder / "experiment.toml"), "--out", "again", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = rows(folder / "trace.csv"), rows(tmp_path / "again" / "trace.csv")
    for a, b in zip(first, second, strict=True):
        if a["method"] != "altgdmin_allreduce":
            assert {k: v for k, v in a.items() if "seconds" not in k} == {k: v for k, v in b.items() if "seconds" not in k}


def test_recorded_graph_is_one_to_run_on(folder, tmp_path):
    """Star of 4, and the run on that file is the run on the star, to the byte."""
    assert (folder / "graph.txt").read_text() == "# nodes 4\n0 1\n0 2\n0 3\n"
    graph = {"topology": "edge_list", "path": str(folder / "graph.txt")}
    done = mpidec("run", write(tmp_path, small(method=METHODS[:1], graph=graph, ranks=4)), "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first = [r for r in rows(folder / "trace.csv") if r["method"] == "dif_altgdmin"]
    second = rows(tmp_path / "out" / "trace.csv")
    assert [r["bytes_total"] for r in second] == [r["bytes_total"] for r in first]
    assert [r["loss"] for r in second] == [r["loss"] for r in first]


def test_dry_run_predicts_the_bytes_of_the_run(folder, tmp_path):
    file = write(tmp_path, small(method=METHODS, graph={"topology": "star"}, ranks=4))
    done = mpidec("run", file, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "small.toml"]
    for method in METHODS:
        kinds = dry_rows(done.stdout, method["algorithm"])
        last = [r for r in rows(folder / "trace.csv") if r["method"] == method["algorithm"]][-1]
        assert (max(k[-1] for k in kinds[:-1]), kinds[-1][-1]) == (int(last["bytes_max"]), int(last["bytes_total"]))
        assert max(k[-2] for k in kinds[:-1]) == int(last["messages_max"])
    # gamma of a star of 4 is 3/4, and log(1 / 0.92) / acosh(4 / 3) = 0.105 rounds fewer an iteration: 20 to 19
    assert [k[0] for k in dry_rows(done.stdout, "dec_altgdmin_falling")] == [20, 20, 20]
    assert "19 to 20" in done.stdout


def test_dry_run_takes_no_time_for_rounds(tmp_path):
    """A ring of 512: some 100,000 gossip rounds for a consensus of the initialization, which are counted, not made."""
    done = mpidec("run", write(tmp_path, small(ranks=512, problem={"tasks": 600})), "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert dry_rows(done.stdout, "dif_altgdmin")[-1][1:3] == [512 * 2 * 3, 512 * 2 * 3 * 20 * 2 * 8]


def test_the_same_under_mpirun_and_plainly(folder, tmp_path):
    file = write(tmp_path, small(method=METHODS[:1], graph={"topology": "star"}, ranks=4))
    done = under_mpirun(4, "run", file, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "final.npz") as one, np.load(tmp_path / "out" / "final.npz") as two:
        assert np.array_equal(one["dif_altgdmin/U"], two["dif_altgdmin/U"])


def test_overrides_and_options_of_another_topology(tmp_path):
    file = write(tmp_path, small(graph={"topology": "erdos_renyi", "p": 0.9}))
    arguments = ["--set", "graph.topology=ring", "--set", "method.0.rounds=2", "-n", "2", "--seed", "7"]
    done = mpidec("run", file, *arguments, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "graph.p belongs to the former choice" in done.stderr
    resolved = tomllib.loads((tmp_path / "out" / "experiment.toml").read_text())
    assert (resolved["ranks"], resolved["seed"], resolved["method"][0]["rounds"]) == (2, 7, 2)
    assert resolved["graph"] == {"topology": "ring", "mixing": "metropolis"}


def test_target_stops_a_method(tmp_path):
    method = [{"algorithm": "altgdmin_allreduce", "iterations": 2000, "target": {"subspace_distance": 1e-3}}]
    done = mpidec("run", write(tmp_path, small(method=method)), "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    errors = [float(r["subspace_distance"]) for r in rows(tmp_path / "out" / "trace.csv")]
    assert errors[-1] <= 1e-3 < errors[-2]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["methods"]["altgdmin_allreduce"]["ending"] == "target"


def test_one_rank(tmp_path):
    done = mpidec("run", write(tmp_path, small(method=METHODS)), "-n", "1", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    last = {r["method"]: r for r in rows(tmp_path / "out" / "trace.csv") if r["step"] == "20"}
    assert {int(r["bytes_total"]) for r in last.values()} == {0}
    values = [float(r["subspace_distance"]) for r in last.values()]
    assert values == pytest.approx([values[0]] * len(METHODS), rel=1e-6)


def test_list_shows_every_entry_with_its_options(tmp_path):
    from mpidec.algorithms import ALGORITHMS
    from mpidec.graph.topology import TOPOLOGIES

    out = mpidec("list", cwd=tmp_path).stdout
    for name in (*ALGORITHMS, *TOPOLOGIES, "fashion_mnist_pairs", "lazy_metropolis", "subspace_distance"):
        assert f"  {name}" in out or f"{name!r}" in out
    assert "rounds             int >= 1; default 10; gossip rounds an iteration" in out
    only = mpidec("list", "mixings", cwd=tmp_path).stdout
    assert "metropolis" in only
    assert "dif_altgdmin" not in only


def test_doctor_finds_this_environment_well(tmp_path):
    done = mpidec("doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "ok   exchange on 2 ranks: each heard the other" in done.stdout
    done = mpidec("doctor", cwd=tmp_path, MPIDEC_MPIEXEC="/bin/true", OMP_NUM_THREADS="4")
    assert done.returncode == 1
    assert "BAD  launcher: /bin/true" in done.stdout
    assert "BAD  BLAS threads: OMP_NUM_THREADS=4" in done.stdout


def test_the_launchers_that_doctor_starts_have_a_folder_each_which_goes_with_them(tmp_path):
    found = launcher.find_launcher(launcher.family(launcher.library_version()))
    noting = tmp_path / "mpirun"
    noting.write_text(
        f'#!/bin/sh\necho "$PRTE_MCA_prte_tmpdir_base" >>{tmp_path}/folders\nexec {shlex.quote(str(found.path))} "$@"\n'
    )
    noting.chmod(0o755)
    (tmp_path / "tmp").mkdir()
    done = mpidec("doctor", "--bytes", cwd=tmp_path, MPIDEC_MPIEXEC=str(noting), TMPDIR=str(tmp_path / "tmp"))
    assert done.returncode == 0, done.stdout
    told = [Path(line) for line in (tmp_path / "folders").read_text().split()]  # nothing where it is only asked what it is
    assert len(set(told)) == len(told) == (2 if found.family == "openmpi" else 0)  # the exchange, and the run that is counted
    assert all(folder.parent == tmp_path / "tmp" for folder in told)
    assert not any(folder.exists() for folder in told)


def test_importing_the_package_or_asking_for_help_starts_no_mpi_and_loads_nothing_heavy(tmp_path):
    code = (
        "import mpidec, mpidec.cli, sys; mpidec.InputError\n"
        "print([m for m in ('mpi4py', 'scipy', 'networkx', 'matplotlib', 'rich') if m in sys.modules])"
    )
    done = finish(start([sys.executable, "-c", code], tmp_path))
    assert done.stdout.strip() == "[]"


def test_plain_ranks_load_no_scipy_networkx_matplotlib_or_rich(tmp_path):
    file = write(tmp_path, small(graph={"topology": "erdos_renyi", "p": 0.9}))
    code = f"""
import sys
from mpidec.cli import main
status = main(["run", {file!r}, "--out", {str(tmp_path / "out")!r}])
from mpi4py import MPI
heavy = sorted({{m.partition('.')[0] for m in sys.modules}} & {{'scipy', 'networkx', 'matplotlib', 'rich'}})
open(f"rank{{MPI.COMM_WORLD.rank}}", "w").write(f"{{heavy}} {{status}}")
"""
    command, settings = by_hand(tmp_path, 3, "-c", code)
    done = finish(start(command, tmp_path, **settings))
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (1, 2)] == ["[] 0", "[] 0"]


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("quickstart", "dif_altgdmin"),
        ("reference", "dif_altgdmin"),
        ("fashion_pairs", "dif_altgdmin"),
        ("least_squares", "dat_sgd"),
        ("logistic_digits", "dat_sgd"),
        ("logistic_fashion", "dat_sgd"),
    ],
)
def test_committed_experiments_are_valid(name, method, tmp_path):
    if "fashion" in name and not Path(FOLDER).is_dir():
        pytest.skip("Fashion-MNIST, the Debian package dataset-fashion-mnist, is not installed")
    done = mpidec("run", str(ROOT / "launch" / "experiments" / f"{name}.toml"), "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert method in done.stdout


def test_output_closed_early_is_no_error(tmp_path):
    done = subprocess.run(
        f"{shlex.quote(sys.executable)} -m mpidec list | head -n 1",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "algorithms\n"
    assert done.stderr == ""


@pytest.mark.parametrize("first", [0, 1])
def test_a_target_of_one_method_is_observed_for_all(first, tmp_path):
    methods = [
        {"algorithm": "altgdmin_allreduce", "iterations": 2000, "target": {"subspace_distance": 1e-2}, "label": "with"},
        {"algorithm": "altgdmin_allreduce", "iterations": 10, "label": "without"},
    ]
    table = small(method=[methods[first], methods[1 - first]], observe={"metrics": ["loss"]})
    done = mpidec("run", write(tmp_path, table), "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    traced = rows(tmp_path / "out" / "trace.csv")
    assert {tuple(r)[10:] for r in traced} == {("loss", "subspace_distance")}
    assert float([r for r in traced if r["method"] == "with"][-1]["subspace_distance"]) <= 1e-2
    assert all(float(r["subspace_distance"]) > 0 for r in traced)


PUBLIC = """
from dataclasses import dataclass
from typing import NamedTuple
from mpidec.problems.synthetic import Synthetic

class Offset(NamedTuple):
    value: float

@dataclass(frozen=True, kw_only=True)
class Shifted(Synthetic):
    'Synthetic tasks, their labels moved by what rank 0 made public.'
    def public(self, seed, nodes):
        return Offset(0.5)
    def load(self, node, nodes, seed, public):
        problem = super().load(node, nodes, seed, None)
        problem.y += public.value
        return problem
"""


def test_what_a_users_problem_makes_public_reaches_all_ranks(tmp_path):
    """Its class is pickled on rank 0 and found again by the others."""
    (tmp_path / "mine.py").write_text(PUBLIC)
    table = small()
    table["problem"] = {"kind": "mine.py:Shifted", "d": 20, "tasks": 25, "rank": 2, "samples": 10}
    done = mpidec("run", write(tmp_path, table), "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    setup = [r for r in rows(tmp_path / "out" / "ledger.csv") if r["method"] == "(set-up)"]
    assert {r["account"] for r in setup} == {"setup"}
    assert sum(int(r["bytes"]) for r in setup) == sum(int(r["received_bytes"]) for r in setup) > 0


def test_a_picture_can_be_left_out(tmp_path):
    done = mpidec("run", write(tmp_path, small(method=METHODS[:1])), "--out", "out", "--no-picture", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "dif_altgdmin" in done.stdout
    assert "picture" not in done.stdout
    assert sorted(p.suffix for p in (tmp_path / "out").iterdir()) == [".csv", ".csv", ".json", ".npz", ".toml", ".txt"]


def test_no_line_of_a_table_ends_in_a_carriage_return(folder):
    for name in ("trace.csv", "ledger.csv"):
        assert b"\r" not in (folder / name).read_bytes()


def test_an_unknown_rank_is_found_and_predicted_at_its_bound(tmp_path):
    table = small(
        problem={"rank": 5, "true_rank": 2, "d": 40, "tasks": 60, "samples": 30},
        method=[{"algorithm": name, "iterations": 40, "estimate_rank": True} for name in ("dif_altgdmin", "altgdmin_fusion")],
    )
    file = write(tmp_path, table)
    assert mpidec("run", file, "--out", "out", cwd=tmp_path).returncode == 0
    about = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [m["shapes"]["U"] for m in about["methods"].values()] == [[40, 2], [40, 2]]
    assert np.load(tmp_path / "out" / "final.npz")["dif_altgdmin/U"].shape == (3, 40, 2)
    assert all(float(r["subspace_distance"]) < 0.1 for r in rows(tmp_path / "out" / "trace.csv")[-1:])
    dry = mpidec("run", file, "--dry-run", cwd=tmp_path).stdout
    assert "a rank that is estimated counts as the problem's" in dry
    assert dry_rows(dry, "dif_altgdmin")[0][2] == 10 * 2 * 40 * 5 * 8


def test_what_lies_in_the_working_folder_is_not_taken_for_the_package(tmp_path):
    """As where a clone was made: its folder, named mpidec like the package, is not the package; nor is a user's numpy.py."""
    (tmp_path / "mpidec").mkdir()
    for name in ("numpy.py", "mpi4py.py", "msgspec.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong one')")
    file = write(tmp_path, small(method=METHODS[:1]), "base.toml")
    (tmp_path / "sweep.toml").write_text('name = "s"\nexperiment = "base.toml"\nseeds = 1\n')
    command = str(Path(sys.executable).parent / "mpidec")
    for *arguments, folder in (["run", file, "out"], ["sweep", "sweep.toml", "swept"]):
        done = finish(start([command, *arguments, "--out", folder], tmp_path))
        assert done.returncode == 0, done.stdout + done.stderr
    assert [len(rows(trace)) for trace in sorted(tmp_path.rglob("trace.csv"))] == [5, 5]
    done = finish(start([command, "doctor"], tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr

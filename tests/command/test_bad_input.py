"""Bad input: one clear sentence, a non-zero status, no hang, no traceback; plainly started and under mpirun."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import assert_one_sentence, mpidec, rows, small, under_mpirun, write

SETTINGS = {
    "unknown topology": ({"graph": {"topology": "rign"}}, ["graph.topology", "'rign'", "did you mean 'ring'", "torus"]),
    "unknown option": ({"graph": {"p": 0.5}}, ["graph (ring)", "'p'", "accepted"]),
    "unknown algorithm": ({"method": [{"algorithm": "sgd", "iterations": 1}]}, ["method.0.algorithm", "dif_altgdmin"]),
    "unknown method key": (
        {"method": [{"algorithm": "dif_altgdmin", "iterations": 5, "round": 3}]},
        ["method.0", "'round'", "did you mean 'rounds'"],
    ),
    "no rounds": (
        {"method": [{"algorithm": "dif_altgdmin", "iterations": 5, "rounds": 0}]},
        ["rounds", "got 0", "int >= 1"],
    ),
    "wrong type": ({"ranks": "three"}, ["ranks", "'three'", "int >= 1"]),
    "two methods of one label": (
        {"method": [{"algorithm": "dif_altgdmin", "iterations": 5}] * 2},
        ["method.1", "'dif_altgdmin'", "its own label"],
    ),
    "no method": ({"method": []}, ["[[method]]"]),
    "unknown metric": ({"observe": {"metrics": ["sd"]}}, ["observe.metrics", "'sd'", "subspace_distance"]),
    "a label that files cannot hold": (
        {"method": [{"algorithm": "dif_altgdmin", "iterations": 5, "label": "a\rb"}]},
        ["method.0.label", "'a\\rb'", "at most 100 characters without"],
    ),
    "a name with a line's end": ({"name": "small\n"}, ["name", "letters, digits"]),
    "more tasks than memory": ({"problem": {"d": 10**12}}, ["GiB", "more machines"]),
    "a number beyond counting": ({"problem": {"d": 10**15 * 10}}, ["problem", "at most 9007199254740992"]),
    "checkpoints of methods that go abreast": ({"abreast": True, "checkpoint": {}}, ["abreast", "[checkpoint]", "leave out"]),
    "no source": (
        {"problem": {"source": None}},
        ["problem.source: the source is missing", "synthetic", "fashion"],
    ),
    "an option of another source": ({"problem": {"source": "files", "path": "."}}, ["problem (", "files)", "key 'd'"]),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_are_refused_before_any_rank_starts(case, tmp_path):
    changes, words = SETTINGS[case]
    done = mpidec("run", write(tmp_path, small(**changes)), cwd=tmp_path)
    assert_one_sentence(done, 2, *words)
    assert not (tmp_path / "runs").exists()


# found before the ranks start, or on them: what needs the graph, the data or the world
ON_RANKS = {
    "wrong rank count for a hypercube": ({"graph": {"topology": "hypercube"}}, ["hypercube", "3"]),
    "wrong rank count for a torus": ({"graph": {"topology": "torus", "rows": 2, "cols": 2}}, ["torus", "3"]),
    "initialization rounds below the diameter": (
        {
            "graph": {"topology": "path"},
            "method": [{"algorithm": "dif_altgdmin", "iterations": 5, "rounds_init": 1}],
        },
        ["rounds_init = 1", "diameter 2"],
    ),
    "rank above the dimensions": ({"problem": {"rank": 21}}, ["rank", "21"]),
    "fewer samples than the rank": ({"problem": {"samples": 1}}, ["samples"]),
    "more nodes than tasks": ({"problem": {"tasks": 2}}, ["2 tasks", "3"]),
    "a metric that the problem has not": ({"observe": {"metrics": ["accuracy"]}}, ["'accuracy'", "it has"]),
}


@pytest.mark.parametrize("case", ON_RANKS)
def test_what_does_not_fit_is_refused_on_all_ranks(case, tmp_path):
    changes, words = ON_RANKS[case]
    done = mpidec("run", write(tmp_path, small(**changes)), "--out", "out", cwd=tmp_path)
    assert_one_sentence(done, 2, *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("case", ["wrong rank count for a torus", "more nodes than tasks"])
def test_the_same_sentence_under_mpirun(case, tmp_path):
    changes, words = ON_RANKS[case]
    done = under_mpirun(3, "run", write(tmp_path, small(**changes)), cwd=tmp_path)
    assert_one_sentence(done, 2, *words)


def test_edge_list_of_another_size_and_one_in_two_parts(tmp_path):
    (tmp_path / "four.txt").write_text("0 1\n1 2\n2 3\n")
    (tmp_path / "parts.txt").write_text("0 1\n")
    file = write(tmp_path, small(graph={"topology": "edge_list", "path": "four.txt"}))
    assert_one_sentence(mpidec("run", file, cwd=tmp_path), 2, "four.txt", "3")
    done = mpidec("run", file, "--set", "graph.path=parts.txt", cwd=tmp_path)
    assert_one_sentence(done, 2, "parts.txt", "disconnected, in 2 components")


def test_a_missing_option(tmp_path):
    table = small()
    del table["problem"]["rank"]
    assert_one_sentence(mpidec("run", write(tmp_path, table), cwd=tmp_path), 2, "'rank' is missing")


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "X.npy", rng.standard_normal((6, 10, 8)))
    np.save(tmp_path / "y.npy", rng.standard_normal((6, 10)))
    table = small()
    table["problem"] = {"kind": "multitask_regression", "source": "files", "path": ".", "rank": 2}
    return tmp_path, write(tmp_path, table)


def test_not_a_number_in_a_file_names_the_file_and_the_task(data):
    folder, file = data
    X = np.load(folder / "X.npy")
    X[4, 2, 1] = np.nan
    np.save(folder / "X.npy", X)
    assert_one_sentence(mpidec("run", file, cwd=folder), 2, "X.npy", "task 4")
    assert_one_sentence(under_mpirun(3, "run", file, cwd=folder), 2, "X.npy", "task 4")


def test_wrong_shapes_types_and_truncated_files(data):
    folder, file = data
    whole = (folder / "X.npy").read_bytes()
    (folder / "X.npy").write_bytes(whole[:-100])
    assert_one_sentence(mpidec("run", file, cwd=folder), 2, "X.npy")
    (folder / "X.npy").write_bytes(whole)
    np.save(folder / "y.npy", np.zeros((6, 9)))
    assert_one_sentence(mpidec("run", file, cwd=folder), 2, "y.npy", "(6, 9)")
    np.save(folder / "y.npy", np.array([["a"] * 10] * 6))
    assert_one_sentence(mpidec("run", file, cwd=folder), 2, "y.npy")
    (folder / "y.npy").unlink()
    assert_one_sentence(mpidec("run", file, cwd=folder), 2, "y.npy")


def test_an_existing_output_folder_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    file = write(tmp_path, small())
    assert_one_sentence(mpidec("run", file, "--out", "out", cwd=tmp_path), 2, "out", "never overwritten")
    assert_one_sentence(under_mpirun(3, "run", file, "--out", "out", cwd=tmp_path), 2, "out", "never overwritten")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_output_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    done = mpidec("run", write(tmp_path, small()), "--out", "file/out", cwd=tmp_path)
    assert_one_sentence(done, 2, "file/out")


@pytest.fixture
def disk(request, tmp_path):
    """A file system of its own, of the size that the test is given."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", folder]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("disk", ["32k"], indirect=True)
def test_a_full_disk_ends_the_run_and_keeps_what_was_written(disk, tmp_path):
    table = small(observe={"every": 1}, method=[{"algorithm": "dif_altgdmin", "rounds": 1, "iterations": 2000}])
    done = mpidec("run", write(tmp_path, table), "--out", str(disk / "out"), cwd=tmp_path)
    assert_one_sentence(done, 4, "cannot write", "No space left")
    kept = rows(disk / "out" / "trace.csv")
    assert [int(r["step"]) for r in kept] == list(range(len(kept)))
    assert len(kept) > 20
    assert all(float(r["loss"]) > 0 for r in kept)  # the last row is whole
    assert json.loads((disk / "out" / "run.json").read_text())["status"] == "failed"


@pytest.mark.parametrize("disk", ["160k"], indirect=True)
def test_a_disk_that_fills_while_the_final_arrays_are_written(disk, tmp_path):
    """The first method's arrays fit, a later one's do not: the first's stay whole, and nothing speaks of a traceback."""
    methods = [{"algorithm": "dif_altgdmin", "iterations": 5, "label": name} for name in ("one", "two", "three")]
    table = small(problem={"d": 700}, method=methods)  # 34 kB of final arrays a method, written beside the former
    done = mpidec("run", write(tmp_path, table), "--out", str(disk / "out"), cwd=tmp_path)
    assert_one_sentence(done, 4, "cannot write", "No space left")
    with np.load(disk / "out" / "final.npz") as final:
        assert final["one/U"].shape == (3, 700, 2)
    assert not (disk / "out" / "final.npz.partial").exists()
    assert json.loads((disk / "out" / "run.json").read_text())["status"] == "failed"


@pytest.mark.parametrize("disk", ["160k"], indirect=True)
def test_a_disk_that_fills_at_the_end_of_methods_abreast_costs_none_of_them_a_row(disk, tmp_path):
    """None has ended then, so that with more room all are run again, and leave what an unbroken run does."""
    methods = [{"algorithm": "dif_altgdmin", "iterations": 5, "label": f"m{i}"} for i in range(5)]
    table = small(problem={"d": 700}, method=methods, abreast=True, observe={"every": 1})  # 34 kB of final arrays a method
    file = write(tmp_path, table)
    done = mpidec("run", file, "--out", str(disk / "out"), cwd=tmp_path)
    assert_one_sentence(done, 4, "cannot write", "No space left")
    about = json.loads((disk / "out" / "run.json").read_text())
    assert (about["status"], about["methods"]) == ("failed", {})
    assert not list((disk / "out").glob("final.npz*"))
    subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
    for out, more in ((disk / "out", ["--resume"]), (tmp_path / "whole", [])):
        again = mpidec("run", file, "--out", str(out), *more, cwd=tmp_path)
        assert again.returncode == 0, again.stderr

    def told(out):
        return [{k: v for k, v in row.items() if "seconds" not in k} for row in rows(out / "trace.csv")]

    assert len(told(disk / "out")) == 5 * 6
    assert told(disk / "out") == told(tmp_path / "whole")


def test_a_diverging_method_is_told_and_the_others_go_on(tmp_path):
    methods = [
        {"algorithm": "dif_altgdmin", "iterations": 40, "step_size": 1e308, "label": "wild"},
        {"algorithm": "dif_altgdmin", "iterations": 20, "rounds": 3, "label": "tame"},
    ]
    done = mpidec("run", write(tmp_path, small(method=methods)), "--out", "out", cwd=tmp_path)
    assert_one_sentence(done, 3, "'wild'", "non-finite at step", "step size", "1e+308")
    traced = rows(tmp_path / "out" / "trace.csv")
    assert [r["step"] for r in traced if r["method"] == "tame"] == ["0", "5", "10", "15", "20"]
    assert [r["step"] for r in traced if r["method"] == "wild"][0] == "0"


RAISING = """
from dataclasses import dataclass
import mpidec

@dataclass(frozen=True, kw_only=True)
class Raises(mpidec.DifAltGDmin):
    '''Raises on rank 1.'''
    def step(self, net, problem, state, k):
        if net.rank == 1 and k == 3:
            raise RuntimeError("a fault of mine")
        return super().step(net, problem, state, k)
"""


def test_a_rank_that_raises_ends_the_job_with_its_traceback(tmp_path):
    (tmp_path / "mine.py").write_text(RAISING)
    file = write(tmp_path, small(method=[{"algorithm": "mine.py:Raises", "iterations": 20}]))
    done = mpidec("run", file, "--out", "out", cwd=tmp_path)
    assert done.returncode not in (0, 2)
    assert "[rank 1] RuntimeError: a fault of mine" in done.stderr
    assert "[rank 0]" not in done.stderr
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "failed"
    assert rows(tmp_path / "out" / "trace.csv")[0]["step"] == "0"


def test_an_input_error_raised_by_a_users_code_on_one_rank_ends_the_job_too(tmp_path):
    (tmp_path / "mine.py").write_text(RAISING.replace("RuntimeError(", "mpidec.InputError("))
    file = write(tmp_path, small(method=[{"algorithm": "mine.py:Raises", "iterations": 20}]))
    done = mpidec("run", file, "--out", "out", cwd=tmp_path)
    assert done.returncode not in (0, 2)
    assert "a fault of mine" in done.stderr


def test_sizes_that_disagree(tmp_path):
    file = write(tmp_path, small())
    assert_one_sentence(under_mpirun(2, "run", file, cwd=tmp_path), 2, "3 ranks", "started with 2", "-n 2")
    alone = mpidec("run", file, cwd=tmp_path, SLURM_NTASKS="3", SLURM_STEP_ID="0", SLURM_PROCID="0")
    assert_one_sentence(alone, 2, "promised 3", "SLURM_NTASKS", "sees 1", "--mpi=pmix")


def test_no_launcher(tmp_path):
    done = mpidec("run", write(tmp_path, small()), cwd=tmp_path, MPIDEC_MPIEXEC="no-such-mpiexec")
    assert_one_sentence(done, 2, "no-such-mpiexec", "MPIDEC_MPIEXEC")


def test_a_launcher_that_runs_nothing(tmp_path):
    done = mpidec("run", write(tmp_path, small()), cwd=tmp_path, MPIDEC_MPIEXEC="/bin/true")
    assert_one_sentence(done, 2, "/bin/true", "no rank ran")


def test_files_that_are_no_experiment(tmp_path):
    assert_one_sentence(mpidec("run", "absent.toml", cwd=tmp_path), 2, "absent.toml")
    (tmp_path / "broken.toml").write_text("name = ")
    assert_one_sentence(mpidec("run", "broken.toml", cwd=tmp_path), 2, "broken.toml", "not valid TOML")
    write(tmp_path, {"name": "s", "experiment": "small.toml"}, "sweep.toml")
    assert_one_sentence(mpidec("run", "sweep.toml", cwd=tmp_path), 2, "sweep.toml is a sweep file", "mpidec sweep")
    file = write(tmp_path, small())
    assert_one_sentence(mpidec("run", file, "--set", "method.3.rounds=5", cwd=tmp_path), 2, "0 to 0")
    assert_one_sentence(mpidec("run", file, "--set", "rounds", cwd=tmp_path), 2, "KEY.PATH=VALUE")


def test_settings_of_no_use_on_the_command_line(tmp_path):
    file = write(tmp_path, small())
    assert_one_sentence(mpidec("run", file, "--set", "method.\u00b2.rounds=5", cwd=tmp_path), 2, "0 to 0")
    assert_one_sentence(mpidec("run", file, "--set", "ranks=" + "[" * 9000, cwd=tmp_path), 2, "ranks", "int >= 1")
    assert_one_sentence(mpidec("run", file, "--out", "x" * 300, cwd=tmp_path), 2, "output folder", "too long")
    (tmp_path / "deep.toml").write_text("a = " + "[" * 9000)
    assert_one_sentence(mpidec("run", "deep.toml", cwd=tmp_path), 2, "deep.toml", "nested too deeply")


def test_text_that_is_not_utf8_and_numbers_that_are_none(tmp_path):
    file, about = write(tmp_path, small()), tmp_path / "run.json"
    about.write_text('{"status": "running"}')  # of another run, in the current folder
    assert_one_sentence(mpidec("run", file, "--out", os.fsdecode(b"a\xff"), cwd=tmp_path), 2, "output folder", "UTF-8")
    assert about.read_text() == '{"status": "running"}'
    label = "method.0.label=" + os.fsdecode(b"\xff")
    assert_one_sentence(mpidec("run", file, "--set", label, "--out", "out", cwd=tmp_path), 2, "TOML cannot")
    target = "method.0.target={loss = nan}"
    assert_one_sentence(mpidec("run", file, "--set", target, cwd=tmp_path), 2, "method.0.target", "finite")
    assert_one_sentence(mpidec("run", file, "--set", "method.0.algorithm=small.toml:X", cwd=tmp_path), 2, "no .py file")
    falling = ["--set", "method.0.algorithm=dec_altgdmin_falling", "--set", "method.0.most=5", "--set", "method.0.least=9"]
    assert_one_sentence(mpidec("run", file, *falling, cwd=tmp_path), 2, "least = 9 is above most = 5")


def test_an_experiment_from_a_pipe_and_files_with_odd_names(data):
    """The experiment is read once: what runs is what was piped in, with paths from the current folder."""
    folder, file = data
    odd = Path(file).rename(folder / "-e.toml")
    command = [sys.executable, "-m", "mpidec", "run", "/dev/stdin", "--out=-piped"]
    with odd.open() as piped:
        done = subprocess.run(command, cwd=folder, stdin=piped, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert mpidec("run", "--out=-named", "--", "-e.toml", cwd=folder).returncode == 0
    piped, named = (rows(folder / out / "trace.csv") for out in ("-piped", "-named"))
    assert [r["loss"] for r in piped] == [r["loss"] for r in named]


def test_a_pipe_where_an_array_should_be(data):
    folder, file = data
    (folder / "X.npy").unlink()
    os.mkfifo(folder / "X.npy")
    assert_one_sentence(mpidec("run", file, cwd=folder), 2, "X.npy", "no file of its own")


USERS = {
    "a file that exits": ("import sys\nsys.exit(0)\n", ["does not load", "SystemExit"]),
    "annotations of nothing": ("    extra: 'Nonsense' = 1\n", ["annotations", "Nonsense"]),
    "an option of an odd type": ("    extra: complex = 1j\n", ["option", "TOML cannot"]),
    "a fault in __post_init__": ("    def __post_init__(self):\n        1 + 'a'\n", ["Mine cannot be made", "TypeError"]),
    "an unknown network": ("    network = 'star'\n", ["network 'star'", "fusion_center"]),
    "a bind that refuses": ("    def bind(self, facts):\n        raise ValueError('no such graph')\n", ["no such graph"]),
}
HEAD = """
from dataclasses import dataclass
import mpidec

@dataclass(frozen=True, kw_only=True)
class Mine(mpidec.DifAltGDmin):
    '''Mine.'''
"""


@pytest.mark.parametrize("case", USERS)
def test_a_users_class_that_cannot_be_used(case, tmp_path):
    body, words = USERS[case]
    (tmp_path / "mine.py").write_text(HEAD + body if body.startswith(" ") else body)
    file = write(tmp_path, small(method=[{"algorithm": "mine.py:Mine", "iterations": 5}]))
    assert_one_sentence(mpidec("run", file, "--out", "out", cwd=tmp_path), 2, *words)
    assert not (tmp_path / "out").exists()


def test_other_types_on_two_ranks_are_found(tmp_path):
    """The same bytes, read as other numbers: no MPI library notices, so the run must not end well."""
    step = """
    def step(self, net, problem, state, k):
        net.exchange(state.U.view('f4' if net.rank else 'i8'))
        return super().step(net, problem, state, k)
"""
    (tmp_path / "mine.py").write_text(HEAD + step)
    file = write(tmp_path, small(method=[{"algorithm": "mine.py:Mine", "iterations": 5}]))
    done = mpidec("run", file, "--out", "out", cwd=tmp_path)
    assert_one_sentence(done, 2, "ranks 0 and 1", "different sizes or types")
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "failed"


def test_library_bytes_without_the_librarys_monitoring(tmp_path):
    done = under_mpirun(3, "run", write(tmp_path, small()), "--library-bytes", cwd=tmp_path)
    assert_one_sentence(done, 2, "--library-bytes", "monitoring")


def test_labels_that_are_zero(tmp_path):
    np.save(tmp_path / "X.npy", np.ones((6, 10, 8)))
    np.save(tmp_path / "y.npy", np.zeros((6, 10)))
    table = small()
    table["problem"] = {"kind": "multitask_regression", "source": "files", "path": ".", "rank": 2}
    assert_one_sentence(mpidec("run", write(tmp_path, table), cwd=tmp_path), 3, "no step size", "all zero")


@pytest.mark.parametrize("verb", [["topology", "ring", "-n", "8"], ["list"], ["run", "small.toml", "--dry-run"]])
def test_output_with_no_place_to_go(verb, tmp_path):
    write(tmp_path, small())
    command = [sys.executable, "-m", "mpidec", *verb]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (4, "mpidec: [Errno 28] No space left on device\n")

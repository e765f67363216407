"""Runs of the stochastic methods as a user starts them: figures in the run folder, refusals in one sentence, divergence."""

import csv
import json
import re

import numpy as np
import pytest
from commands import assert_one_sentence, dry_rows, mpidec, rows, write
from matplotlib.figure import Figure

from mpidec.plots import save_figures

LEAST_SQUARES = {"kind": "least_squares", "source": "gaussian", "d": 6, "zeta": 2.0}


def experiment(problem, *methods, **more):
    return {
        "name": "sgd",
        "ranks": 4,
        "graph": {"topology": "ring"},
        "problem": problem,
        "method": [{"iterations": 20, **method} for method in methods],
        "observe": {"every": 5},
    } | more


@pytest.fixture
def samples(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(30) % 3
    np.save(tmp_path / "X.npy", rng.standard_normal((30, 4)) + 2 * np.eye(4)[y])
    np.save(tmp_path / "y.npy", y)
    return {"kind": "logistic", "source": "files", "path": str(tmp_path), "batch": 4, "l2": 0.01}


def test_methods_that_go_abreast_leave_what_they_leave_by_themselves(tmp_path, monkeypatch):
    """But for seconds: a diverging one among them, one that stops at its target, and others of other lengths."""
    methods = [
        {"algorithm": "dat_sgd", "step_size": 0.01},
        {"algorithm": "d_sgd", "step_size": 1e200, "label": "too far"},
        {"algorithm": "minibatch_sgd", "step_size": 0.05, "iterations": 12},
        {"algorithm": "gradient_tracking", "step_size": 0.05, "target": {"suboptimality": 1e9}},
    ]
    path = write(tmp_path, experiment(LEAST_SQUARES, *methods))
    said = {}
    for out, more in (("alone", []), ("abreast", ["--set", "abreast=true"])):
        done = mpidec("run", path, "--out", out, *more, cwd=tmp_path)
        said[out] = done.stdout
        assert done.returncode == 3 and "'too far'" in done.stderr, done.stderr

    def kept(out, name):
        table = [{k: v for k, v in row.items() if "seconds" not in k} for row in rows(tmp_path / out / name)]
        return {
            method["label"] if "label" in method else method["algorithm"]: [
                row for row in table if row["method"] == method.get("label", method["algorithm"])
            ]
            for method in methods
        }

    for name in ("trace.csv", "ledger.csv"):
        assert kept("abreast", name) == kept("alone", name)
    assert [len(each) for each in kept("alone", "trace.csv").values()] == [5, 2, 4, 1]
    with np.load(tmp_path / "alone/final.npz") as alone, np.load(tmp_path / "abreast/final.npz") as abreast:
        assert alone.files == abreast.files
        for key in alone.files:
            np.testing.assert_array_equal(alone[key], abreast[key])
    for row in rows(tmp_path / "alone/trace.csv"):  # the degrees that neighbors told each other went before
        assert 0 <= float(row["compute_seconds"]) <= float(row["seconds"])
        assert 0 <= float(row["comm_seconds"]) <= float(row["seconds"])
    assert said["abreast"].count("abreast: seconds are those of all together") == 1 and "all together" not in said["alone"]
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: drawn.append(figure))
    for out, words in (("alone", "seconds, observation excluded"), ("abreast", "seconds of all methods together")):
        drawn.clear()
        save_figures(tmp_path / out)
        assert drawn and all(figure.axes[2].get_xlabel().startswith(words) for figure in drawn)
    page = mpidec("report", "abreast", cwd=tmp_path)
    assert page.returncode == 0 and "seconds are those of all together" in (tmp_path / "abreast/report.html").read_text()
    ends = [json.loads((tmp_path / out / "run.json").read_text())["methods"] for out in ("alone", "abreast")]
    assert ends[0] == ends[1]
    again = mpidec("run", path, "--out", "abreast", "--set", "abreast=true", "--resume", cwd=tmp_path)  # all are done
    assert (again.returncode, again.stdout) == (3, said["abreast"]) and "'too far'" in again.stderr
    assert kept("abreast", "trace.csv") == kept("alone", "trace.csv")
    counted = mpidec("run", path, "--out", "counted", "--set", "abreast=true", "--library-bytes", cwd=tmp_path)
    assert_one_sentence(counted, 2, "--library-bytes", "abreast", "leave out one of the two")


def test_a_run_tells_its_figures_and_a_diverging_step_is_stopped_with_its_trace(samples, tmp_path):
    methods = [
        {"algorithm": "dat_sgd", "step_size": 0.05},
        {"algorithm": "local_sgd", "step_size": 0.2, "period": 3},
        {"algorithm": "d_sgd", "step_size": 1e200, "label": "too far"},
        {"algorithm": "gradient_tracking", "step_size": 1e3, "label": "far"},
        {"algorithm": "anytime_minibatch_sgd", "step_size": 0.05},
    ]
    names = ["suboptimality", "suboptimality_local", "suboptimality_worst", "distance_to_optimum", "consensus_distance"]
    table = experiment(samples, *methods, observe={"every": 5, "metrics": names})
    path = write(tmp_path, table)
    done = mpidec("run", path, "--out", "out", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "'too far'" in done.stderr and "step size is the first suspect (it was 1e+200)" in done.stderr
    assert (
        "'far': its estimate or error had grown more than 1e+12 times at step" in done.stderr
        and "(it was 1e+03)" in done.stderr
    )
    assert "samples left over: 2" in done.stdout
    about = json.loads((tmp_path / "out/run.json").read_text())
    assert about["problem"]["samples_a_node"] == 7
    assert about["methods"]["too far"]["ending"] == "diverged" and about["methods"]["too far"]["bad_step"] <= 5
    far = [row for row in rows(tmp_path / "out/trace.csv") if row["method"] == "far"]
    assert about["methods"]["far"]["steps"] == about["methods"]["far"]["bad_step"] == int(far[-1]["step"]) < 40
    before, after = (float(row["suboptimality"]) for row in far[-2:])
    assert before < 1e12 < after < np.inf
    trace = rows(tmp_path / "out/trace.csv")
    last = {row["method"]: row for row in trace}
    start = next(row for row in trace if row["method"] == "dat_sgd")
    for method in ("dat_sgd", "local_sgd", "anytime_minibatch_sgd"):
        row = {name: float(last[method][name]) for name in names}
        assert 0 < row["suboptimality"] < float(start["suboptimality"]) / 2
        # f is convex, so the mean of the nodes is no worse than the nodes are in the mean, nor they than the worst
        assert row["suboptimality"] <= row["suboptimality_local"] * (1 + 1e-9) <= row["suboptimality_worst"] * (1 + 2e-9)
    assert float(last["anytime_minibatch_sgd"]["consensus_distance"]) == 0
    # dense, from the arrays at the end: f at the mean of the nodes
    final = np.load(tmp_path / "out/final.npz")["dat_sgd/x"]
    X, y = np.load(tmp_path / "X.npy"), np.load(tmp_path / "y.npy")
    assert final.shape == (4, 15) and len(X) - about["problem"]["samples_left_over"] == 28
    spread = np.sqrt(np.mean(np.sum((final - final.mean(axis=0)) ** 2, axis=1)))
    assert float(last["dat_sgd"]["consensus_distance"]) == pytest.approx(spread, rel=1e-9)
    assert len(y) == 30
    assert mpidec("report", "out", "-o", "page.html", cwd=tmp_path).returncode == 0
    page = (tmp_path / "page.html").read_text()
    for fact, value in (("samples a node", 7), ("samples left over", 2)):
        assert re.search(rf'>{fact}</th>\s*<td[^>]*><data value="{value}">', page)
    predicted = mpidec("run", path, "--dry-run", cwd=tmp_path).stdout
    sent = {method: sum(int(r["bytes"]) for r in ledger_of(tmp_path) if r["method"] == method) for method in last}
    for method in ("dat_sgd", "local_sgd"):
        assert dry_rows(predicted, method)[-1][-1] == sent[method]
    assert sent["dat_sgd"] == 20 * 8 * 2 * 15 * 8 and sent["local_sgd"] == 6 * 8 * 15 * 8


def ledger_of(folder):
    with (folder / "out/ledger.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["account"] in ("init", "iterate")]


REFUSED = {
    "d2 on an even ring": (LEAST_SQUARES, {"algorithm": "d2", "step_size": 0.1}, ["'d2'", "-1/3", "lazy_metropolis"]),
    "no step size": (LEAST_SQUARES, {"algorithm": "d_sgd"}, ["'step_size' is missing"]),
    "no horizon": (LEAST_SQUARES, {"algorithm": "dat_sgd"}, ["'dat_sgd'", "give step_size, or", "horizon"]),
    "a problem of the other family": (LEAST_SQUARES, {"algorithm": "dgd"}, ["'dgd'", "TwoBlock"]),
    "no files": (
        {"kind": "logistic", "source": "fashion", "path": "nowhere"},
        {"algorithm": "d_sgd", "step_size": 0.1},
        ["train-images", 'source = "digits"'],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_one_sentence(case, tmp_path):
    problem, method, words = REFUSED[case]
    done = mpidec("run", write(tmp_path, experiment(problem, method)), cwd=tmp_path)
    assert_one_sentence(done, 2, *words)
    assert not (tmp_path / "runs").exists()


def test_data_that_do_not_fit_the_ranks_are_refused_in_one_sentence(samples, tmp_path):
    method = {"algorithm": "d_sgd", "step_size": 0.1}
    done = mpidec("run", write(tmp_path, experiment(samples | {"batch": 8}, method)), cwd=tmp_path)
    assert_one_sentence(done, 2, "batch = 8 is more than the 7 samples of a node (30 over 4 nodes)")
    done = mpidec("run", write(tmp_path, experiment(samples, {"algorithm": "dat_sgd", "horizon": 9})), cwd=tmp_path)
    assert_one_sentence(done, 2, "constants that this problem does not know; give step_size")

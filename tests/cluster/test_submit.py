"""mpidec submit and mpidec status against a real Slurm: a run, an array, and jobs that end before they should."""

from __future__ import annotations

import json
import time

import pytest
import tomli_w
from commands import assert_one_sentence, mpidec, rows, small, write
from resuming import assert_same, lasting

LONG = [{"algorithm": "dif_altgdmin", "rounds": 3, "iterations": 10**6}]


def submit(cluster, folder, *arguments):
    """mpidec submit; the job's number."""
    done = cluster.mpidec("submit", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("job "), done.stdout
    return done.stdout.split()[1].rstrip(":")


def status(cluster, folder, job):
    """The line of a job in mpidec status, by column."""
    done = cluster.mpidec("status", cwd=folder)
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    names = head.split()
    starts = [*(head.index(name) for name in names), None]
    cells = [{n: line[a:b].strip() for n, a, b in zip(names, starts, starts[1:], strict=False)} for line in lines]
    return next(each for each in cells if each["job"] == job)


def under_way(cluster, folder, name, *arguments, **changes):
    """Submit a run that would take hours, and wait until it has observed something; the job's number and run folder."""
    experiment = write(folder, small(**{"ranks": 6, "method": LONG, **changes}))
    job = submit(cluster, folder, experiment, "--nodes=3", f"--out=runs/{name}", *arguments)
    trace = folder / "runs" / name / "trace.csv"
    cluster.until(lambda: trace.exists() and len(trace.read_text().splitlines()) > 2, "no observation")
    return job, folder / "runs" / name


def begin_again(cluster, job):
    """Slurm lets a requeued job wait for two minutes, counted anew once its nodes are done with it: not here.

    It must not begin while a node still ends the step of the same number of its first start, as one set down may, nor within
    the second in which its nodes were told to forget the first start's credential: they would take the new one for that.
    """
    cluster.until(lambda: not cluster.steps(job), "its first start does not end")
    time.sleep(2.5)

    def begun():
        if (state := cluster.state(job)) == "PENDING":
            cluster.call("scontrol", "update", f"jobid={job}", "starttime=now", cwd=cluster.folder)  # it may begin meanwhile
        return state in ("RUNNING", "COMPLETED", "FAILED")

    cluster.until(begun, "it is not started again")


def test_a_run_is_submitted_and_told_of(cluster, tmp_path):
    (folder := tmp_path / "a b%j").mkdir()  # both mean something to Slurm
    experiment = write(folder, small(ranks=3))
    job = submit(cluster, folder, experiment, "--nodes=3", "--ntasks=6", "--time=5", "--partition=all", "--out=runs/one")
    write(folder, small(ranks=4))  # what was submitted stays as it was
    cluster.wait(job)
    assert "6 nodes" in (folder / "runs" / "one.job" / "job.log").read_text()
    last = rows(folder / "runs" / "one" / "trace.csv")[-1]
    told = status(cluster, folder, job)
    assert (told["state"], told["step"], told["left"]) == ("finished", "dif_altgdmin 20/20", "")
    name, error = told["error"].split()
    assert float(error) == pytest.approx(float(last[name]), rel=5e-3)
    again = cluster.mpidec("submit", experiment, "--time=5", "--out=runs/one", cwd=folder)
    assert_one_sentence(again, 2, "runs/one exists")


def test_the_runs_of_a_sweep_are_tasks_of_an_array(cluster, tmp_path):
    write(tmp_path, small(ranks=2))
    sweep = {"name": "sizes", "experiment": "small.toml", "seeds": 1, "vary": [{"ranks": [2, 3, 4]}]}
    (tmp_path / "sizes.toml").write_text(tomli_w.dumps(sweep))
    job = submit(cluster, tmp_path, "sizes.toml", "--array", "--nodes=2", "--time=5")
    cluster.until(lambda: {cluster.state(f"{job}_{i}") for i in range(3)} == {"COMPLETED"}, "the array goes on", 90)
    found = {row["ranks"]: row for row in rows(tmp_path / "runs" / "sizes" / "runs.csv")}
    assert {n: row["status"] for n, row in found.items()} == {"2": "finished", "3": "finished", "4": "finished"}
    layouts = [json.loads((tmp_path / "runs" / "sizes" / row["run"] / "run.json").read_text()) for row in found.values()]
    assert [about["ranks"] for about in layouts] == [2, 3, 4]
    assert status(cluster, tmp_path, f"{job}_1")["step"] == "dif_altgdmin 20/20"


def test_a_cancelled_job_ends_in_order(cluster, tmp_path):
    """One that keeps checkpoints leaves one, and does not ask for a requeue."""
    job, run = under_way(cluster, tmp_path, "long", "--time=7", checkpoint={"keep": 1})
    told = status(cluster, tmp_path, job)
    assert (told["state"], told["step"].split("/")[1]) == ("running", "1000000")
    minutes, seconds = map(int, told["left"].split(":"))
    assert 5 * 60 < 60 * minutes + seconds <= 7 * 60
    cluster.out("scancel", job)
    cluster.until(lambda: json.loads((run / "run.json").read_text())["status"] == "interrupted", "run.json says it runs")
    cluster.wait(job, "CANCELLED")
    assert status(cluster, tmp_path, job)["state"] == "cancelled"


def test_the_signal_before_the_time_limit_ends_the_run_in_order(cluster, tmp_path):
    """Slurm looks twice a minute for jobs that come to their signal within 30 s: 20 to 50 s after the start here."""
    job, run = under_way(cluster, tmp_path, "long", "--time=2", "--sbatch=--signal=B:TERM@70")
    cluster.until(lambda: json.loads((run / "run.json").read_text())["status"] == "interrupted", "no signal came")
    cluster.wait(job, "FAILED")  # by its own status, not by the limit
    about = json.loads((run / "run.json").read_text())
    assert about["end"] is not None
    assert status(cluster, tmp_path, job)["state"] == "interrupted"


def test_a_run_goes_on_in_its_requeued_job_as_if_it_had_not_stopped(cluster, tmp_path):
    """The batch shell is told to stop, as some time before the limit."""
    methods = [{"algorithm": "dif_altgdmin", "rounds": 3, "iterations": 6000}]
    lasts = {"ranks": 3, "method": methods, "observe": {"every": 50}, "checkpoint": {"keep": 2}}
    job, run = under_way(cluster, tmp_path, "long", "--time=7", **lasts)
    cluster.out("scancel", "--signal=TERM", "--batch", job)
    cluster.until(lambda: cluster.state(job) == "PENDING", "it asks for no requeue")
    # With (BeginTime) once the scheduler has looked at it again: Slurm tells the state before the reason.
    assert status(cluster, tmp_path, job)["state"].partition(" ")[0] == "pending"
    begin_again(cluster, job)
    cluster.wait(job)
    first, second = json.loads((run / "run.json").read_text())["starts"]
    assert first["step"] is None
    assert 0 < second["step"] < 6000
    assert mpidec("run", "small.toml", "--out=whole", cwd=tmp_path).returncode == 0
    assert_same(run, lasting(tmp_path / "whole"), hosts=False)


def test_a_suspended_job_goes_on_when_it_is_resumed(cluster, tmp_path):
    methods = [{"algorithm": "dif_altgdmin", "rounds": 3, "iterations": 6000}]
    job, run = under_way(cluster, tmp_path, "long", "--time=7", ranks=3, method=methods, observe={"every": 50})
    cluster.out("scontrol", "suspend", job)
    cluster.until(lambda: cluster.state(job) == "SUSPENDED", "it is not suspended")
    time.sleep(1.0)  # what was under way is told
    before = (run / "trace.csv").read_text()
    time.sleep(2.5)  # longer than ranks wait for a signal at a time
    assert (run / "trace.csv").read_text() == before
    cluster.out("scontrol", "resume", job)
    cluster.wait(job)
    assert mpidec("run", "small.toml", "--out=whole", cwd=tmp_path).returncode == 0
    assert_same(run, lasting(tmp_path / "whole"), hosts=False)


def test_a_run_whose_node_goes_down_goes_on_from_its_last_checkpoint(cluster, tmp_path):
    job, run = under_way(cluster, tmp_path, "long", "--time=5", checkpoint={"every": 100})
    assert cluster.out("squeue", "--noheader", f"--jobs={job}", "--format=%N") == "n[1-3]"
    cluster.until(lambda: list((run / "checkpoints").glob("*.json")), "no checkpoint")
    cluster.out("scontrol", "update", "nodename=n2", "state=down", "reason=test")
    try:
        cluster.until(lambda: cluster.state(job) == "PENDING", "it is not requeued")
    finally:
        cluster.until(lambda: cluster.out("sinfo", "--noheader", "--format=%t") == "idle", "a node stays away")
    begin_again(cluster, job)
    cluster.until(lambda: len(json.loads((run / "run.json").read_text())["starts"]) == 2, "it does not begin again")
    cluster.until(lambda: json.loads((run / "run.json").read_text())["starts"][1].get("step"), "it does not go on")
    assert 0 < json.loads((run / "run.json").read_text())["starts"][1]["step"] < 10**6
    cluster.out("scancel", job)
    cluster.wait(job, "CANCELLED")


def test_the_runs_of_an_array_go_on_in_their_requeued_tasks(cluster, tmp_path):
    methods = [{"algorithm": "dif_altgdmin", "rounds": 3, "iterations": 20_000}]
    write(tmp_path, small(ranks=2, method=methods, observe={"every": 50}, checkpoint={"keep": 1}))
    (tmp_path / "one.toml").write_text(tomli_w.dumps({"name": "one", "experiment": "small.toml", "seeds": 1}))
    job = submit(cluster, tmp_path, "one.toml", "--array", "--nodes=1", "--time=5")
    run = tmp_path / "runs" / "one" / "seed=0"
    cluster.until(lambda: (run / "trace.csv").exists() and len(rows(run / "trace.csv")) > 2, "no observation")
    cluster.out("scancel", "--signal=TERM", "--batch", f"{job}_0")
    cluster.until(lambda: cluster.state(f"{job}_0") == "PENDING", "it asks for no requeue")
    begin_again(cluster, f"{job}_0")
    cluster.until(lambda: cluster.state(f"{job}_0") == "COMPLETED", "it does not end", 90)
    assert [start.get("step") is None for start in json.loads((run / "run.json").read_text())["starts"]] == [True, False]
    assert [row["step"] for row in rows(run / "trace.csv")] == [str(k) for k in range(0, 20_001, 50)]


def test_sbatch_s_reason_is_passed_on_and_nothing_stays(cluster, tmp_path):
    experiment = write(tmp_path, small())
    done = cluster.mpidec("submit", experiment, "--time=5", "--sbatch=--nodelist=n9", "--out=run", cwd=tmp_path)
    assert_one_sentence(done, 2, "the submission was rejected: sbatch: error:", "Invalid node name")
    done = cluster.mpidec("submit", experiment, "--time=5", "--partition=gpu", "--out=run", cwd=tmp_path)
    assert_one_sentence(done, 2, "--partition: Slurm knows no 'gpu'")
    # 6 ranks on one node of 4000 MB: 600 tasks of 1000 samples of 1000 features are 4.5 GiB, on three nodes 1.5
    large = write(tmp_path, small(ranks=6, problem={"d": 1000, "tasks": 600, "samples": 1000}))
    done = cluster.mpidec("submit", large, "--time=5", "--nodes=1", "--out=run", cwd=tmp_path)
    assert_one_sentence(done, 2, "GiB for its ranks and their data", "have 3.91 GiB", "more --nodes")
    fits = cluster.mpidec("submit", large, "--time=5", "--nodes=3", "--dry-run", cwd=tmp_path)
    assert fits.returncode == 0 and "#SBATCH --ntasks-per-node=2" in fits.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["small.toml"]


def test_without_slurm_there_is_one_sentence(tmp_path):
    experiment = write(tmp_path, small())
    (tmp_path / "runs").mkdir()
    for arguments in (["submit", experiment, "--time=5"], ["status"]):
        done = mpidec(*arguments, cwd=tmp_path, PATH=str(tmp_path))
        assert_one_sentence(done, 2, "there is no", "on the PATH", "its module is not loaded")

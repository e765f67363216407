"""What is submitted to Slurm: scripts, limits, estimates, and the lines of mpidec status."""

import json
import shlex
import subprocess
from pathlib import Path

import pytest
from commands import small

from mpidec.commands.status import row
from mpidec.config import parse
from mpidec.errors import InputError
from mpidec.slurm import estimate
from mpidec.slurm.jobs import Progress
from mpidec.slurm.queue import Queued
from mpidec.slurm.script import fill, limit_seconds, output


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 5400), ("1:30", 90), ("2:03:04", 7384), ("1-2", 93600), ("1-02:03", 93780), ("1-02:03:04", 93784)],
)
def test_time_limits_are_read_as_sbatch_does(text, seconds):
    assert limit_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "an hour", "1:2:3:4", "-5", "1-", "1.5"])
def test_other_time_limits_are_refused(text):
    with pytest.raises(InputError, match=r"--time: got .* wanted minutes"):
        limit_seconds(text)


@pytest.mark.parametrize("template", ["run.sbatch", "array.sbatch"])
def test_a_filled_script_differs_by_options_and_arguments_alone(template):
    by_hand = Path(__file__).resolve().parents[2] / "hpc" / "slurm" / template
    blank = by_hand.read_text().splitlines()
    filled = fill(template, ["--ntasks=3", "--time=5"], ["a b.toml", "--out=it's"]).splitlines()
    added = [line for line in filled if line not in blank]
    assert [line for line in filled if line in blank] == [line for line in blank if not line.startswith("# (what")]
    assert added[:2] == ["#SBATCH --ntasks=3", "#SBATCH --time=5"]
    assert shlex.split(added[-1]) == ["set", "--", "a b.toml", "--out=it's"]
    # Slurm stops reading options at the first command
    assert max(i for i, line in enumerate(filled) if line.startswith("#SBATCH")) < filled.index(added[2])
    assert subprocess.run(["bash", "-n"], input="\n".join(filled), text=True, check=False).returncode == 0


def test_a_folder_s_own_per_cent_signs_are_no_pattern():
    assert output(Path("/a b/50%j"), "task-%a.log") == "--output='/a b/50%%j/task-%a.log'"


def experiment(**changes):
    return parse(small(**changes), Path.cwd(), "small.toml")


def test_memory_of_the_fullest_node():
    # 25 tasks on 4 ranks are 7, 6, 6, 6; a task is 10 x 20 features and 10 labels; 4 ranks on 3 nodes are 2, 1, 1
    one = experiment(ranks=4)
    own = 7 * (10 * 20 + 10) * 8
    rank = estimate.node_nbytes(experiment(ranks=1), 1) - 25 * (10 * 20 + 10) * 8
    assert estimate.node_nbytes(one, 3) == 2 * (own + rank)
    assert estimate.node_nbytes(one, 4) == own + rank


def test_seconds_grow_as_the_calibration_says():
    method = [{"algorithm": "dif_altgdmin", "rounds": 7, "iterations": 1000}]
    slow, fast = (estimate.seconds(experiment(method=method), estimate.Calibration(seconds, 1e30)) for seconds in (1.0, 1e-9))
    # 1000 steps of 7 rounds, and an initialization of some more
    assert 7000 < slow - fast < 8000
    slow = estimate.seconds(experiment(method=method), estimate.Calibration(1e-9, 1.0))
    # a ring: two neighbors, who get 20 x 2 numbers a round
    assert 7000 * 2 * 320 < slow < 8000 * 2 * 320


def test_a_calibration_is_read_and_checked(tmp_path):
    path = tmp_path / "here.json"
    path.write_text(json.dumps({"seconds_a_round": 2e-5, "bytes_a_second": 5e9, "more": "about it"}))
    assert estimate.Calibration.read(path) == estimate.Calibration(2e-5, 5e9)
    for text in ("", "[]", '{"seconds_a_round": 1}', '{"seconds_a_round": 0, "bytes_a_second": 1}'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"here\.json.*hpc/bench/network\.py"):
            estimate.Calibration.read(path)


@pytest.mark.parametrize(
    ("job", "run", "state"),
    [
        (Queued("PENDING", "Resources", "5:00"), Progress(), "pending (Resources)"),
        (Queued("RUNNING", "", "4:59"), Progress("running"), "running"),
        (Queued("COMPLETED", "", "4:00"), Progress("finished"), "finished"),
        (Queued("FAILED", "NonZeroExitCode", "4:00"), Progress("failed", reason="rank 3 raised"), "failed (rank 3 raised)"),
        (Queued("FAILED", "NonZeroExitCode", "4:00"), Progress(), "failed"),
        (Queued("TIMEOUT", "TimeLimit", "0:00"), Progress("running"), "timeout"),
        (Queued("CANCELLED", "", "1:00"), Progress("interrupted"), "cancelled"),
        (None, Progress("running"), "killed"),
        (None, Progress("finished"), "finished"),
    ],
)
def test_the_state_is_slurm_s_until_the_run_says_more(job, run, state):
    known = {} if job is None else {"7": job}
    told = row("7", known, run, Path("runs/a"))
    assert (told[1], told[4]) == (state, "4:59" if state == "running" else "")


def test_step_and_error_are_told():
    told = row("7", {}, Progress("finished", "dgd", 20, 40, ("loss", 0.012345)), Path("runs/a"))
    assert told == ("7", "finished", "dgd 20/40", "loss 0.0123", "", "runs/a")

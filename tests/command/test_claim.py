"""mpidec claim as a user starts it: real ranks, slopes from the ledgers, what is done is not done again, a failing run."""

import csv
import json
import math
import shutil
from itertools import pairwise

import pytest
from commands import assert_one_sentence, mpidec, rows

SECONDS = 280  # twelve runs, on a machine that others use too


@pytest.fixture(scope="module")
def claimed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claimed")
    done = mpidec("claim", "--quick", "--only", "bytes", "--out", "out", cwd=folder, seconds=SECONDS)
    assert done.returncode == 0, done.stderr
    return folder, done


def sent(folder, method):
    """Bytes an iteration of the busiest rank and of all, summed from ledger.csv by hand; two iterations."""
    own = {}
    for row in rows(folder / "ledger.csv"):
        if row["method"] == method and row["account"] == "iterate":
            own[row["rank"]] = own.get(row["rank"], 0) + int(row["bytes"])
    return max(own.values()) / 2, sum(own.values()) / 2


@pytest.mark.parametrize(
    ("sweep", "key", "values", "busiest", "whole"),
    [
        ("bytes-d", "d", (40, 80, 160), 1, 1),
        ("bytes-r", "rank", (1, 4), 1, 1),
        ("bytes-degree", "degree", (2, 6), 1, 1),
        ("bytes-nodes", "ranks", (4, 8), 0, 1),
    ],
)
@pytest.mark.parametrize("method", ["dif_altgdmin 4", "dec_altgdmin 8"])
def test_slopes_of_real_runs(sweep, key, values, busiest, whole, method, claimed):
    found = [sent(claimed[0] / "out" / sweep / f"{key}={value},seed=0", method) for value in values]
    for (value, one), (other, two) in pairwise(zip(values, found, strict=True)):
        for i, slope in enumerate((busiest, whole)):
            assert math.log(two[i] / one[i]) / math.log(other / value) == pytest.approx(slope, abs=1e-9)


def test_the_verdicts_say_so(claimed):
    folder, done = claimed
    with (folder / "out" / "verdicts.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    about = json.loads((folder / "out" / "claim.json").read_text())
    assert about["verdicts"] == table
    assert about["missing"] == []
    slopes = [row["measured"] for row in table[:-1]]
    assert slopes == [*["slope 1.0000"] * 4, "slope 0.0000", "slope 1.0000"]
    # 9 runs of 8 methods, those of unequal degrees a second time against rounds
    assert table[-1]["measured"] == "88 of 88 counts equal"
    assert {row["verdict"] for row in table} == {"holds"}
    assert {row["part"] for row in table} == {"bytes"}
    assert "slope 1.0000" in done.stdout
    page = (folder / "out" / "claim.html").read_text()
    assert page.count("<td>holds</td>") == len(table)
    for row in table:
        assert row["command"] in page


def test_a_report_of_the_folder_has_the_verdicts(claimed):
    folder, _ = claimed
    done = mpidec("report", "out", "-o", "page.html", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "page.html").read_text() == (folder / "out" / "claim.html").read_text()
    done = mpidec("report", "out", "out/bytes-d", "-o", "both.html", cwd=folder)
    assert_one_sentence(done, 2, "out is of mpidec claim", "make a report of it alone")
    broken = folder / "broken"
    broken.mkdir()
    for text in ("{", '{"quick": true}', '{"quick": true, "verdicts": [{"part": "none"}]}'):
        (broken / "claim.json").write_text(text)
        assert_one_sentence(mpidec("report", "broken", cwd=folder), 2, "cannot read broken/claim.json")


def test_the_command_of_a_verdict_measures_it_again(claimed):
    folder, _ = claimed
    command = rows(folder / "out" / "verdicts.csv")[0]["command"].split()
    assert command[:2] == ["mpidec", "sweep"]
    done = mpidec(*command[1:], "--index", "1", cwd=folder)
    assert done.returncode == 0, done.stderr
    again = folder / "again" / "bytes-d" / "d=80,seed=0"
    assert sent(again, "dif_altgdmin 2") == sent(folder / "out" / "bytes-d" / "d=80,seed=0", "dif_altgdmin 2")


def stamps(folder):
    return {str(path): path.stat().st_mtime_ns for path in folder.glob("bytes-*/*seed=0/**")}


def test_what_is_done_is_not_done_again_and_a_failing_run_is_told(claimed):
    folder, _ = claimed
    out = folder / "copy"
    shutil.copytree(folder / "out", out)
    before = stamps(out)
    listed = mpidec("claim", "--quick", "--only", "bytes", "--out", "copy", "--list", cwd=folder)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [*["finished"] * 9, "0"]
    done = mpidec("claim", "--quick", "--only", "bytes", "--out", "copy", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "started" not in done.stdout
    assert stamps(out) == before
    gone = out / "bytes-d" / "d=80,seed=0"
    shutil.rmtree(gone)
    gone.with_name(f"{gone.name}.log").unlink()
    done = mpidec("claim", "--quick", "--only", "bytes", "--out", "copy", cwd=folder, MPIDEC_MPIEXEC="false")
    assert done.returncode == 1
    assert "d=80,seed=0 failed" in done.stderr
    about = json.loads((out / "claim.json").read_text())
    (missing,) = about["missing"]
    assert missing.startswith("bytes-d/d=80,seed=0 is left out: failed")
    assert "bytes-d/d=80,seed=0 is left out" in (out / "claim.html").read_text()
    # two points are left on its axis
    assert about["verdicts"][0]["measured"] == "slope 1.0000"
    kept = {path: time for path, time in before.items() if "d=80" not in path}
    assert {path: time for path, time in stamps(out).items() if path in kept} == kept


def test_listing_makes_nothing(tmp_path):
    done = mpidec("claim", "--list", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    *runs, close = done.stdout.splitlines()
    assert {line.split()[0] for line in runs} == {"to"}
    assert close.startswith(f"{len(runs)} runs to make, at most about ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "bytes,speed"], ["--only", "'speed'", "bytes, accuracy, graphs"]),
        (["--jobs", "0"], ["--jobs", "got 0"]),
        (["--out", "file", "--only", "bytes"], ["file", "--out"]),
    ],
)
def test_bad_input(arguments, words, tmp_path):
    (tmp_path / "file").write_text("")
    assert_one_sentence(mpidec("claim", *arguments, cwd=tmp_path), 2, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_claim_is_no_rank(tmp_path):
    done = mpidec("claim", cwd=tmp_path, OMPI_COMM_WORLD_SIZE="2", OMPI_COMM_WORLD_RANK="0")
    assert_one_sentence(done, 2, "OMPI_COMM_WORLD_SIZE", "without mpiexec")

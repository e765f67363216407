"""The ledger against counts from outside: the MPI library's own, and those of a PMPI interposer."""

import re
import shutil

from commands import assert_one_sentence, mpidec, rows, small, write

from mpidec.commands.doctor_bytes import against_interposer, against_library
from mpidec.mpi import launcher

METHODS = [
    {"algorithm": "dif_altgdmin", "rounds": 4, "iterations": 30},
    {"algorithm": "altgdmin_fusion", "iterations": 30},
    {"algorithm": "altgdmin_allreduce", "iterations": 30},
]


def test_ledger_equals_the_librarys_counts_to_the_byte_and_no_stranger_hears_anything(tmp_path):
    """Per peer, messages and bytes, init and iterate apart; with observations in between, which are not counted."""
    graph = {"topology": "watts_strogatz", "degree": 4, "rewire": 0.5}
    file = write(tmp_path, small(method=METHODS, graph=graph, ranks=7, problem={"d": 300, "rank": 2}))
    done = mpidec("run", file, "--out", "out", "--library-bytes", cwd=tmp_path)
    if launcher.family(launcher.library_version()) != "openmpi":
        assert_one_sentence(done, 2, "--library-bytes", "Open MPI")
        return
    assert done.returncode == 0, done.stderr
    ledger = [r for r in rows(tmp_path / "out" / "ledger.csv") if r["account"] in ("init", "iterate")]
    counted = [r for r in ledger if r["basis"] == "counted"]
    assert {r["method"] for r in counted} == {"dif_altgdmin", "altgdmin_fusion"}
    for r in counted:
        assert (r["messages"], r["bytes"]) == (r["library_messages"], r["library_bytes"]), r
    assert sum(int(r["bytes"]) for r in counted) > 1_000_000
    # what only the library saw belongs to the all-reduce, whose bytes the ledger models
    assert {r["method"] for r in ledger if r["basis"] == "library"} == {"altgdmin_allreduce"}
    traced = rows(tmp_path / "out" / "trace.csv")
    for method in ("dif_altgdmin", "altgdmin_fusion"):
        last = [r for r in traced if r["method"] == method][-1]
        assert (last["bytes_max"], last["bytes_total"]) == (last["library_bytes_max"], last["library_bytes_total"])
    reduced = [r for r in traced if r["method"] == "altgdmin_allreduce"]
    payload = 300 * 2 * 8
    sent = int(reduced[-1]["library_bytes_total"]) - int(reduced[0]["library_bytes_total"])
    # a node sends 1 to 3.4 times the payload an iteration, as the library's algorithm has it
    assert 1.0 <= sent / (30 * 7 * payload) <= 3.4


def test_doctor_holds_the_ledger_against_what_mpi_was_asked_to_send(tmp_path):
    done = mpidec("doctor", "--bytes", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    told = dict(line[5:].split(": ", 1) for line in done.stdout.splitlines() if line.startswith("ok"))
    openmpi = launcher.family(launcher.library_version()) == "openmpi"
    subjects = [*(["ledger and library"] if openmpi else []), *(["ledger and interposer"] if shutil.which("cc") else [])]
    assert subjects
    # a path of 5 and the hub's two stars; an exchange is of d r numbers, and one of one number opens each initialization
    payload, links = 300 * 2 * 8, 8
    for subject in subjects:
        count, total = re.match(r"equal on (\d+) links, ([\d,]+) bytes", told[subject]).groups()
        assert int(count) == 2 * links - 2  # the hub is a neighbor of one leaf in the path too
        sent = int(total.replace(",", ""))
        if subject == "ledger and interposer":
            sent -= 2 * links * 8  # each method over gossip tells its degree first
        # fusion: 1 + 15 sums and 10 steps; gossip: 10 steps of 3 and of 4 rounds; what is left are whole rounds of the sums
        rest = sent - links * (8 + 25 * payload) - links * 10 * (3 + 4) * payload
        rounds, left = divmod(rest, links * (8 + 30 * payload))
        assert left == 0
        assert rounds >= 2 * 4  # a path of 5 has the diameter 4


def test_doctor_does_without_the_interposer_where_it_cannot_be_loaded_from(tmp_path):
    scratch = tmp_path / "with blanks"
    scratch.mkdir()
    done = mpidec("doctor", "--bytes", cwd=tmp_path, TMPDIR=str(scratch))
    assert done.returncode == 0, done.stdout
    told = [line for line in done.stdout.splitlines() if line.startswith("ok   ledger and interposer: not compared")]
    assert [("blanks" in line, "TMPDIR" in line) for line in told] == [(True, True)]
    assert list(scratch.iterdir()) == []


def row(**changes):
    return {
        "method": "dif_altgdmin",
        "account": "iterate",
        "rank": "0",
        "neighbor": "1",
        "messages": "3",
        "bytes": "240",
        "basis": "counted",
        "library_messages": "3",
        "library_bytes": "240",
    } | changes


def test_a_single_byte_is_missed():
    assert against_library([row()]).well
    assert not against_library([row(library_bytes="241")]).well
    assert not against_library([row(), row(neighbor="2", basis="library", messages="0", bytes="0")]).well
    assert not against_library([]).well
    assert against_interposer([row(), row(account="setup", messages="1", bytes="8")], {(0, 1): (4, 248)}).well
    found = against_interposer([row()], {(0, 1): (3, 239)})
    assert not found.well
    assert "rank 0 to 1" in found.found
    assert not against_interposer([row()], {(0, 1): (3, 240), (0, 2): (1, 8)}).well
    assert not against_interposer([row()], {}).well


def test_a_sweep_can_record_the_librarys_counts(tmp_path):
    write(tmp_path, small(ranks=2, method=METHODS[:1]), "base.toml")
    (tmp_path / "sweep.toml").write_text('name = "counted"\nexperiment = "base.toml"\nlibrary_bytes = true\n')
    done = mpidec("sweep", "sweep.toml", "--out", "out", cwd=tmp_path)
    if launcher.family(launcher.library_version()) != "openmpi":
        assert_one_sentence(done, 1, "--library-bytes", "Open MPI")
        return
    assert done.returncode == 0, done.stderr
    (last,) = rows(tmp_path / "out" / "runs.csv")
    # 30 iterations of 4 rounds to one neighbor, and the initialization
    assert int(last["library_bytes_max"]) == int(last["bytes_max"]) > 30 * 4 * 20 * 2 * 8

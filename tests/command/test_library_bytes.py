"""The ledger against the MPI library's own per-peer counters."""

from commands import assert_one_sentence, mpidec, rows, small, write

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

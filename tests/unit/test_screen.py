"""The closing table: whatever a terminal's width and a method's label, every figure is shown whole."""

import csv
import json
from dataclasses import asdict

import pytest

from mpidec.graph.facts import graph_facts
from mpidec.graph.mixing import MIXINGS
from mpidec.graph.structured import Ring
from mpidec.metrics import leading
from mpidec.recorder import FORMAT, LEDGER_COLUMNS
from mpidec.screen import print_table

LABELS = ("the plain one", "[bold]x[/bold]", "$x_1$ & <b>", "a label of some forty characters, in words".replace(",", ";"))


@pytest.fixture
def folder(tmp_path):
    """A run folder with one row a method."""
    costs = ("step", "seconds", "compute_seconds", "comm_seconds", "rounds", "bytes_max", "bytes_total")
    with (tmp_path / "trace.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["method", *costs, "subspace_distance"])
        for i, label in enumerate(LABELS):
            table.writerow([label, 300, 7.25, 4.5, 2.75, 3165 + i, 369_792_336, 2_095_489_904, 1.25e-14])
    with (tmp_path / "ledger.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(LEDGER_COLUMNS)
        table.writerow(["the plain one", "iterate", 0, "collective", 1, 8, 1, 8, 0, "modeled", "", ""])
    facts = graph_facts(Ring(), MIXINGS["metropolis"], 8, 0, None)
    about = {key: "" for key in ("status", "command", "start", "end", "platform", "mpi_library", "blas_threads", "git")}
    about |= {key: {} for key in ("hosts", "versions", "references", "methods")}
    about |= {"format": FORMAT, "name": "x", "ranks": 8, "cores": 2, "graph": {**asdict(facts), "gap": facts.gap}}
    (tmp_path / "run.json").write_text(json.dumps(about))
    return tmp_path


@pytest.mark.parametrize("columns", [None, 200, 100, 80, 40])
def test_nothing_is_cut_at_any_width(folder, columns, capsys):
    print_table(folder, columns)
    shown = capsys.readouterr().out
    for label in LABELS:
        assert shown.count(label) == 1
    assert shown.count("~369,792,336") == 1
    assert shown.count("369,792,336") == shown.count("2,095,489,904") == shown.count("1.25e-14") == len(LABELS)
    assert all(str(3165 + i) in shown for i in range(len(LABELS)))


def test_where_the_truth_is_not_known_the_loss_leads():
    assert leading(["consensus_distance", "loss"]) == ["loss"]
    assert leading(["consensus_distance"]) == ["consensus_distance"]
    assert leading(["subspace_distance", "consensus_distance", "loss", "accuracy"]) == ["subspace_distance", "accuracy"]

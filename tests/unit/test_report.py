"""The closing table: whatever a terminal's width and a method's label, every figure is shown whole."""

import csv
import json

import pytest

from mpidec.metrics import leading
from mpidec.report import print_table

LABELS = ("plain", "[bold]x[/bold]", "$x_1$ & <b>", "a label of some forty characters, in words".replace(",", ";"))


@pytest.fixture
def folder(tmp_path):
    """A run folder with one row a method."""
    names = ("method", "step", "seconds", "rounds", "bytes_max", "bytes_total", "subspace_distance")
    with (tmp_path / "trace.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(names)
        table.writerows([label, 300, 7.25, 3165 + i, 369_792_336, 2_095_489_904, 1.25e-14] for i, label in enumerate(LABELS))
    (tmp_path / "ledger.csv").write_text("method,account,basis\nplain,iterate,modeled\n")
    (tmp_path / "run.json").write_text(json.dumps({"ranks": 8}))
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

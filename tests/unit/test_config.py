"""Experiment files and --set."""

from pathlib import Path

import pytest
from commands import small

from mpidec.config import parse
from mpidec.errors import InputError
from mpidec.overrides import override


def test_overrides_reach_tables_lists_and_new_keys_and_leave_the_original():
    table = small()
    changed, notes = override(
        table, ["method.0.rounds=7", "graph.mixing=lazy_metropolis", 'name="other"', "observe.metrics=['loss']"]
    )
    assert changed["method"][0]["rounds"] == 7
    assert changed["graph"]["mixing"] == "lazy_metropolis"
    assert changed["name"] == "other"
    assert changed["observe"]["metrics"] == ["loss"]
    assert notes == []
    assert table == small()


def test_another_choice_drops_the_former_ones_options_but_not_those_given():
    table = small(graph={"topology": "erdos_renyi", "p": 0.5})
    changed, notes = override(table, ["graph.topology=ring"])
    assert changed["graph"] == {"topology": "ring"}
    assert len(notes) == 1
    changed, notes = override(table, ["graph.topology=ring", "graph.p=0.7"])
    with pytest.raises(InputError, match="unknown key 'p'"):
        parse(changed, Path())
    changed, _ = override(small(), ["method.0.algorithm=altgdmin_fusion"])
    assert "rounds" not in changed["method"][0]
    parse(changed, Path())


@pytest.mark.parametrize("setting", ["rounds", "=3", "a..b=3", "method.1.rounds=2", "name.first=2"])
def test_settings_that_reach_nothing(setting):
    with pytest.raises(InputError, match="--set"):
        override(small(), [setting])


def test_the_resolved_experiment_is_complete_and_parses_to_itself(tmp_path):
    first = parse(small(), tmp_path)
    assert first.resolved["method"][0]["power_iterations"] == 15
    assert first.resolved["problem"]["noise"] == 0.0
    second = parse(first.resolved, Path("/elsewhere"))
    assert second.resolved == first.resolved
    assert second.methods == first.methods


def test_paths_are_taken_from_the_experiment_files_folder(tmp_path):
    table = small(graph={"topology": "edge_list", "path": "graphs/g.txt"})
    assert parse(table, tmp_path).resolved["graph"]["path"] == str(tmp_path / "graphs" / "g.txt")


def test_graph_seed_is_the_experiments_unless_given():
    assert parse(small(), Path()).graph_seed == 1
    assert parse(small(graph={"seed": 9}), Path()).graph_seed == 9


def test_a_users_class_must_be_finished_and_of_the_right_kind(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nimport mpidec\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Half(mpidec.Algorithm):\n"
        "    def init(self, net, problem, x0):\n        return None\n"
        "@dataclass(frozen=True)\nclass Bare:\n    n: int = 1\n"
    )
    for name, message in (("Half", "unfinished; it lacks: step"), ("Bare", "is no Algorithm; derive it from")):
        with pytest.raises(InputError, match=message):
            parse(small(method=[{"algorithm": f"mine.py:{name}", "iterations": 3}]), tmp_path)

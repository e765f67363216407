"""Sweep files: their expansion into runs, the names of runs, and the sentences for what is wrong in them."""

import json
import shlex
import tomllib
from pathlib import Path

import pytest
import tomli_w
from commands import small, write

from mpidec.config import parse
from mpidec.errors import InputError
from mpidec.overrides import literal, override, read_value
from mpidec.run_folder import NEXT
from mpidec.sweep import Run, job, read_sweep, running, states, write_table
from mpidec.sweep.planned import joined
from mpidec.sweep.table import write_tables

LONGEST_FILE_NAME = 255


def sweep_file(folder: Path, text: str, **base) -> Path:
    write(folder, small(**base), "base.toml")
    path = folder / "sweep.toml"
    path.write_text(f'name = "s"\nexperiment = "base.toml"\n{text}')
    return path


def ids(path: Path, *settings: str) -> list[str]:
    return [run.id for run in read_sweep(path, settings).runs]


TWO_AXES = """
seeds = [4, 2]
[[vary]]
"method.0.rounds" = [1, 2, 5]
[[vary]]
"graph.topology" = ["ring", "star"]
ranks = [16, 9]
"""


def test_axes_multiply_and_keys_of_one_axis_advance_together(tmp_path):
    sweep = read_sweep(sweep_file(tmp_path, TWO_AXES))
    assert sweep.keys == ("method.0.rounds", "graph.topology", "ranks")
    got = [
        (r.experiment.methods[0].algorithm.rounds, r.experiment.topology_name, r.experiment.ranks, r.seed) for r in sweep.runs
    ]
    assert got == [
        (rounds, topology, ranks, seed)
        for rounds in (1, 2, 5)
        for topology, ranks in (("ring", 16), ("star", 9))
        for seed in (4, 2)
    ]
    assert [r.index for r in sweep.runs] == list(range(12))
    assert sweep.runs[0].id == "rounds=1,topology=ring,ranks=16,seed=4"


@pytest.mark.parametrize(("files", "jobs", "most"), [(1024, 1, 64), (1024, 16, 60), (256, 4, 48), (60, 1, 1), (-1, 9, 64)])
def test_runs_by_the_same_ranks_are_as_many_as_files_can_be_open(files, jobs, most, monkeypatch):
    monkeypatch.setattr(running.resource, "getrlimit", lambda _: (files, files))
    assert running._most(jobs) == most


def test_every_run_has_the_settings_that_set_gives(tmp_path):
    path = sweep_file(
        tmp_path, TWO_AXES.replace("[[vary]]", '[set]\n"observe.every" = 1\ngraph.mixing = "max_degree"\n[[vary]]', 1)
    )
    for run in read_sweep(path, ["problem.d=24"]).runs:
        by_hand = [f"{key}={value}" for key, value in run.varied.items()]
        by_hand += ["observe.every=1", "graph.mixing=max_degree", "problem.d=24", f"seed={run.seed}"]
        table, _ = override(tomllib.loads((tmp_path / "base.toml").read_text()), by_hand)
        assert run.experiment.resolved == parse(table, tmp_path).resolved


@pytest.mark.parametrize(
    ("more", "settings"),
    [
        (TWO_AXES.replace("[1, 2, 5]", "[7, 5, 1, 3, 2]"), ()),
        (TWO_AXES.replace("[4, 2]", "12"), ()),
        (TWO_AXES.replace('"ring", "star"', '"complete", "star", "ring"').replace("16, 9", "4, 9, 16"), ()),
        (TWO_AXES, ("observe.every=2",)),
    ],
)
def test_names_of_runs_stay_when_values_are_added_or_what_is_common_changes(more, settings, tmp_path):
    before = ids(sweep_file(tmp_path, TWO_AXES))
    after = ids(sweep_file(tmp_path, more), *settings)
    assert set(before) <= set(after)
    assert len(set(after)) == len(after)


def test_names_tell_keys_apart_and_are_safe_and_short_for_file_systems(tmp_path):
    methods = [{"algorithm": "dif_altgdmin", "iterations": 5, "label": name} for name in ("a", "b")]
    labels = ["5", "é", "-", "l" * 80, "l" * 79 + "m", "a b", "a_b", "a  b", "true", "0.5"]
    text = f"""
[[vary]]
"method.0.rounds" = [1, 2]
[[vary]]
"method.1.rounds" = [1, 2]
[[vary]]
"method.0.label" = {json.dumps(labels, ensure_ascii=False)}
[[vary]]
"method.1.target" = [{{ loss = 1e-3 }}, {{ loss = 1e-4 }}]
"""
    names = ids(sweep_file(tmp_path, text, method=methods))
    assert len(names) == len(set(names)) == 2 * 2 * 10 * 2
    for name in names:
        assert name.startswith("method.0.rounds=")
        assert ",method.1.rounds=" in name
        assert name.endswith(",seed=1")  # the base experiment's own
        assert len(f"{name}.log.partial".encode()) < LONGEST_FILE_NAME
        assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-=,")


def test_many_long_settings_still_make_short_and_different_names(tmp_path):
    keys = {"name": ["n" * 40, "m" * 40], "graph.seed": [10**15, 10**15 + 1], "method.0.label": ["a" * 40, "b" * 40]}
    keys |= {"method.0.iterations": [10**14, 10**14 + 1], "observe.every": [10**14, 10**14 + 1]}
    text = "".join(f"[[vary]]\n{json.dumps(key)} = {json.dumps(values)}\n" for key, values in keys.items())
    try:
        names = ids(sweep_file(tmp_path, text))
    except InputError as error:
        pytest.fail(str(error))
    assert len(set(names)) == 2 ** len(keys)
    assert max(map(len, names)) <= 160


@pytest.mark.parametrize(
    "value",
    [5, -1, 1e-12, 0.1 + 0.2, 1e300, True, "5", "true", "a b", 'q"\\\n\x7f é', [1, [2.5, "x"]], [], {"a b": [{"c": 1}]}, {}],
)
def test_a_literal_reads_back_as_the_same_value_on_one_line(value):
    text = literal(value)
    assert "\n" not in text
    again = read_value(text)
    assert (type(again), again) == (type(value), value)


def test_a_key_may_be_written_as_a_table_too(tmp_path):
    dotted = sweep_file(tmp_path, "[[vary]]\nmethod.0.rounds = [1, 2]\n[set]\ngraph.topology = 'star'\n")
    first = read_sweep(dotted)
    quoted = sweep_file(tmp_path, '[[vary]]\n"method.0.rounds" = [1, 2]\n[set]\n"graph.topology" = \'star\'\n')
    second = read_sweep(quoted)
    assert first.keys == second.keys == ("method.0.rounds",)
    assert [r.experiment.resolved for r in first.runs] == [r.experiment.resolved for r in second.runs]


def test_paths_are_taken_from_the_base_experiments_folder_and_the_base_from_the_sweeps(tmp_path):
    (tmp_path / "bases").mkdir()
    write(tmp_path / "bases", small(graph={"topology": "edge_list", "path": "g.txt"}), "base.toml")
    path = tmp_path / "sweep.toml"
    path.write_text('name = "s"\nexperiment = "bases/base.toml"\n[[vary]]\n"graph.path" = ["g.txt", "h/i.txt"]\n')
    paths = [run.experiment.resolved["graph"]["path"] for run in read_sweep(path).runs]
    assert paths == [str(tmp_path / "bases" / "g.txt"), str(tmp_path / "bases" / "h" / "i.txt")]


def test_options_of_the_former_choice_are_left_out_and_told_once(tmp_path):
    text = 'seeds = 3\n[[vary]]\n"graph.topology" = ["ring", "erdos_renyi"]\n'
    sweep = read_sweep(sweep_file(tmp_path, text, graph={"topology": "erdos_renyi", "p": 0.9}))
    assert len(sweep.runs) == 6
    assert len(sweep.notes) == 1
    assert "graph.p belongs to the former choice" in sweep.notes[0]


WRONG = {
    "a key that does not exist": (
        '[[vary]]\n"method.0.round" = [1]',
        ["method.0.round = 1", "unknown key 'round'", "'rounds'"],
    ),
    "a method that is not there": ('[[vary]]\n"method.3.rounds" = [1]', ["method.3.rounds = 1", "entries 0 to 0"]),
    "a value of another type": ("[[vary]]\nranks = [2, 'two']", ['ranks = "two"', "int >= 1"]),
    "a value out of bounds": ('[[vary]]\n"method.0.rounds" = [3, 0]', ["method.0.rounds = 0", "got 0, wanted int >= 1"]),
    "an unknown key of the sweep": ("sedes = 3", ["sweep.toml", "'sedes'", "did you mean 'seeds'"]),
    "lists of unequal length": (
        '[[vary]]\n"graph.topology" = ["ring", "star"]\nranks = [3]',
        ["vary.0", "2 values", "1 values"],
    ),
    "an empty list": ("[[vary]]\nranks = [3]\n[[vary]]\n'problem.d' = []", ["vary.1", "problem.d is []", "[1, 2, 5]"]),
    "no list": ("[[vary]]\nranks = 3", ["vary.0", "ranks is 3", "wanted a list"]),
    "an axis without keys": ("[[vary]]", ["vary.0", "without a key"]),
    "vary as a table": ("[vary]\nranks = [3]", ["sweep.toml.vary", "list"]),
    "set as a text": ('set = "ranks=3"', ["sweep.toml.set"]),
    "a value twice": ('[[vary]]\n"method.0.rounds" = [1, 2, 1]', ["runs 0", "and 2", "same settings"]),
    "one value written twice": (
        '[[vary]]\n"method.0.step_size" = [1, 1.0]',
        ["step_size=1,", "step_size=1.0", "same settings"],
    ),
    "a key on two axes": ("[[vary]]\nranks = [3]\n[[vary]]\nranks = [4]", ["ranks is given twice"]),
    "a key set and varied": ("[[vary]]\nranks = [3]\n[set]\nranks = 4", ["ranks is given twice"]),
    "a key in another": ('[[vary]]\nmethod.0 = [{}]\n[set]\n"method.0.rounds" = 4', ["method.0.rounds and method.0"]),
    "the seed as a key": ("[[vary]]\nseed = [1, 2]", ["seeds = ["]),
    "a section that is a column": ("[[vary]]\nmethod = [[]]", ["method cannot be varied as a whole"]),
    "dots in odd places": ('[[vary]]\n"method..rounds" = [1]', ["'method..rounds'", "method.0.rounds"]),
    "a dot at the end": ('[[vary]]\n"ranks." = [1]', ["'ranks.'"]),
    "an empty key": ('[set]\n"" = 1', ["''"]),
    "an equals sign in a key": ('[set]\n"ranks=3" = 1', ["'ranks=3'"]),
    "a negative seed": ("seeds = [0, -1]", ["seeds", "-1", ">= 0"]),
    "a repeated seed": ("seeds = [0, 3, 3]", ["3 twice in [0, 3, 3]"]),
    "no seed": ("seeds = []", ["seeds", "[]"]),
    "seeds below one": ("seeds = 0", ["seeds", "got 0"]),
    "seeds that are no numbers": ('seeds = ["a"]', ["seeds", "['a']"]),
    "a seed that is a truth": ("seeds = true", ["seeds", "True"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_in_a_sweep_is_told_in_one_sentence(case, tmp_path):
    text, words = WRONG[case]
    with pytest.raises(InputError) as told:
        read_sweep(sweep_file(tmp_path, text))
    for word in words:
        assert word in str(told.value), str(told.value)
    assert "\n" not in str(told.value)


def test_too_many_runs_and_runs_that_do_not_fit_are_told_before_the_first(tmp_path):
    with pytest.raises(InputError, match=r"got 200,000 runs, wanted at most 100,000"):
        read_sweep(sweep_file(tmp_path, "seeds = 200000\n"))
    with pytest.raises(InputError, match=r"with graph.topology = \"hypercube\".*power of two"):
        read_sweep(sweep_file(tmp_path, '[[vary]]\n"graph.topology" = ["ring", "hypercube"]\nranks = [3, 3]\n'))
    with pytest.raises(InputError, match=r"with problem.tasks = 2: .*2 tasks cannot be split over"):
        read_sweep(sweep_file(tmp_path, '[[vary]]\n"problem.tasks" = [25, 2]\n'))


def test_files_that_are_no_sweep(tmp_path):
    path = sweep_file(tmp_path, "")
    for text, words in (
        ('name = "s"\nexperiment = "absent.toml"', "no experiment file .*absent.toml"),
        ('name = "s"\nexperiment = "sweep.toml"', "names the sweep file itself"),
        ('name = "s"', "'experiment' is missing"),
        ('experiment = "base.toml"', "'name' is missing"),
        ('name = "../s"\nexperiment = "base.toml"', "sweep.toml.name: got '../s'"),
        ("name = ", "not valid TOML"),
        (tomli_w.dumps(small()), "is an experiment file, wanted a sweep file"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            read_sweep(path)
    with pytest.raises(InputError, match="no sweep file"):
        read_sweep(tmp_path / "none.toml")
    for settings, words in (
        (["ranks"], "KEY.PATH=VALUE"),
        (["seed=3"], "list the seeds"),
        (["problem.x=3"], "unknown key 'x'"),
    ):
        with pytest.raises(InputError, match=words):
            read_sweep(sweep_file(tmp_path, "seeds = 2"), settings)


# -- folders ----------------------------------------------------------------------------------------------------------


def lay(run: Run, out: Path, status: str | None, trace: str = "method,step,loss\nm,0,2.5\nm,5,0.25\n") -> Path:
    """A run folder as `mpidec run` leaves it in this state."""
    folder = run.folder(out)
    folder.mkdir(parents=True)
    (folder / "experiment.toml").write_text(tomli_w.dumps(run.experiment.resolved))
    (folder / "trace.csv").write_text(trace)
    ending = {"m": {"ending": status}} if status in ("finished", "diverged") else {}
    if status:
        (folder / "run.json").write_text(json.dumps({"status": status, "methods": ending}))
    run.log(out).write_text(f"$ mpidec run\nmpidec: the reason of {run.seed}\n")
    return folder


def test_states_are_read_off_the_folders_alone(tmp_path):
    sweep = read_sweep(sweep_file(tmp_path, "seeds = 12"))
    out, runs = tmp_path / "out", sweep.runs
    assert {s.status for s in states(sweep, out)} == {"to do"}
    assert not out.exists()
    for run, status in zip(runs, ("finished", "diverged", "interrupted", "failed", "running", None), strict=False):
        lay(run, out, status)
    with runs[1].log(out).open("a") as log:  # until they have ended, of further runs by the same ranks too
        log.write(f"{NEXT}out/seed=2\nmpidec: the reason of another\n")
    runs[6].log(out).write_text("$ mpidec run\n")
    runs[7].log(out).write_text("$ mpidec run\nmpidec: note: something\nmpidec: a torus of 3\nmpidec: note: more\n")
    runs[8].log(out).write_text("")
    (lay(runs[9], out, "finished") / "trace.csv").unlink()
    (lay(runs[10], out, "failed") / "notes.txt").write_text("mine")
    other = lay(runs[11], out, "finished") / "experiment.toml"
    other.write_text(other.read_text().replace("rounds = 3", "rounds = 4"))
    found = states(sweep, out)
    statuses = ["finished", "diverged", "interrupted", "failed", "killed", "killed", "killed", "failed", "to do", "killed"]
    assert [s.status for s in found] == [*statuses, "blocked", "blocked"]
    assert (found[1].reason, found[3].reason, found[7].reason) == ("the reason of 1", "the reason of 3", "a torus of 3")
    assert "notes.txt" in found[10].reason
    assert "method.0.rounds: 4 there, 3 wanted" in found[11].reason


def test_the_table_has_the_last_whole_row_of_each_method(tmp_path):
    sweep = read_sweep(sweep_file(tmp_path, 'seeds = 2\n[[vary]]\n"method.0.rounds" = [1, 2]\n'))
    out = tmp_path / "out"
    lay(sweep.runs[0], out, "finished", "method,step,loss\na,0,9\nb,0,8\na,5,7e-3\nb,5,6.0\n")
    lay(sweep.runs[1], out, "running", "method,step,rounds\na,0,9\na,1,0.12")  # torn: it may have been 0.125
    sweep.runs[3].log(out).write_text("$ mpidec run\nmpidec: no such thing\n")
    lines = write_table(sweep, out).read_text().splitlines()
    assert lines == [
        "run,method.0.rounds,seed,status,method,ending,step,loss,rounds",
        '"rounds=1,seed=0",1,0,finished,a,,5,7e-3,',
        '"rounds=1,seed=0",1,0,finished,b,,5,6.0,',
        '"rounds=1,seed=1",1,1,killed,a,,0,,9',
        '"rounds=2,seed=1",2,1,failed,,,,,',
    ]


# -- several sweeps as one, and runs that share their ranks -------------------------------------------------------------


def test_several_sweeps_as_one_keep_their_folders_logs_and_tables(tmp_path):
    out, parts = tmp_path / "out", {}
    for name, text in (("a", "seeds = 2"), ("b.heat0", '[[vary]]\n"method.0.rounds" = [1, 2]\n')):
        (tmp_path / name).mkdir()
        parts[name] = read_sweep(sweep_file(tmp_path / name, text))
    both = joined("both", parts)
    own = [(out / name, run) for name, part in parts.items() for run in part.runs]
    assert [run.index for run in both.runs] == [0, 1, 2, 3]
    assert [(run.folder(out), run.log(out)) for run in both.runs] == [(run.folder(at), run.log(at)) for at, run in own]
    assert [(r.base, r.settings, r.experiment) for r in both.runs] == [(r.base, r.settings, r.experiment) for _, r in own]
    assert both.runs[0].folder(out) == out / "a" / "seed=0"
    for run in both.runs:
        lay(run, out, "finished")
    assert {state.status for state in states(both, out)} == {"finished"}
    write_tables(both, out, both.runs[0])
    assert not (out / "b.heat0" / "runs.csv").exists()
    write_tables(both, out)
    for name, part in parts.items():
        table = (out / name / "runs.csv").read_text()
        assert write_table(part, out / name).read_text() == table
        assert table.splitlines()[1].startswith(f"{part.runs[0].id}," if name == "a" else f'"{part.runs[0].id}",')
    assert not (out / "runs.csv").exists()


def test_runs_on_as_many_ranks_share_them_whatever_else_differs(tmp_path):
    (tmp_path / "other").mkdir()
    one = read_sweep(sweep_file(tmp_path, '[[vary]]\n"method.0.rounds" = [1, 2]\n[[vary]]\nranks = [3, 4]\n')).runs
    other = read_sweep(sweep_file(tmp_path / "other", "", graph={"topology": "complete"}, seed=7)).runs
    assert [[running.share_ranks(a, b) for b in (*one, *other)] for a in one] == [
        [True, False, True, False, True],
        [False, True, False, True, False],
    ] * 2
    counting = read_sweep(sweep_file(tmp_path / "other", "library_bytes = true")).runs[0]
    keeping = read_sweep(sweep_file(tmp_path / "other", "", checkpoint={"every": 5})).runs[0]
    for alone in (counting, keeping):
        assert not any(running.share_ranks(alone, run) or running.share_ranks(run, alone) for run in (*one, alone))


class Launches:
    """Stands in for the making of runs by `mpidec run`: takes down which runs each start of ranks makes, and lays them."""

    def __init__(self, sweep, out):
        self.by_folder = {str(run.folder(out)): run for run in sweep.runs}
        self.out, self.made, self.returncode = out, [], 0
        self.asked = []

    def __call__(self, command, **_):
        own = command[command.index("run") + 1 :]
        lines = [[word for word in own if not word.startswith("--next=")]]
        lines += [shlex.split(word.removeprefix("--next=")) for word in own if word.startswith("--next=")]
        self.asked.append(lines)
        folders = [word.removeprefix("--out=") for line in lines for word in line if word.startswith("--out=")]
        self.made.append([self.by_folder[folder].id for folder in folders])
        for folder in folders:
            run = self.by_folder[folder]
            said = run.log(self.out).read_text()
            lay(run, self.out, "finished")
            run.log(self.out).write_text(said)
        first = self.by_folder[folders[0]].log(self.out)
        first.write_text(first.read_text() + "".join(f"{NEXT}{folder}\n" for folder in folders[1:]))
        return self

    def poll(self):
        return 0

    def wait(self):
        return 0

    def send_signal(self, _):
        raise AssertionError


@pytest.mark.parametrize(("jobs", "most", "groups"), [(1, 64, [5, 5]), (2, 64, [3, 2, 3, 2]), (1, 4, [4, 1, 4, 1])])
def test_ranks_start_once_for_a_number_of_them_few_first_and_the_results_stay_in_order(
    jobs, most, groups, tmp_path, monkeypatch
):
    axes = '[[vary]]\n"method.0.rounds" = [1, 2, 3, 4, 5]\n[[vary]]\nranks = [4, 3]\n'
    sweep, out = read_sweep(sweep_file(tmp_path, axes)), tmp_path / "out"
    launches = Launches(sweep, out)
    monkeypatch.setattr(running, "MOST", most)
    monkeypatch.setattr(job.subprocess, "Popen", launches)
    found = running.run(sweep, out, jobs=jobs)
    assert [state.status for state in found] == ["finished"] * 10
    assert [len(made) for made in launches.made] == groups
    in_order = [f"rounds={rounds},ranks={ranks},seed=1" for ranks in (3, 4) for rounds in range(1, 6)]
    assert [name for made in launches.made for name in made] == in_order
    listed = [line.split('"')[1] for line in (out / "runs.csv").read_text().splitlines()[1:]]
    assert listed == [run.id for run in sweep.runs]
    for lines in launches.asked:
        for line in lines:
            assert line[0] == str(tmp_path / "base.toml")
            assert [word for word in line if word.startswith("--set=ranks")]
    for run in sweep.runs:
        (said,) = run.log(out).read_text().splitlines()
        assert said.startswith("$ mpidec run ") and run.id in said

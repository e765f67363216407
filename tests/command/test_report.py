"""mpidec report: the page's numbers are those of the CSV files, a browser finds nothing amiss, and bad input is told."""

import csv
import json
import shutil
import subprocess
import threading
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from commands import assert_one_sentence, mpidec, rows, small, write

from mpidec.cli import main
from mpidec.html.collect import collect
from mpidec.html.page import render
from mpidec.html.parts import Verdict

LABEL = r"_a <b>&amp; $x_1$ [y] \alpha"
METHODS = [
    {"algorithm": "dif_altgdmin", "label": LABEL, "rounds": 3, "iterations": 20},
    {"algorithm": "altgdmin_fusion", "iterations": 20},
    {"algorithm": "altgdmin_allreduce", "iterations": 20},
]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Three seeds of one setting, 4 ranks on random graphs."""
    where = tmp_path_factory.mktemp("sweep")
    file = write(where, small(method=METHODS, graph={"topology": "erdos_renyi", "p": 0.6}, ranks=4))
    for seed in (3, 4, 5):
        done = mpidec("run", file, "--seed", str(seed), "--out", f"sweep/s{seed}", cwd=where)
        assert done.returncode == 0, done.stderr
    return where / "sweep"


@pytest.fixture(scope="module")
def page(sweep):
    return Page(render(collect([sweep])))


@pytest.fixture
def run(sweep, tmp_path):
    """A copy of one run, to be spoiled."""
    shutil.copytree(sweep / "s3", tmp_path / "run")
    return tmp_path / "run"


class Page(HTMLParser):
    """A page's tables by caption, each a list of rows of exact values; its headings, ids, tags, and the text in pictures."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.headings, self.ids, self.tags, self.drawn, self.text = {}, [], [], [], [], []
        self._caption, self._row, self._exact, self._open = "", None, None, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag in ("meta", "link", "br", "use", "path"):
            return
        self._open.append(tag)
        if tag in ("th", "td"):
            self._cell = ""
        elif tag == "tr":
            self._row = []
        elif tag == "data":
            self._exact = attributes["value"]
        elif tag == "caption":
            self._caption = ""
        elif tag in ("h1", "h2", "h3"):
            self.headings.append(int(tag[1]))

    def handle_endtag(self, tag):
        if self._open and self._open[-1] == tag:
            self._open.pop()
        if tag == "caption":
            self.tables[self._caption] = []
        elif tag in ("th", "td"):
            self._row.append(self._cell if self._exact is None else float(self._exact))
            self._exact = None
        elif tag == "tr":
            self.tables[self._caption].append(self._row)

    def handle_data(self, data):
        if "caption" in self._open:
            self._caption += data
        elif {"th", "td"} & set(self._open) and "data" not in self._open:
            self._cell += data
        if "svg" in self._open and "text" in self._open:
            self.drawn.append(data)
        self.text.append(data)

    def table(self, beginning):
        """Head and rows of the table whose caption begins so."""
        found = [table for caption, table in self.tables.items() if caption.startswith(beginning)]
        assert len(found) == 1, (beginning, list(self.tables))
        return found[0][0], found[0][1:]


def traced(sweep, method):
    """Each seed's rows of a method, by the csv module alone."""
    return [[r for r in rows(sweep / f"s{seed}" / "trace.csv") if r["method"] == method] for seed in (3, 4, 5)]


def charged(folder, method):
    return [r for r in rows(folder / "ledger.csv") if r["method"] == method and r["account"] in ("init", "iterate")]


@pytest.mark.parametrize("method", [LABEL, "altgdmin_fusion", "altgdmin_allreduce"])
def test_error_and_its_spread_are_numpys_of_the_csv_files(method, sweep, page):
    head, table = page.table("Subspace distance")
    shown = np.array([row[1:] for row in table if row[0] == method])
    runs = traced(sweep, method)
    columns = ["step", "rounds", "bytes_max", "seconds"]
    for k, column in enumerate(columns):
        assert np.array_equal(shown[:, k], np.median([[float(r[column]) for r in run] for run in runs], axis=0))
    errors = np.array([[float(r["subspace_distance"]) for r in run] for run in runs])
    for k, law in enumerate((np.median, np.min, np.max)):
        assert np.array_equal(shown[:, 4 + k], law(errors, axis=0))
    assert errors.min() < errors.max()
    assert head[-3:] == ["subspace distance, median", "smallest", "largest"]


def test_results_are_the_last_rows(sweep, page):
    _, table = page.table("How each method ended")
    for row in table:
        last = [run[-1] for run in traced(sweep, row[0])]
        columns = ["step", "subspace_distance", "rounds", "bytes_max", "bytes_total", "seconds"]
        for value, column in zip(row[2:], columns, strict=True):
            seen = float(str(value).split(" (")[0]) if isinstance(value, str) else value
            assert seen == np.median([float(r[column]) for r in last])


def test_map_and_totals_are_the_ledgers(sweep, page):
    _, links = page.table("Bytes from rank to rank in s3")
    for method in (LABEL, "altgdmin_fusion"):
        counted = {}
        for r in charged(sweep / "s3", method):
            link = f"{method}: {r['rank']} to {r['neighbor']}"
            counted[link] = counted.get(link, 0) + int(r["bytes"])
        assert {row[0]: row[1] for row in links if row[0].startswith(f"{method}: ")} == counted
    assert not [row for row in links if row[0].startswith("altgdmin_allreduce")]
    _, totals = page.table("Bytes sent by all ranks")
    assert len(totals) == 9
    for seed in (3, 4, 5):
        for method in (m.get("label", m["algorithm"]) for m in METHODS):
            row = next(row for row in totals if row[0] == f"s{seed}: {method}")
            ledger = charged(sweep / f"s{seed}", method)
            counted = sum(int(r["bytes"]) for r in ledger if r["basis"] == "counted")
            everything = sum(int(r["bytes"]) for r in ledger)
            assert row[2:5] == [counted, everything - counted, everything]
            last = [r for r in rows(sweep / f"s{seed}" / "trace.csv") if r["method"] == method][-1]
            assert everything == int(last["bytes_total"])


def test_graph_and_its_gamma_are_those_of_the_recorded_edges(sweep, page):
    """Metropolis weights put together here from graph.txt, and their eigenvalues."""
    _, facts = page.table("Facts of each graph")
    for seed in (3, 4, 5):
        lines = (sweep / f"s{seed}" / "graph.txt").read_text().splitlines()[1:]
        A = np.zeros((4, 4))
        for i, j in (map(int, line.split()) for line in lines):
            A[i, j] = A[j, i] = 1
        degrees = A.sum(axis=1)
        W = A / (1 + np.maximum.outer(degrees, degrees))
        W += np.diag(1 - W.sum(axis=1))
        gamma = np.sort(np.abs(np.linalg.eigvalsh(W)))[-2]
        row = next(row for row in facts if f"s{seed}" in row[0])
        assert row[2:7] == [4, len(lines), degrees.min(), degrees.mean(), degrees.max()]
        assert row[8] == pytest.approx(gamma, abs=1e-12)
        assert row[9] == pytest.approx(1 - gamma, abs=1e-12)
        if row[0].startswith(f"s{seed}"):
            _, nodes = page.table(f"Degrees and neighbors in s{seed}")
            assert [row[1] for row in nodes] == degrees.tolist()


def test_times_are_the_clocks_and_claim_no_more(sweep, page):
    head, table = page.table("Seconds at the end")
    assert not any("wait" in name and "included" not in name for name in head)
    for row in table:
        last = [run[-1] for run in traced(sweep, row[0])]
        readings = np.array([[float(r[k]) for k in ("seconds", "compute_seconds", "comm_seconds")] for r in last])
        assert row[1:4] == np.median(readings, axis=0).tolist()
        apart = np.maximum(readings[:, 1] + readings[:, 2] - readings[:, 0], 0)
        assert row[5] == np.median(apart)


def test_any_label_comes_out_as_it_is(page):
    assert page.drawn.count(LABEL) == 3  # the legend of the errors, a map's title, the bars of time
    assert [row[0] for row in page.table("How each method ended")[1]].count(LABEL) == 1
    assert not [tag for tag, _ in page.tags if tag in ("b", "script")]


def test_the_same_folders_give_the_same_page(sweep):
    assert render(collect([sweep])) == render(collect([sweep]))
    assert render(collect([sweep])) == render(collect([sweep / "s3", sweep / "s4", sweep / "s5", sweep / "s3"]))


def test_runs_of_other_settings_are_told_apart(sweep, tmp_path):
    for k, topology in enumerate(("ring", "complete")):
        table = small(method=METHODS[1:2], graph={"topology": topology}, ranks=4, seed=k)
        assert mpidec("run", write(tmp_path, table), "--out", f"{topology}", cwd=tmp_path).returncode == 0
    page = Page(render(collect([tmp_path / "ring", tmp_path / "complete"])))
    labels = [row[0] for row in page.table("How each method ended")[1]]
    assert labels == ["altgdmin_fusion, graph.topology ring", "altgdmin_fusion, graph.topology complete"]
    assert page.table("What differs") == (["run", "seed", "graph.topology"], [["ring", 0, "ring"], ["complete", 1, "complete"]])
    assert "problem.d" in [row[0] for row in page.table("Settings that all runs share")[1]]


def test_long_traces_are_thinned_and_say_so(run):
    lines = (run / "trace.csv").read_text().splitlines(keepends=True)
    more = [lines[1].replace(",0,", f",{step},", 1) for step in range(200)]
    (run / "trace.csv").write_text("".join([lines[0], *more]))
    page = Page(render(collect([run])))
    _, table = page.table("Subspace distance")
    steps = [row[1] for row in table]
    assert (len(steps), steps[0], steps[-1]) == (60, 0, 199)
    assert set(np.diff(steps)) == {3, 4}
    assert any("all are in trace.csv" in caption for caption in page.tables)


def changed(run, **changes):
    path = run / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_an_interrupted_and_a_diverged_run_are_shown_with_a_word_of_warning(run):
    about = json.loads((run / "run.json").read_text())
    methods = {LABEL: {"ending": "diverged", "steps": 20, "bad_step": 17}}
    changed(run, status="interrupted", methods=methods)
    kept = [r for r in rows(run / "trace.csv") if r["method"] != "altgdmin_allreduce"]
    kept[4]["subspace_distance"] = "inf"
    with (run / "trace.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, kept[0])
        writer.writeheader()
        writer.writerows(kept)
    text = " ".join("".join(Page(render(collect([run]))).text).split())
    assert "run: it was interrupted." in text
    assert f"{LABEL} diverged: an estimate or its error was beyond all bounds at iteration 17." in text
    assert "altgdmin_fusion was cut off after iteration 20; its ledger is not there." in text
    assert "altgdmin_allreduce has no observation: it did not begin." in text
    changed(run, status=about["status"], methods=about["methods"])
    assert "Read this first" in "".join(Page(render(collect([run]))).text)  # a method is missing still


def test_a_whole_run_has_no_warning(page):
    assert "Read this first" not in "".join(page.text)


def test_large_graphs_are_not_drawn_and_the_page_says_so(run):
    nodes = 201
    ring = "".join(f"{i} {i + 1}\n" for i in range(nodes - 1))
    (run / "graph.txt").write_text(f"# nodes {nodes}\n{ring}0 {nodes - 1}\n")
    changed(run, ranks=nodes)
    page = Page(render(collect([run])))
    text = " ".join("".join(page.text).split())
    assert "1 of 1 graphs is not drawn" in text
    assert "No map is drawn" in text
    assert page.table("Facts of each graph")[1][0][2:7] == [nodes, nodes, 2, 2, 2]
    assert len([1 for tag, a in page.tags if tag == "svg" and a.get("role") == "img"]) == 2  # error and time


def test_one_node_sends_nothing_and_the_page_says_so(tmp_path):
    table = small(method=METHODS[1:], ranks=1)
    assert mpidec("run", write(tmp_path, table), "--out", "one", cwd=tmp_path).returncode == 0
    page = Page(render(collect([tmp_path / "one"])))
    assert page.table("Bytes sent by all ranks")[1] == [
        ["one: altgdmin_fusion", 0, 0, 0, 0, "—"],
        ["one: altgdmin_allreduce", 0, 0, 0, 0, "—"],
    ]
    assert page.drawn.count("nothing was sent") == 1
    assert page.table("Facts of each graph")[1][0][2:] == [1, 0, 0, 0, 0, "0", 0, 1]


def test_verdicts_are_shown_where_there_are_some(sweep, page):
    assert "Claims" not in "".join(page.text)
    verdicts = [Verdict("bytes do not grow", "1 x", "1.02 x", True), Verdict("<it> halves", "0.5", "0.9", False)]
    verdicts += [Verdict("a third", "3", "no data", None, "2 to 4", "Nothing <ran>.", "mpidec sweep again.toml")]
    found = Page(render(collect([sweep]), verdicts, heading=("A claim", "Said <at> length.")))
    assert found.table("Claims held")[1] == [
        ["bytes do not grow", "1 x", "1.02 x", "—", "holds"],
        ["<it> halves", "0.5", "0.9", "—", "does not hold"],
        ["a third", "3", "no data", "2 to 4", "not decided"],
        ["Nothing <ran>."],
    ]
    text = "".join(found.text)
    for words in ("A claim", "Said <at> length.", "mpidec sweep again.toml"):
        assert words in text


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def report(tmp_path, monkeypatch, capsys):
    """`mpidec report` in this process, from tmp_path: it starts no ranks, and a process of its own takes a second."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        status = main(["report", *map(str, arguments)])
        return subprocess.CompletedProcess(arguments, status, *capsys.readouterr())

    return call


def test_where_the_page_goes_and_that_nothing_is_lost(sweep, tmp_path, report):
    shutil.copytree(sweep, tmp_path / "all")
    first = tmp_path / "all" / "s3" / "report.html"
    done = mpidec("report", "all/s3", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "all/s3/report.html\n"), done.stderr
    first.write_text("mine")
    assert_one_sentence(report("all/s3"), 2, "all/s3/report.html", "--replace", "-o")
    assert first.read_text() == "mine"
    assert report("all/s3", "--replace").returncode == 0
    assert first.read_text().startswith("<!DOCTYPE html>")
    assert report("all").stdout == "all/report.html\n"
    assert report("all/s3", "all/s4").stdout == "report.html\n"
    assert report("all/s3", "-o", "x.html").stdout == "x.html\n"
    assert_one_sentence(report("all/s3", "-o", "all"), 2, "all is a folder", "-o")
    for place in ("nowhere/x.html", "all/s3/trace.csv/x.html"):
        assert_one_sentence(report("all/s3", "-o", place), 2, f"cannot write {place}", "-o")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["all", "report.html", "x.html"]


def cut(run, name, size):
    (run / name).write_bytes((run / name).read_bytes()[:-size])


SPOILED = {
    "no such folder": (shutil.rmtree, ["there is no folder run"]),
    "an empty folder": (lambda run: [p.unlink() for p in run.iterdir()], ["run is no run folder and holds none"]),
    "no run.json": (lambda run: (run / "run.json").unlink(), ["no run.json"]),
    "half a run.json": (lambda run: cut(run, "run.json", 40), ["cannot read", "run.json", "copy it again"]),
    "run.json of something else": (lambda run: (run / "run.json").write_text("[1]"), ["run.json", "got `array`"]),
    "run.json without what is needed": (lambda run: changed(run, hosts=None), ["run.json", "$.hosts"]),
    "no graph in run.json": (lambda run: changed(run, graph={}), ["run.json", "$.graph", "`nodes`"]),
    "an older version": (lambda run: changed(run, format=None), ["no format number", "wanted format 1", "0.1.0"]),
    "a newer version": (lambda run: changed(run, format=2), ["format 2", "wanted format 1"]),
    "no trace": (lambda run: (run / "trace.csv").unlink(), ["no observation yet", "trace.csv"]),
    "a trace without rows": (
        lambda run: (run / "trace.csv").write_text((run / "trace.csv").read_text().splitlines(keepends=True)[0]),
        ["no observation yet", "trace.csv"],
    ),
    "a line cut short at the end": (lambda run: cut(run, "trace.csv", 9), ["trace.csv", "last line is cut short"]),
    "a line cut short inside": (
        lambda run: (run / "trace.csv").write_text((run / "trace.csv").read_text() + "altgdmin_fusion,30\n"),
        ["trace.csv", "line 17 is cut short", "got 2 values"],
    ),
    "no numbers": (
        lambda run: (run / "trace.csv").write_text((run / "trace.csv").read_text().replace(",20,", ",twenty,", 1)),
        ["trace.csv", "line 6", "'twenty'"],
    ),
    "other columns": (lambda run: (run / "trace.csv").write_text("a,b\n1,2\n"), ["trace.csv", "column 'method'", "a, b"]),
    "not text": (lambda run: (run / "trace.csv").write_bytes(b"\xff\xfe\n"), ["cannot read", "trace.csv"]),
    "a ledger cut short": (lambda run: cut(run, "ledger.csv", 5), ["ledger.csv", "last line is cut short"]),
    "a ledger of more ranks": (
        lambda run: (run / "ledger.csv").write_text((run / "ledger.csv").read_text().replace(",iterate,3,", ",iterate,9,")),
        ["ledger.csv", "rank 9", "4 ranks"],
    ),
    "steps twice": (
        lambda run: (run / "trace.csv").write_text((run / "trace.csv").read_text().replace(",15,", ",10,", 1)),
        ["trace.csv", "line 5", "step 10"],
    ),
    "a seed that is none": (
        lambda run: (run / "experiment.toml").write_text(
            (run / "experiment.toml").read_text().replace("seed = 3", 'seed = "z"', 1)
        ),
        ["experiment.toml", "seed"],
    ),
    "another method": (
        lambda run: (run / "experiment.toml").write_text(
            (run / "experiment.toml").read_text().replace('label = "altgdmin_fusion"', 'label = "other"')
        ),
        ["trace.csv tells of 'altgdmin_fusion'"],
    ),
    "no ledger": (lambda run: (run / "ledger.csv").unlink(), ["ledger.csv"]),
    "no graph": (lambda run: (run / "graph.txt").unlink(), ["graph.txt"]),
    "a graph of more nodes": (lambda run: (run / "graph.txt").write_text("0 9\n"), ["graph.txt", "0 to 9", "4 nodes"]),
    "no settings": (lambda run: (run / "experiment.toml").unlink(), ["experiment.toml"]),
    "settings without methods": (
        lambda run: (run / "experiment.toml").write_text("x = 1\n"),
        ["experiment.toml", "[[method]]"],
    ),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_folder_that_cannot_be_read_is_told_in_a_sentence(case, run, tmp_path, report):
    spoil, words = SPOILED[case]
    spoil(run)
    assert_one_sentence(report("run", "-o", "out.html"), 2, *words)
    assert not (tmp_path / "out.html").exists()


def test_a_file_is_no_folder(run, report):
    assert_one_sentence(report("run/trace.csv", "-o", "x"), 2, "trace.csv is a file", "folder")


def test_runs_of_different_problems_are_told_with_what_differs(run, sweep, report):
    text = (run / "experiment.toml").read_text()
    (run / "experiment.toml").write_text(text.replace("d = 20", "d = 21").replace("samples = 10", "samples = 11"))
    done = report("run", str(sweep / "s4"))
    assert_one_sentence(done, 2, "different problems", "problem.d (21 and 20)", "problem.samples (11 and 10)")


def test_in_a_sweep_that_goes_on_a_run_without_an_observation_is_left_out_and_told(sweep, tmp_path, report):
    shutil.copytree(sweep, tmp_path / "all")
    (tmp_path / "all" / "s4" / "trace.csv").unlink()
    changed(tmp_path / "all" / "s4", status="running")
    page = Page(render(collect([tmp_path / "all"])))
    assert "s4 is left out: it holds no observation yet (status: running)." in "".join(page.text)
    assert [row[1] for row in page.table("How each method ended")[1]] == [2, 2, 2]
    cut(tmp_path / "all" / "s5", "trace.csv", 3)
    assert_one_sentence(report("all"), 2, "all/s5/trace.csv", "cut short")


# -- the page in a browser --------------------------------------------------------------------------------------------


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: the report is not opened in a browser (Debian package chromium)")
def test_the_page_in_a_browser(sweep, tmp_path):
    """Loads nothing, says nothing on the console, breaks no rule of accessibility, and prints."""
    (tmp_path / "page.html").write_text(render(collect([sweep]), [Verdict("a", "b", "c", True)]))
    found = {}
    # a thread of its own: Playwright's event loop would stay in this one, under the tests that follow
    thread = threading.Thread(target=lambda: found.update(look_at(tmp_path / "page.html")))
    thread.start()
    thread.join()
    assert found["requests"] == ["page.html"]
    assert found["console"] == []
    assert found["language"] == "en"
    assert found["title"] == "small: mpidec report"
    assert found["landmarks"] == [1, 1, 1, 1]
    levels = found["headings"]
    assert levels.count(1) == 1 == levels[0]
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
    graphs = len({(sweep / f"s{seed}" / "graph.txt").read_text() for seed in (3, 4, 5)})
    assert len(found["figures"]) == 3 + graphs
    for name, description, width, height in found["figures"]:
        assert name
        assert any(c.isdigit() for c in description)
        assert width > 300
        assert height > 100
    assert found["unnamed tables"] == 0
    assert found["tables after opening all"] > found["tables before"]
    assert found["first stop of the keyboard"] == "Skip to the report"
    assert found["wider than the window"] == [0, 0]
    assert found["rules passed"] > 20
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found["violations"]] == []
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found["violations in the dark"]] == []
    assert found["pdf"][:5] == b"%PDF-"
    assert found["pdf"].count(b"/Type /Page\n") >= 3


def look_at(path):
    """What a browser makes of the page."""
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page(viewport={"width": 1100, "height": 900}, color_scheme="light")
        requests, console = [], []
        page.on("request", lambda request: requests.append(Path(request.url).name))
        page.on("console", lambda message: console.append(message.text))
        page.on("pageerror", lambda error: console.append(str(error)))
        page.goto(path.as_uri())
        found = {"requests": requests, "console": console, "title": page.title()}
        found["language"] = page.evaluate("document.documentElement.lang")
        found["landmarks"] = [page.locator(tag).count() for tag in ("header", "nav", "main", "footer")]
        found["headings"] = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => +h.tagName[1])")
        found["figures"] = page.evaluate(
            """[...document.querySelectorAll('figure > svg[role=img]')].map(svg => {
                const [title, description] = svg.getAttribute('aria-labelledby').split(' ')
                const box = svg.getBoundingClientRect(), text = id => document.getElementById(id).textContent
                return [text(title), text(description), box.width, box.height]
            })"""
        )
        found["unnamed tables"] = page.evaluate("document.querySelectorAll('table:not(:has(> caption))').length")
        page.keyboard.press("Tab")
        found["first stop of the keyboard"] = page.evaluate("document.activeElement.textContent")
        visible = "[...document.querySelectorAll('table')].filter(t => t.checkVisibility()).length"
        found["tables before"] = page.evaluate(visible)
        for summary in page.locator("details:not([open]) > summary").all()[::-1]:
            summary.click()
        found["tables after opening all"] = page.evaluate(visible)
        checked = Axe().run(page).response
        found["rules passed"], found["violations"] = len(checked["passes"]), checked["violations"]
        page.emulate_media(color_scheme="dark")
        found["violations in the dark"] = Axe().run(page).response["violations"]
        found["wider than the window"] = []
        for width in (1100, 400):
            page.set_viewport_size({"width": width, "height": 900})
            found["wider than the window"].append(page.evaluate("document.documentElement.scrollWidth - innerWidth"))
        found["pdf"] = page.pdf(format="A4")
        browser.close()
    return found

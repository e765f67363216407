"""From run folders to verdicts: every number of the claim is read back from the folders, whoever made them and when."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from mpidec import __version__
from mpidec.claim import PARTS
from mpidec.claim.accuracy import PLAN as ACCURACY
from mpidec.claim.plan import CENTRAL, Findings, Found, rungs
from mpidec.errors import InputError
from mpidec.html.collect import Collection, Run, collect
from mpidec.html.parts import Verdict, many
from mpidec.sweep import State, Sweep, read_sweep, states
from mpidec.sweep.planned import FILES, Plan

JSON = "claim.json"
"""The verdicts as data; the file that makes a folder a claim's."""

_SHOWN = 5
"""Rungs of a ladder that the picture of errors has room for."""


def plans(parts: Iterable[str], quick: bool) -> dict[str, Plan]:
    """The plans of the parts by name; what two of them need is there once."""
    return {plan.name: plan for part in parts for plan in PARTS[part].plans(quick)}


@dataclass(frozen=True)
class Judgment:
    """What came of the measurements: findings by part, runs by plan, runs that are not there with why, seconds of all runs."""

    quick: bool
    findings: Mapping[str, Findings]
    found: Found
    missing: Sequence[str]
    seconds: float


def judge(parts: Sequence[str], quick: bool, sweeps: Mapping[str, Sweep], out: Path) -> Judgment:
    """Read what is finished in `out` and judge it. Raises InputError where a finished run cannot be read."""
    found: Found = {}
    missing: list[str] = []
    for name, sweep in sweeps.items():
        found[name] = []
        for run, state in zip(sweep.runs, states(sweep, out / name), strict=True):
            if state.status == "finished":
                found[name].append(_read(run.folder(out / name)))
            else:
                missing.append(f"{name}/{run.id} is left out: {_why(state)}")
    findings = {part: _in_words(PARTS[part].judge(found, partial(_again, part, quick, out))) for part in parts}
    return Judgment(quick, findings, found, missing, sum(_seconds(run) for runs in found.values() for run in runs))


def judge_again(out: Path) -> Judgment:
    """The judgment of a folder that `mpidec claim` has written, from the runs that are in it now; nothing is written.

    Raises InputError where it or its sweeps cannot be read.
    """
    try:
        about = json.loads((out / JSON).read_text(encoding="utf-8"))
        parts, quick = list(dict.fromkeys(row["part"] for row in about["verdicts"])), bool(about["quick"])
        names = list(plans(parts, quick))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot read {out / JSON} ({error}); mpidec claim --out {out} writes it again") from None
    return judge(parts, quick, {name: read_sweep(out / FILES / f"{name}.toml") for name in names}, out)


def _in_words(findings: Findings) -> Findings:
    """The findings, with a plain word where one of them contradicts what was stated."""
    return replace(
        findings,
        verdicts=[
            replace(v, note=f"The measurement contradicts this statement. {v.note}".strip()) if v.holds is False else v
            for v in findings.verdicts
        ],
    )


def _why(state: State) -> str:
    return f"{state.status} ({state.reason})" if state.reason else state.status


def _read(folder: Path) -> Run:
    (run,) = collect([folder]).runs
    return run


def _seconds(run: Run) -> float:
    end = run.about.end or run.about.start
    return (datetime.fromisoformat(end) - datetime.fromisoformat(run.about.start)).total_seconds()


def _again(part: str, quick: bool, out: Path, plan: str) -> str:
    """The command that measures a plan, or where it names several (`*`) the whole part, again from nothing."""
    if "*" in plan:
        return shlex.join(["mpidec", "claim", *(["--quick"] if quick else []), "--only", part, "--out", f"again/{part}"])
    return shlex.join(["mpidec", "sweep", str(out / FILES / f"{plan}.toml"), "--out", f"again/{plan}"])


# -- what is written --------------------------------------------------------------------------------------------------

COLUMNS = ("part", "claim", "predicted", "measured", "interval", "verdict", "note", "command")


def rows(judgment: Judgment) -> list[dict[str, str]]:
    """The verdict table, a row a verdict, values as text."""
    return [
        dict(zip(COLUMNS, (part, v.claim, v.predicted, v.measured, v.interval, v.outcome, v.note, v.command), strict=True))
        for part, findings in judgment.findings.items()
        for v in findings.verdicts
    ]


def write(judgment: Judgment, out: Path) -> list[Path]:
    """Write claim.json, verdicts.csv and claim.html into `out`, each whole or not at all; their paths. Raises OSError."""
    table = rows(judgment)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    facts = {"mpidec": __version__, "quick": judgment.quick, "seconds": judgment.seconds, "missing": list(judgment.missing)}
    files: dict[str, Callable[[], str]] = {
        JSON: lambda: json.dumps({**facts, "verdicts": table}, indent=2) + "\n",
        "verdicts.csv": text.getvalue,
    }
    if any(judgment.found.values()):
        files["claim.html"] = lambda: page(judgment)
    for name, make in files.items():
        partial_file = out / f"{name}.partial"
        partial_file.write_text(make(), encoding="utf-8")
        os.replace(partial_file, out / name)
    return [out / name for name in files]


def page(judgment: Judgment) -> str:
    """The report of one run, with the verdicts on all and their pictures before it."""
    from mpidec.html.page import render

    runs = [run for several in judgment.found.values() for run in several]
    seeds = len({run.seed for run in runs})
    lead = (
        f"{many(len(runs), 'run')} over {many(seeds, 'seed')}, {judgment.seconds / 60:.1f} minutes of runs. Intervals are "
        "95 % t-intervals over seeds; fewer than three seeds have none, and the mean alone is judged. "
    )
    if judgment.quick:
        lead += "This was the quick form, of few ranks and seeds: the full one decides more. "
    shown = _shown(judgment.found)
    lead += f"Below the claims, one run as an example: {shown.name}, seed {shown.seed}."
    verdicts: list[Verdict] = [verdict for findings in judgment.findings.values() for verdict in findings.verdicts]
    pictures = [picture for findings in judgment.findings.values() for picture in findings.pictures]
    return render(Collection((shown,), tuple(judgment.missing)), verdicts, pictures, ("The communication claim", lead))


def _shown(found: Found) -> Run:
    """The run that the page shows: the first that accuracy is judged by, with as many methods as a picture has room for."""
    runs = found.get(ACCURACY) or []
    if not runs:
        return next(run for several in found.values() for run in several)
    run = runs[0]
    kept = {CENTRAL}
    for algorithm, gossip in (("dif_altgdmin", "plain"), ("dif_altgdmin", "chebyshev"), ("dec_altgdmin", "plain")):
        labels = list(rungs(run, algorithm, gossip).values())
        kept |= {labels[i * (len(labels) - 1) // (_SHOWN - 1)] for i in range(_SHOWN)} if labels else set()
    kept |= {label for label in run.trace if label.startswith("dec_altgdmin_falling")}
    methods = [table for table in run.experiment["method"] if table["label"] in kept]
    return replace(
        run,
        name=f"{ACCURACY}/{run.name}",
        experiment={**run.experiment, "method": methods},
        trace={label: own for label, own in run.trace.items() if label in kept},
        traffic={label: own for label, own in run.traffic.items() if label in kept},
    )

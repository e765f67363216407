"""A study's files: its page, its numbers as tables, its verdicts and summary as data."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpidec import __version__
from mpidec.html.collect import Collection, Run, collect
from mpidec.html.parts import Verdict, many
from mpidec.study.file import Study
from mpidec.study.judging import Result, summary
from mpidec.study.targets import COSTS, Reached
from mpidec.study.thresholds import Threshold
from mpidec.study.tuning import Tuned

JSON = "study.json"
"""The verdicts and the summary as data."""


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Run folders, each by itself: their problems may differ. Raises InputError where one cannot be read."""
    return [collect([folder]).runs[0] for folder in folders]


def rows(study: Study, found: Sequence[Result]) -> list[dict[str, Any]]:
    """results.csv: a row a method and point."""
    table = []
    for result in found:
        own = result.estimate
        row = {**result.point.varied, "method": result.method, "step_size": result.step_size, "at_end_of_grid": result.at_end}
        row |= {study.file.metric: own.mean, "low": own.low, "high": own.high, "seeds": own.seeds}
        row |= {name: getattr(result, name) for name in COSTS}
        table.append(row | {name: other.mean for name, other in result.others.items()})
    return table


def trials(tuned: Mapping[str, Tuned]) -> list[dict[str, Any]]:
    """tuning.csv: a row a trial."""
    return [
        {"point": name, "method": t.method, "step_size": t.step_size, "heat": t.heat, "steps": t.steps, "value": t.value}
        | {"low": t.estimate.low, "high": t.estimate.high, "seeds": t.estimate.seeds}
        for name, own in tuned.items()
        for t in own.trials
    ]


@dataclass(frozen=True)
class Outcome:
    """All that a study came to: results, tuning and runs by the point's name, verdicts, costs of targets, thresholds."""

    found: Sequence[Result]
    tuned: Mapping[str, Tuned]
    runs: Mapping[str, Sequence[Run]]
    verdicts: Sequence[Verdict]
    reached: Sequence[Reached]
    thresholds: Sequence[Threshold]


def write(study: Study, out: Path, outcome: Outcome) -> list[Path]:
    """Write study.json, results.csv, tuning.csv and study.html into `out`, targets.csv and thresholds.csv where there are such;
    their paths. Each is written whole or not at all. Raises OSError.
    """
    told = summary(study, outcome.found)
    facts: dict[str, Any] = {"mpidec": __version__, "question": study.file.question, "summary": told}
    judged = [{"claim": v.claim, "measured": v.measured, "verdict": v.outcome, "note": v.note} for v in outcome.verdicts]
    facts["verdicts"] = judged
    files = {
        JSON: json.dumps(facts, indent=2) + "\n",
        "results.csv": _csv(rows(study, outcome.found)),
        "tuning.csv": _csv(trials(outcome.tuned)),
        **({"targets.csv": _csv([one.row() for one in outcome.reached])} if outcome.reached else {}),
        **({"thresholds.csv": _csv([one.row() for one in outcome.thresholds])} if outcome.thresholds else {}),
        "study.html": _page(study, outcome, told),
    }
    for name, text in files.items():
        partial = out / f"{name}.partial"
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, out / name)
    return [out / name for name in files]


def _csv(table: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def _page(study: Study, outcome: Outcome, told: Sequence[str]) -> str:
    from mpidec.html.page import render
    from mpidec.study.paths import paths
    from mpidec.study.pictures import costs, errors, sensitivity

    shown = outcome.runs[study.points[-1].name][0]
    lead = (
        f"{study.file.question} Each method with the step size that suited it best at each point, of "
        f"{len(study.file.tune.step_sizes)} tried{' by successive halving' if study.file.tune.heats > 1 else ''}; "
        f"{_steps(study)}, {many(study.file.seeds, 'seed')}, 95 % t-intervals over them. {' '.join(told)} "
        f"Below, one run as an example: {shown.name}, seed {shown.seed}."
    )
    pictures = [errors(study, outcome.found), *costs(study, outcome.reached), *paths(study, outcome.runs)]
    pictures.append(sensitivity(study, outcome.tuned))
    return render(Collection((shown,), ()), outcome.verdicts, pictures, (f"Study {study.file.name}", lead))


def _steps(study: Study) -> str:
    least, most = (pick(point.iterations for point in study.points) for pick in (min, max))
    return many(least, "step") if least == most else f"{least:,} to {many(most, 'step')}"

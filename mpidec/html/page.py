"""The report as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from mpidec import __version__
from mpidec.html.collect import Collection
from mpidec.html.facts import again, differences, lead, moments, provenance, results, same, title, totals
from mpidec.html.figures import LARGEST
from mpidec.html.parts import Picture, Verdict, cell
from mpidec.html.pictures import DRAWN, error, graphs, times, traffic_maps
from mpidec.html.series import series
from mpidec.metrics import leading
from mpidec.plots import STYLES


def render(
    collection: Collection,
    verdicts: Sequence[Verdict] = (),
    pictures: Sequence[Picture] = (),
    heading: tuple[str, str] | None = None,
) -> str:
    """The page. It has nothing to load and nothing that differs from one call to the next.

    `verdicts` and `pictures` are claims on more than these runs; `heading` is a title and a sentence in place of the runs'.
    """
    runs = collection.runs
    several = series(runs)
    told_apart = several[:STYLES]
    metrics = list(dict.fromkeys(name for one in several for name in leading(one.runs[0].trace[one.method][-1])))
    environment = Environment(
        loader=PackageLoader("mpidec.html"), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters["cell"] = cell
    return environment.get_template("page.html").render(
        version=__version__,
        title=heading[0] if heading else title(runs),
        lead=heading[1] if heading else lead(runs, several),
        troubles=[*((run.name, text) for run in runs for text in run.troubles()), *(("", t) for t in collection.left_out)],
        results=results(several, metrics),
        same=same(runs),
        differences=differences(runs),
        graphs=graphs(runs),
        errors=[picture for metric in metrics if (picture := error(told_apart, metric))],
        undrawn=len(several) - len(told_apart),
        maps=traffic_maps(several),
        totals=totals(runs),
        time=times(told_apart),
        verdicts=verdicts,
        claimed=pictures,
        moments=moments(runs),
        provenance=provenance(runs),
        commands=[(run.name, run.about.command, again(run)) for run in runs],
        largest=LARGEST,
        drawn=DRAWN,
    )

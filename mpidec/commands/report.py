"""mpidec report: one HTML page about one or several runs."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from mpidec.errors import InputError


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "report",
        help="make one HTML page of one or several run folders",
        description="Make one self-contained HTML page of run folders, or of folders that hold run folders, as a sweep's "
        "does, or of the folder of a claim. Runs that differ by the seed alone are shown as median and range; all must be of "
        "one problem.",
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="FILE.html",
        help="the page (default report.html: in FOLDER where it is one, else here)",
    )
    parser.add_argument("--replace", action="store_true", help="write over a page that is there")
    parser.set_defaults(main=main)


def main(arguments: argparse.Namespace) -> int:
    """Run the verb. Raises InputError where folders or the page's place are not what they should be."""
    folders: list[Path] = arguments.folders
    path: Path = arguments.out or (folders[0] / "report.html" if len(folders) == 1 else Path("report.html"))
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the page a name, as in -o {path / 'report.html'}")
    if path.exists() and not arguments.replace:
        raise InputError(f"{path} exists and is not written over unasked: give --replace, or another name with -o")
    _write(path, _page(folders))
    print(path)
    return 0


def _page(folders: list[Path]) -> str:
    claims = [folder for folder in folders if (folder / "claim.json").is_file()]
    if claims and len(folders) > 1:
        raise InputError(f"{claims[0]} is of mpidec claim, whose verdicts are on its own runs: make a report of it alone")
    if claims:
        from mpidec.claim.judging import judge_again, page

        return page(judge_again(claims[0]))
    from mpidec.html.collect import collect

    collection = collect(folders)
    from mpidec.html.page import render  # loads matplotlib: bad input is told before

    return render(collection)


def _write(path: Path, text: str) -> None:
    """The file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror}; give another place with -o") from None

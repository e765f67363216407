"""Batch scripts: run.sbatch and array.sbatch, which also serve by hand, with the blank for options filled in."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from mpidec.errors import InputError

_BLANK = "# (what mpidec submit fills in)\n"
_DAYS = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?\Z")


def fill(template: str, options: Sequence[str], arguments: Sequence[str]) -> str:
    """The text of the script `template` with `#SBATCH` options and the arguments that it would get by hand.

    Later options of a script win over earlier ones. This Python's folder goes first on the PATH of the job.
    """
    text = files("mpidec.slurm").joinpath(template).read_text(encoding="utf-8")
    lines = [f"#SBATCH {option}" for option in options]
    lines += [f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH", f"set -- {shlex.join(arguments)}"]
    before, _, after = text.partition(_BLANK)
    return before + "".join(f"{line}\n" for line in lines) + after


def output(folder: Path, pattern: str) -> str:
    """The option that has the job write into files `pattern` of a folder, whose own per cent signs begin no pattern."""
    return f"--output={shlex.quote(str(folder).replace('%', '%%') + '/' + pattern)}"


def limit_seconds(text: str) -> int:
    """Seconds of a time limit as sbatch takes it. Raises InputError for anything else."""
    match = _DAYS.match(text)
    if match is None:
        raise InputError(f"--time: got {text!r}, wanted minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS")
    days, *rest = match.groups()
    parts = [int(part) for part in rest if part is not None]
    if days is not None:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    else:
        hours, minutes, seconds = {1: (0, *parts, 0), 2: (0, *parts), 3: tuple(parts)}[len(parts)]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds

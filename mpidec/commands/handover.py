"""What `mpidec run` and the ranks it starts tell one another, through a scratch folder that both see."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from socket import gethostname

VARIABLE = "MPIDEC_HANDOVER"
_FACTS = "facts.json"


@dataclass(frozen=True)
class Facts:
    """About the process that started the ranks: a command for each run, its number and host, the columns of its terminals.

    Columns are None where standard output (`table`) or standard error (`bar`) is no terminal. Ranks cannot look for
    themselves: some launchers give them terminals of their own.
    """

    commands: list[str]
    pid: int
    table: int | None
    bar: int | None
    host: str = field(default_factory=gethostname)


class Handover:
    """The scratch folder of one run. Only rank 0 answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def received() -> Handover | None:
        """That of the process that started this rank, if one did."""
        named = os.environ.get(VARIABLE)
        return Handover(Path(named)) if named and (Path(named) / _FACTS).exists() else None

    def give(self, facts: Facts) -> None:
        """Tell the ranks."""
        (self.folder / _FACTS).write_text(json.dumps(asdict(facts)))

    def facts(self) -> Facts:
        """What the ranks were told."""
        return Facts(**json.loads((self.folder / _FACTS).read_text()))

    def starter(self) -> int | None:
        """The number of the process that started the ranks, where it is on this host."""
        facts = self.facts()
        return facts.pid if facts.host == gethostname() else None

    def answer(self, name: str, text: str) -> None:
        """Leave a text for the process that started the ranks: whole, or not at all."""
        unfinished = self.folder / f"{name}.partial"
        unfinished.write_text(text)
        unfinished.rename(self.folder / name)

    def answered(self, name: str) -> str | None:
        """The text that rank 0 left, if it did."""
        path = self.folder / name
        return path.read_text() if path.exists() else None

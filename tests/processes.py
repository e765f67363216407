"""The processes of a command under test, and waiting for what they do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def inside(folder: Path) -> list[int]:
    """The processes whose current folder this is: ranks and launchers keep that of the command."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "cwd") == str(folder):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def kill(folder: Path) -> None:
    """kill -9 of all processes of a run that was started in this folder, ranks and launchers, as fast as it goes."""
    until = time.monotonic() + 20
    while (there := inside(folder)) and time.monotonic() < until:
        for pid in there:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    assert not there, "a process does not go"


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> bool:
    """Whether the condition came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True

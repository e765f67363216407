"""What a rank does on Ctrl-C, SIGTERM and SIGUSR1: leave the run folder in order, or ask for a checkpoint first."""

from __future__ import annotations

import os
import signal
import sys
import threading
from time import sleep
from typing import Any

from mpidec.commands.handover import Handover
from mpidec.errors import INTERRUPTED
from mpidec.recorder import Recorder

_LOOK_EVERY = 1.0  # seconds between two looks at the process that started the ranks


class Interruption:
    """Ends this rank on Ctrl-C or SIGTERM with the run folder in order, even while it waits inside MPI.

    Python's own handlers wait for MPI to return, which it may not once other ranks are gone. So the signals are blocked
    before MPI starts threads, and a thread waits for them; rank 0's thread closes run.json. The end of the process that
    started the ranks counts as a signal too: killed outright, it had no time to send one.

    Where the run keeps checkpoints, the first SIGTERM and any SIGUSR1 (what a batch system sends some time before it ends
    a job) only set `asked`, and so does a word of the process that started the ranks. A second SIGTERM ends this rank.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

    def __init__(self, handover: Handover | None) -> None:
        self.recorder: Recorder | None = None
        self.asked = threading.Event()
        self._handover = handover
        self._starter = handover.starter() if handover is not None else None
        self._keeps: bool | None = None
        self._terminated = self._warned = False
        signal.pthread_sigmask(signal.SIG_BLOCK, self.SIGNALS)
        threading.Thread(target=self._wait, daemon=True).start()

    def watch(self, recorder: Recorder) -> None:
        """Close this recorder's run when interrupted."""
        self.recorder = recorder

    def wait_for_a_checkpoint(self, keeps: bool) -> None:
        """Whether the run keeps checkpoints, which is not known from the beginning."""
        self._keeps = keeps
        if self._warned:
            os.kill(os.getpid(), signal.SIGUSR1)  # it came before that was known: once more

    def finish(self, status: str, **more: Any) -> None:
        """Write the run's end, if it is not there yet and can be written."""
        if self.recorder is not None:
            try:
                self.recorder.finish(status, **more)
            except OSError as error:
                if status != "failed":  # whose reason is told anyhow, and may well be the same full disk
                    print(f"mpidec: cannot write run.json: {error}", file=sys.stderr, flush=True)

    def _wait(self) -> None:
        while True:
            got = signal.sigtimedwait(self.SIGNALS, _LOOK_EVERY)
            # CPython gives an answer of no meaning where the process was stopped until after the time and then continued
            number = got.si_signo if got is not None and got.si_signo in self.SIGNALS else None
            if number is not None and self._ends(number):
                break
            if number is None and self._alone():
                if self.recorder is None:
                    sleep(2 * _LOOK_EVERY)  # rank 0 first: a launcher that loses a rank kills the others
                break
            if number is None and self._keeps and self._handover is not None and self._handover.answered("stop") is not None:
                self.asked.set()
        self.finish("interrupted")
        os._exit(INTERRUPTED)

    def _ends(self, number: int) -> bool:
        """Whether a signal ends this rank at once."""
        if number == signal.SIGUSR1 and self._keeps is None:
            self._warned = True
            return False
        if not self._keeps or number == signal.SIGINT or (number == signal.SIGTERM and self._terminated):
            return True
        self._terminated = self._terminated or number == signal.SIGTERM
        self.asked.set()
        return False

    def _alone(self) -> bool:
        try:
            if self._starter is not None:
                os.kill(self._starter, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # it is there, and another user's
        return False

"""Starting the ranks of an experiment, and ending in order whatever becomes of them."""

from __future__ import annotations

import argparse
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from time import sleep
from typing import IO, Any

import tomli_w

from mpidec.commands.asking import commands
from mpidec.commands.handover import VARIABLE, Facts, Handover
from mpidec.config import Experiment
from mpidec.errors import BAD_INPUT, DIVERGED, FAILED, INTERRUPTED, NOT_WRITTEN, REQUEUE, InputError
from mpidec.fitting import check_counting
from mpidec.mpi import launcher
from mpidec.problems import ProblemSpec
from mpidec.resuming import open_again
from mpidec.run_folder import CHECKED, check_new, now, replace

# what a rank's own statuses mean: a launcher that ends with one of them on its own account says something else
_TAKEN = (BAD_INPUT, DIVERGED, NOT_WRITTEN, REQUEUE, INTERRUPTED)

_INSIST_EVERY = 6.0  # seconds; Open MPI's launcher takes two signals within five for an order to leave its ranks behind

_PAUSES = (0.0, 3.0)  # seconds before ranks that crashed in their start are started again: its cause may last a while


def start_ranks(experiments: Sequence[Experiment], runs: Sequence[argparse.Namespace]) -> int:
    """Start the ranks of experiments, each with its options of `mpidec run`, and wait for them; the exit status.

    The ranks read the resolved experiments, under the names of the user's files, not those files, which may be pipes or may
    change meanwhile. Raises InputError for what can be found wrong without them.
    """
    first, arguments = experiments[0], runs[0]
    _check(experiments, arguments.library_bytes)
    if not arguments.resume:
        _check_folders([each.out for each in runs if each.out is not None])
    elif (opened := open_again(arguments.out, first.resolved, arguments.library_bytes)) is not None:
        opened.settings.close()  # rank 0 will hold it
    found = launcher.find_launcher(launcher.family(launcher.library_version()))
    with _scratch(found) as scratch:
        handover = Handover(Path(scratch))
        facts = Facts(commands(runs), os.getpid(), _columns(sys.stdout), _columns(sys.stderr))
        try:
            handover.give(facts)
            lines = [_of_a_rank(*each, Path(scratch) / str(i)) for i, each in enumerate(zip(experiments, runs, strict=True))]
        except OSError as error:
            raise InputError(f"cannot write into {scratch}: {error.strerror}; name a folder with room in TMPDIR") from None
        program = [*launcher.PYTHON, "-m", "mpidec", "run"]
        program += ["--library-bytes"] if arguments.library_bytes else []
        program += ["--resume"] if arguments.resume else []
        program += [*(f"--next={shlex.join(line)}" for line in lines[1:]), *lines[0]]
        command = launcher.command(found, first.ranks, program, arguments.library_bytes)
        environment = launcher.environment(found, first.ranks, scratch) | {VARIABLE: scratch}
        if arguments.place:
            environment |= _placed(first, found, Path(scratch))
        if len(runs) > 1:
            print(f"{CHECKED}{len(runs)} runs", file=sys.stderr, flush=True)
        ask = None if first.checkpoint is None else lambda: handover.answer("stop", "asked to")
        status, interrupted = run_and_forward_signals(command, environment, ask)
        for pause in _PAUSES:
            if interrupted or handover.answered("folder") or not _is_a_crash(status):
                break
            # Open MPI 5 has a race in MPI_Init (ompi#12495), and its launcher fails or ends ranks unasked once in 200 starts
            print(f"mpidec: note: status {status} before anything was recorded: starting the ranks again", file=sys.stderr)
            sleep(pause)
            status, interrupted = run_and_forward_signals(command, environment, ask)
        told, where = handover.answered("status"), handover.answered("folder")
    if told is not None and status == 0:
        return int(told)
    folder = None if where is None else Path(where)
    kept = "" if folder is None else f"; what was recorded is in {folder}"
    if interrupted:
        _settle(folder, "interrupted", ("running",))
        print(f"mpidec: interrupted{kept}", file=sys.stderr)
        return INTERRUPTED
    if status == 0:
        raise InputError(f"{command[0]} ended well, but no rank ran; mpidec doctor tells whether it is a launcher")
    # when another rank fails, rank 0 only learns that it is being ended, and takes that for an interruption
    _settle(folder, "failed", ("running", "interrupted"), reason=f"the ranks ended with status {status}")
    print(f"mpidec: the ranks ended with status {status}{kept}. Started as: {shlex.join(command)}", file=sys.stderr)
    return FAILED if status in _TAKEN else status


def _check(experiments: Sequence[Experiment], library_bytes: bool) -> None:
    fitting: list[ProblemSpec] = []
    for experiment in experiments:
        experiment.topology.check(experiment.ranks)
        if experiment.problem not in fitting:
            experiment.problem.check(experiment.ranks)  # which may read whole files
            experiment.problem.check_memory(experiment.ranks)
            fitting.append(experiment.problem)
        check_counting(experiment, library_bytes)


def _check_folders(folders: Sequence[Path]) -> None:
    seen: set[Path] = set()
    above: set[Path] = set()
    for folder in folders:
        check_new(folder)
        place = folder.resolve()
        if place in seen:
            raise InputError(f"--next: {folder} is named twice; give each run a folder of its own")
        if place in above or seen & set(place.parents):
            raise InputError(f"--next: {folder} and another run's folder are one in the other; give each run one of its own")
        seen.add(place)
        above.update(place.parents)


def _of_a_rank(experiment: Experiment, arguments: argparse.Namespace, folder: Path) -> list[str]:
    """A run's own arguments for the ranks, with a copy of its experiment in a new folder. Raises OSError."""
    folder.mkdir()
    copy = folder / arguments.experiment.name
    copy.write_text(tomli_w.dumps(experiment.resolved))
    out = [] if arguments.out is None else [f"--out={arguments.out}"]
    return [*out, *(["--no-picture"] if arguments.no_picture else []), "--", str(copy)]


def _is_a_crash(status: int) -> bool:
    """Whether a launcher's status is none of those of a refusal (1, 2), or of having been killed by somebody."""
    return status > 2 and status not in (128 + signal.SIGKILL, 128 + signal.SIGTERM)


def _scratch(found: launcher.Launcher) -> tempfile.TemporaryDirectory[str]:
    """A folder for the handover: under Slurm the ranks are on other hosts, which share the current folder at best."""
    if found.pmi is None:
        return launcher.folder()
    try:
        return tempfile.TemporaryDirectory(prefix=".mpidec-", dir=Path.cwd())
    except OSError as error:
        raise InputError(
            f"cannot write into {Path.cwd()}: {error.strerror}; start from a folder that all nodes of the job share"
        ) from None


def _placed(experiment: Experiment, found: launcher.Launcher, scratch: Path) -> dict[str, str]:
    """What makes srun put neighbors on the same hosts; tells what that saves."""
    from mpidec.commands.placing import hostfile

    text, said = hostfile(experiment, found)
    (scratch / "hosts").write_text(text)
    print(said, flush=True)
    return {"SLURM_DISTRIBUTION": "arbitrary", "SLURM_HOSTFILE": str(scratch / "hosts")}


def _columns(stream: IO[str] | None) -> int | None:
    """The width of the terminal that a stream is, if it is one; some report 0 and mean that they do not know."""
    return os.get_terminal_size(stream.fileno()).columns or 80 if stream is not None and stream.isatty() else None


def _settle(folder: Path | None, status: str, instead_of: tuple[str, ...], **more: str) -> None:
    """Set the status in run.json right where rank 0 had no time to, or could not know better."""
    if folder is None:
        return
    path = folder / "run.json"
    try:
        about = json.loads(path.read_text())
        if about["status"] in instead_of:
            replace(path, json.dumps({**about, "status": status, "end": now(), **more}, indent=2).encode() + b"\n")
    except (OSError, ValueError, KeyError):
        return  # there is no such file, or no room for it: the message on the screen says the same


def run_and_forward_signals(
    command: list[str], environment: dict[str, str], ask: Callable[[], None] | None = None
) -> tuple[int, bool]:
    """Run the launcher in a process group of its own; end it on Ctrl-C, SIGTERM or SIGHUP. (status, interrupted).

    It is told to end again and again until it does: MPICH's loses what it gets in its first milliseconds.

    `ask` asks the ranks to stop with a checkpoint, by a word and not by a signal: launchers that get SIGTERM kill their
    ranks a moment later. It is called for SIGUSR1, and for SIGTERM in place of ending the launcher the first time.
    """
    child: subprocess.Popen[bytes] | None = None
    heard: set[int] = set()
    ending: set[int] = set()  # the signals that end it; no Event, whose lock a second signal within the first would wait for

    def forward(number: int, _: Any) -> None:
        again = number in heard
        heard.add(number)
        if ask is not None and (number == signal.SIGUSR1 or (number == signal.SIGTERM and not again)):
            with suppress(OSError):
                ask()
            return
        if child is not None and ending and number == signal.SIGINT:
            os.killpg(child.pid, signal.SIGKILL)  # the user insists
        elif not ending:
            ending.add(number)
            signal.setitimer(signal.ITIMER_REAL, _INSIST_EVERY, _INSIST_EVERY)
            end()

    def end(*_: Any) -> None:
        if child is not None:
            child.send_signal(signal.SIGTERM)

    # before the launcher starts: a signal in between would leave it alone; nohup's ignored SIGHUP stays ignored
    wanted = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, *([signal.SIGUSR1] if ask is not None else [])]
    numbers = [s for s in wanted if signal.getsignal(s) != signal.SIG_IGN]
    before = {number: signal.signal(number, forward) for number in numbers}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, end)
    try:
        with _streams() as (out, err):
            child = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )
            if ending:
                end()
            status = child.wait()
    except OSError as error:
        raise InputError(f"cannot start {command[0]}: {error.strerror}; mpidec doctor tells more") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
    return (status if status >= 0 else 128 - status), bool(ending)


@contextmanager
def _streams() -> Iterator[tuple[int | None, int | None]]:
    """Where the launcher's standard output and error go: to terminals and files as they are, else by way of this process.

    A launcher whose own output breaks (`mpidec run … | head`) ends the run; one whose reader stays does not.
    """
    ends: list[int | None] = []
    threads = []
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and (stream.isatty() or S_ISREG(os.fstat(stream.fileno()).st_mode)):
            ends.append(None)
            continue
        readable, writable = os.pipe()
        target = None if stream is None else stream.fileno()
        threads.append(threading.Thread(target=_relay, args=(readable, target), daemon=True))
        ends.append(writable)
    for thread in threads:
        thread.start()
    try:
        yield ends[0], ends[1]
    finally:
        for end in ends:
            if end is not None:
                os.close(end)
        for thread in threads:
            thread.join(5.0)  # a rank that outlives its launcher may hold the other end


def _relay(readable: int, target: int | None) -> None:
    """Copy all there is, dropping it once nobody takes it any more."""
    while data := os.read(readable, 1 << 16):
        while data and target is not None:
            try:
                data = data[os.write(target, data) :]
            except BlockingIOError:
                select.select([], [target], [])  # a pipe that its owner made so, and that is full
            except OSError:
                target = None
    os.close(readable)

"""What the recorder leaves where something cannot be written."""

import errno
import json
import shutil

import numpy as np
import pytest

from mpidec import recorder as recorder_module
from mpidec.recorder import FinalArrays, Recorder

FULL = OSError(errno.ENOSPC, "No space left on device")


def add(final, name, *parts):
    for node, part in enumerate(parts):
        final.take(name, node, np.array(part))


def test_outcomes_are_noted_of_all_methods_or_of_none(tmp_path, monkeypatch):
    """Also by whoever writes run.json next, as the end of a failed run does."""
    recorder = Recorder(tmp_path / "out", {"name": "x"}, {})
    recorder.outcomes({"former": {"steps": 1}})

    def full(*_):
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr(recorder_module, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            recorder.outcomes({"one": {"steps": 2}, "two": {"steps": 3}})
    recorder.finish("failed")
    about = json.loads((tmp_path / "out/run.json").read_text())
    assert (about["status"], about["methods"]) == ("failed", {"former": {"steps": 1}})


def test_arrays_are_added_to_those_that_are_there_and_not_to_what_a_killed_run_left(tmp_path):
    killed = FinalArrays(tmp_path, 2)
    add(killed, "a/x", [9.0], [9.0])
    killed._end()
    killed._zip.close()  # whole but never put in place: what an append would take for its beginning
    for name in ("a/x", "b/x"):
        final = FinalArrays(tmp_path, 2)
        add(final, name, [1.0], [2.0])
        final.close()
    with np.load(tmp_path / "final.npz") as found:
        assert found.files == ["a/x", "b/x"]
        assert [found[name].tolist() for name in found.files] == [[[1.0], [2.0]]] * 2


def test_a_copy_that_does_not_fit_is_removed(tmp_path, monkeypatch):
    first = FinalArrays(tmp_path, 1)
    add(first, "a/x", [1.0])
    first.close()

    def half(_, target):
        target.write_bytes(b"half")
        raise FULL

    monkeypatch.setattr(shutil, "copyfile", half)
    second = FinalArrays(tmp_path, 1)
    with pytest.raises(OSError, match="No space left"):
        add(second, "b/x", [1.0])
    second.abandon()
    assert [path.name for path in tmp_path.iterdir()] == ["final.npz"]

"""Checkpoints on the disk and the agreement on them, without ranks: what is kept comes back, what is damaged is noticed."""

import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from alone import Alone

from mpidec.algorithms.spectral import SpectralState
from mpidec.checkpoint import Checkpoint, keeper
from mpidec.checkpoint.keeper import Checkpoints
from mpidec.checkpoint.part import Snapshot, read_part, write_part
from mpidec.checkpoint.sets import Sets
from mpidec.engine import Meter, Start
from mpidec.errors import InputError
from mpidec.ledger import Ledger
from mpidec.link import Clock
from mpidec.options import build

TAG = {"name": "000001-step7-abc", "rank": 0}


class Odd(NamedTuple):
    """Everything that a state may be made of."""

    rows: np.ndarray
    columns: np.ndarray
    turned: np.ndarray
    gaps: np.ndarray
    none: np.ndarray
    single: np.ndarray
    scalar: np.float32
    number: float
    count: int
    wide: np.ndarray


def odd(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((6, 5))
    return Odd(
        x,
        np.asfortranarray(x),
        rng.standard_normal((2, 3, 4)).transpose(1, 2, 0),
        x[::2, 1:4],
        np.empty((0, 3), dtype=np.int32),
        np.asfortranarray(rng.standard_normal((6, 1))),
        np.float32(0.1),
        0.1,
        -(2**60),
        (x + 1j * x).astype(np.complex64),
    )


def meter_after_work():
    meter = Meter(Ledger(), Clock(comm=0.1 + 0.2), seconds=1 / 3, checkpoint_seconds=2 / 3)
    channel = meter.ledger.channel((1, 2), (2,))
    for account, nbytes in (("init", 10), ("iterate", 8), ("observe", 3)):
        with meter.ledger.charge(account):
            channel.count(nbytes, 3)
            meter.ledger.count_collective(1, nbytes, 2, nbytes + 1)
    meter.library = {"iterate": (np.array([0, 5, 0]), np.array([0, 5_000_000_000, 0]))}
    return meter


def meter_with_setup():
    """The ledger's rows of what a new network's set-up sends."""
    ledger = Ledger()
    ledger.channel((1, 2), (2,)).count(100)
    return ledger.rows()


def snapshot(step=7, state=None):
    return Snapshot.of(Start(odd() if state is None else state, step, 5), meter_after_work(), -(2**62) + 1)


def test_a_part_gives_back_every_bit_and_how_it_lay_in_memory(tmp_path):
    write_part(tmp_path / "p", TAG, snapshot())
    back = read_part(tmp_path / "p", TAG)
    assert (back.start.step, back.start.bad_step, back.transcript) == (7, 5, -(2**62) + 1)
    for name, x, y in zip(Odd._fields, odd(), back.start.state, strict=True):
        assert type(x) is type(y), name
        assert np.asarray(x).dtype == np.asarray(y).dtype, name
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes(), name
        if name != "gaps":
            assert np.asarray(x).strides == np.asarray(y).strides, name
    assert back.start.state.rows.flags.writeable
    u = np.random.default_rng(1).standard_normal((3, 6))
    assert np.array_equal(u @ odd().columns, u @ back.start.state.columns)


def test_a_state_is_of_its_class_again_where_that_can_be_found(tmp_path):
    class Local(NamedTuple):
        U: np.ndarray

    for state, kind in ((SpectralState(np.eye(2), np.array(0.1)), SpectralState), (Local(np.eye(3)), None)):
        write_part(tmp_path / "p", TAG, snapshot(state=state))
        back = read_part(tmp_path / "p", TAG).start.state
        assert np.array_equal(back.U, state.U)
        assert back._fields == state._fields
        assert kind is None or type(back) is kind


def test_a_meter_that_is_put_back_counts_on(tmp_path):
    write_part(tmp_path / "p", TAG, snapshot())
    meter = Meter(Ledger(), Clock())
    channel = meter.ledger.channel((1, 2), (2,))
    channel.count(100)  # on the account setup
    read_part(tmp_path / "p", TAG).put_back(meter)
    before = meter_after_work()
    assert (meter.seconds, meter.checkpoint_seconds, meter.clock.comm) == (1 / 3, 2 / 3, 0.1 + 0.2)
    for account in ("init", "iterate", "observe"):
        assert meter.ledger.totals(account) == before.ledger.totals(account)
    assert meter.ledger.totals("setup").bytes == 200
    assert meter.ledger.rows(meter.library) == [*meter_with_setup(), *before.ledger.rows(before.library)]
    assert meter.library["iterate"][1].tolist() == [0, 5_000_000_000, 0]
    meter.ledger.account = "iterate"
    channel.count(8)
    assert meter.ledger.totals("iterate").rounds == before.ledger.totals("iterate").rounds + 1


def test_any_byte_that_changes_and_any_that_lacks_is_noticed(tmp_path):
    path = tmp_path / "p"
    write_part(path, TAG, snapshot(state=SpectralState(np.eye(3), np.array(0.5))))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ int(rng.integers(1, 256))]) + whole[i + 1 :])
        with pytest.raises(InputError, match="damaged"):
            read_part(path, TAG)
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(InputError, match="damaged"):
            read_part(path, TAG)
    path.write_bytes(whole)
    assert read_part(path, TAG).start.step == 7


def test_a_part_of_another_set_or_rank_is_refused(tmp_path):
    write_part(tmp_path / "p", TAG, snapshot())
    for other in ({**TAG, "rank": 1}, {**TAG, "name": "000001-step7-abd"}):
        with pytest.raises(InputError, match="another set"):
            read_part(tmp_path / "p", other)


# -- sets, and the agreement of one rank with itself ------------------------------------------------------------------


class Kept(Checkpoints):
    """With what was said, and whether it is asked to stop."""

    def __init__(self, home, **options):
        self.said, self.signal = [], False
        settings = Checkpoint(**options)
        sets = Sets(home, 0, 1, settings.folder, "id")
        super().__init__(Alone(), settings, sets, lambda: self.signal, lambda: None, self.said.append)


def names(home):
    return sorted(path.name.split("-")[1].partition(".")[0] for path in (home / "checkpoints").glob("*.json"))


def test_only_so_many_sets_are_kept_and_the_newest_is_taken(tmp_path):
    for place in (None, str(tmp_path / "local")):
        home = tmp_path / f"home {place is None}"
        kept = Kept(home, every=1, keep=3, folder=place)
        kept.sets.prepare()
        for step in range(6):
            assert kept.write("m", snapshot(step))
        assert names(home) == ["step3", "step4", "step5"]
        parts = sorted(path.parent.name.split("-")[1] for path in tmp_path.rglob("rank0.part"))
        assert parts == ["step3", "step4", "step5"]
        again = Kept(home, every=1, keep=3, folder=place)
        assert again.newest("m").start.step == 5
        assert again.newest("another") is None
        assert again.said == []
        again.newest("m")
        again.write("m", snapshot(6))
        assert names(home) == ["step4", "step5", "step6"]
        again.drop()
        assert not (home / "checkpoints").exists()
        assert list(tmp_path.rglob("rank0.part")) == []


def damage(path, how):
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif how == "gone":
        path.unlink()
    elif how == "mixed":  # the part of the set before
        path.write_bytes(sorted(path.parents[1].glob("*/rank0.part"))[0].read_bytes())
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)


@pytest.mark.parametrize("how", ["cut", "gone", "mixed", "flipped"])
def test_a_damaged_set_gives_way_to_the_one_before_with_a_word(how, tmp_path):
    kept = Kept(tmp_path, every=1)
    for step in (1, 2):
        kept.write("m", snapshot(step))
    damage(sorted((tmp_path / "checkpoints").glob("*/rank0.part"))[-1], how)
    again = Kept(tmp_path, every=1)
    assert again.newest("m").start.step == 1
    (said,) = again.said
    assert "step 2 cannot be used" in said
    assert "the one before" in said
    assert again.write("m", snapshot(2))
    assert names(tmp_path) == ["step1", "step2"]  # the damaged one has gone, and what is kept is whole
    assert Kept(tmp_path, every=1).newest("m").start.step == 2


def test_a_broken_manifest_is_told_and_passed_over(tmp_path):
    kept = Kept(tmp_path, every=1)
    for step in (1, 2):
        kept.write("m", snapshot(step))
    newest = sorted((tmp_path / "checkpoints").glob("*.json"))[-1]
    newest.write_text(newest.read_text()[:20])
    again = Kept(tmp_path, every=1)
    assert again.newest("m").start.step == 1
    assert "damaged" in again.said[0]
    for path in (tmp_path / "checkpoints").glob("*/rank0.part"):
        path.unlink()
    assert again.newest("m") is None
    assert again.said[-1] == "no checkpoint of m is whole: it begins anew"


def test_a_kill_before_the_manifest_leaves_the_set_before_and_its_rest_goes_later(tmp_path):
    kept = Kept(tmp_path, every=1)
    kept.write("m", snapshot(1))
    half = kept.sets.new("m", 2)
    kept.sets.write(half, snapshot(2))
    (tmp_path / "checkpoints" / f"{half.name}.partial").write_text("{")
    again = Kept(tmp_path, every=1)
    assert again.newest("m").start.step == 1
    assert again.said == []
    again.write("m", snapshot(2))
    assert len(list((tmp_path / "checkpoints").iterdir())) == 4  # two sets and their manifests


@pytest.mark.parametrize("failing", ["part", "manifest"])
def test_what_cannot_be_written_is_said_once_and_the_set_before_is_kept(failing, tmp_path, monkeypatch):
    kept = Kept(tmp_path, every=1)
    kept.write("m", snapshot(1))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as change:
        if failing == "part":
            change.setattr("mpidec.checkpoint.sets.write_part", full)
        else:
            change.setattr("mpidec.checkpoint.sets.os.replace", full)
        assert [kept.write("m", snapshot(step)) for step in (2, 3)] == [False, False]
        assert names(tmp_path) == ["step1"]
    (said,) = kept.said
    assert "step 2 cannot be written" in said
    assert "No space left" in said
    assert "that of step 1 is kept" in said
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    assert kept.write("m", snapshot(4))
    assert Kept(tmp_path, every=1).newest("m").start.step == 4


def test_another_rank_may_remove_the_empty_folder_at_any_moment(tmp_path, monkeypatch):
    """Ranks clear up at the same time: whichever removes its part last takes the folders too."""
    sets = [Sets(tmp_path, rank, 2, str(tmp_path / "local"), "id") for rank in range(2)]
    for own in sets:
        own.prepare()
    manifest = sets[0].new("method", 3)
    for own in sets:
        own.write(manifest, snapshot())
    place, listing = tmp_path / "local" / "id", Path.iterdir

    def after_the_other(folder):
        monkeypatch.setattr(Path, "iterdir", listing)
        sets[1].clear((), [manifest.place])
        sets[0].discard(manifest)
        place.rmdir()
        return listing(folder)

    monkeypatch.setattr(Path, "iterdir", after_the_other)
    sets[0].clear((), [manifest.place])
    assert not place.exists()


def test_a_folder_that_cannot_be_written_is_told_beforehand(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot keep checkpoints in .*file.*name another folder"):
        Kept(tmp_path, every=1, folder=str(tmp_path / "file" / "x")).sets.prepare()


# -- when they are due ------------------------------------------------------------------------------------------------


class Time:
    """A clock that steps by hand: seconds that never jump."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(keeper, "monotonic", lambda: self.now)
        # the time of day must not be asked
        monkeypatch.setattr("time.time", lambda: pytest.fail("asked for the time of day"))


def walk(kept, clock, seconds, steps, stop=None):
    """Steps that take `seconds(k)` each; the steps at which ranks met, and those of the checkpoints."""
    one = kept.keeper("m", meter_after_work(), lambda: 0, 0)
    met = []
    for k in range(steps):
        clock.now += seconds(k) if k else 0.0
        kept.signal = stop is not None and k >= stop
        if one.due(k):
            met.append(k)
            if one.visit(Start(SpectralState(np.eye(1), np.array(1.0)), k)):
                break
    return met


def test_ranks_meet_about_twice_a_second_whatever_a_step_takes(tmp_path, monkeypatch):
    clock = Time(monkeypatch)
    met = np.array(walk(Kept(tmp_path), clock, lambda k: 50e-6, 200_000))
    assert met[:6].tolist() == [0, 1, 3, 7, 15, 31]
    assert set(np.diff(met[15:]).tolist()) <= {9999, 10_000}
    assert len(met) < 40  # 10 s of steps
    met = walk(Kept(tmp_path), clock, lambda k: 3.0, 20)
    assert met == list(range(20))
    met = np.array(walk(Kept(tmp_path), clock, lambda k: 1e-3 if k < 5000 else 20e-3, 10_000))
    slow = met[met > 6000]
    assert np.diff(slow).max() * 20e-3 <= 0.5
    assert not (tmp_path / "checkpoints").exists()  # nobody asked


def test_a_checkpoint_every_so_many_steps_or_minutes_and_one_when_asked_to_stop(tmp_path, monkeypatch):
    clock = Time(monkeypatch)
    written = []
    monkeypatch.setattr(Kept, "write", lambda self, method, one: written.append(one.start.step))
    walk(Kept(tmp_path, every=300), clock, lambda k: 1e-3, 1000)
    assert written == [0, 300, 600, 900]
    written.clear()
    walk(Kept(tmp_path, minutes=1.0), clock, lambda k: 7.0, 40)
    assert written == [9, 18, 27, 36]  # the first step of 7 s that is a minute after the last
    written.clear()
    met = walk(Kept(tmp_path), clock, lambda k: 1e-3, 100_000, stop=5000)
    assert written == [met[-1]]
    assert 5000 <= met[-1] <= 5500


def test_at_most_one_of_every_and_minutes():
    with pytest.raises(InputError, match="every = 3 and minutes = 2.*at most one"):
        build(Checkpoint, {"every": 3, "minutes": 2.0}, "checkpoint")
    for wrong in ({"every": 0}, {"minutes": 0}, {"keep": 0}, {"folder": ""}):
        with pytest.raises(InputError, match=f"checkpoint.{next(iter(wrong))}"):
            build(Checkpoint, wrong, "checkpoint")


def test_manifests_say_what_they_are_of(tmp_path):
    kept = Kept(tmp_path, every=1)
    kept.write("a method", snapshot(12))
    (manifest,) = (tmp_path / "checkpoints").glob("*.json")
    told = json.loads(manifest.read_text())
    assert (told["name"], told["method"], told["step"], told["ranks"]) == (manifest.stem, "a method", 12, 1)
    assert os.listdir(tmp_path / "checkpoints" / manifest.stem) == ["rank0.part"]

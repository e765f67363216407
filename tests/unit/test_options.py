"""Options read, checked and listed from one declaration."""

import gc
import weakref
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from mpidec.errors import InputError
from mpidec.options import Meta, build, choose, describe, load_class


@dataclass(frozen=True)
class Sample:
    """A sample."""

    count: Annotated[int, Meta(ge=1, description="how many")]
    share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    size: Annotated[float, Meta(gt=0)] | None = None
    gossip: Literal["plain", "chebyshev"] = "plain"

    def __post_init__(self):
        if self.count == 13:
            raise ValueError("13 brings bad luck")


def test_values_are_taken_over_and_whole_numbers_serve_as_floats():
    assert build(Sample, {"count": 3, "share": 1, "gossip": "chebyshev"}, "x") == Sample(3, 1.0, None, "chebyshev")
    assert isinstance(build(Sample, {"count": 3, "share": 1}, "x").share, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "here.count: got 0, wanted int >= 1"),
        ({"count": 2.5}, "here.count: got 2.5, wanted int >= 1"),
        ({"count": True}, "here.count: got True, wanted int >= 1"),
        ({"count": "3"}, "here.count: got '3', wanted int >= 1"),
        ({"count": 1, "share": float("nan")}, "here.share: got nan, wanted float > 0 and <= 1"),
        ({"count": 1, "size": float("inf")}, "here.size: got inf, wanted a finite number"),
        ({"count": 1, "gossip": "fast"}, "here.gossip: got 'fast', wanted 'plain' | 'chebyshev'"),
        (
            {"count": 1, "shares": 1},
            "here: unknown key 'shares' (did you mean 'share'?); accepted: count, share, size, gossip",
        ),
        ({}, "here: 'count' is missing; wanted: int >= 1"),
        ({"count": 13}, "here: 13 brings bad luck"),
    ],
)
def test_what_cannot_be_used_names_the_place_and_what_is_wanted(values, message):
    with pytest.raises(InputError) as error:
        build(Sample, values, "here")
    assert str(error.value) == message


def test_description_comes_from_the_declaration():
    count, share, size, gossip = describe(Sample)
    assert (count.name, count.type, count.required, count.help) == ("count", "int >= 1", True, "how many")
    assert (share.default, size.default, gossip.type) == (0.5, None, "'plain' | 'chebyshev'")


def test_choose_names_the_known_ones():
    with pytest.raises(InputError, match=r"graph: unknown topology 'tours' \(did you mean 'torus'\?\); known: ring, torus"):
        choose({"torus": 1, "ring": 2}, "tours", "topology", "graph")
    with pytest.raises(InputError, match=r"^problem\.source: the source is missing; known: digits, files$"):
        choose({"files": 1, "digits": 2}, None, "source", "problem.source")


def test_user_classes(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Mine:\n    n: int = 2\nclass Bare: pass\n"
    )
    (tmp_path / "broken.py").write_text("def f(:\n")
    assert build(load_class("mine.py:Mine", tmp_path, "x"), {"n": 5}, "x").n == 5
    with pytest.raises(InputError, match="has no dataclass 'Other'; it defines: Mine, Bare"):
        load_class("mine.py:Other", tmp_path, "x")
    with pytest.raises(InputError, match="has no dataclass 'Bare'"):
        load_class("mine.py:Bare", tmp_path, "x")
    with pytest.raises(InputError, match="broken.py does not load: SyntaxError"):
        load_class("broken.py:Mine", tmp_path, "x")
    with pytest.raises(InputError, match="no file .*absent.py"):
        load_class("absent.py:Mine", tmp_path, "x")


def test_a_users_class_that_is_loaded_again_does_not_stay(tmp_path):
    """Its hints, which name it, are kept on it and nowhere else; a class does not take its base's for its own."""
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    text += "@dataclass(frozen=True)\nclass Own:\n    x: int = 1\n    next: Own | None = None\n"
    text += "@dataclass(frozen=True)\nclass Longer(Own):\n    y: int = 2\n"
    (tmp_path / "own.py").write_text(text)
    loaded = []
    for _ in range(3):
        cls = load_class("own.py:Longer", tmp_path, "method.0")
        base = build(cls.__mro__[1], {"x": 5}, "method.0")
        made = build(cls, {"x": 3, "y": 4}, "method.0")
        assert (base.x, made.x, made.y) == (5, 3, 4)
        loaded.append(weakref.ref(cls))
    del cls, base, made
    gc.collect()
    assert sum(one() is not None for one in loaded) <= 1  # the last may still be among the modules

"""Draws depend on what they are for and on nothing else."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest

from mpidec.errors import InputError
from mpidec.seeding import Draws, generator


def test_the_same_name_gives_the_same_numbers_in_another_process():
    code = "from mpidec.seeding import generator; print(generator(7, 'task', 17).integers(0, 2**62, 3).tolist())"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert there.strip() == str(generator(7, "task", 17).integers(0, 2**62, 3).tolist())


def test_every_part_of_the_name_counts():
    names = [(0, "task"), (0, "task", 0), (0, "task", 0, 0), (0, "task", 1), (1, "task"), (0, "start"), (2**40, "task")]
    draws = [generator(*name).standard_normal(2000) for name in names]
    for a, b in combinations(draws, 2):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(2000)  # five standard errors


def test_an_earlier_draw_does_not_move_a_later_one():
    first = generator(3, "task", 1).standard_normal(4)
    generator(3, "task", 0).standard_normal(100)
    assert np.array_equal(first, generator(3, "task", 1).standard_normal(4))


def test_the_draws_of_a_step_do_not_depend_on_those_before():
    draws = Draws(3, "noise", 1)
    orderly = [draws.at(k).standard_normal(7) for k in range(5)]
    for k in (4, 0, 2):
        draws.at(9).random(3, np.float32)  # leaves half a number and half a block behind
        assert np.array_equal(draws.at(k).standard_normal(7), orderly[k])
        assert np.array_equal(Draws(3, "noise", 1).at(k).standard_normal(7), orderly[k])


def test_steps_and_names_of_draws_are_independent_and_uniform():
    """Correlations within five standard errors, and means and variances of the uniform distribution over steps."""
    streams = [
        Draws(*name).at(k).random(2000) for name in [(0, "noise", 0), (0, "noise", 1), (1, "noise", 0)] for k in (0, 1, 2**40)
    ]
    for a, b in combinations(streams, 2):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(2000)
    one = Draws(0, "noise", 0)
    firsts = np.array([one.at(k).random() for k in range(20_000)])
    assert firsts.mean() == pytest.approx(1 / 2, abs=5 * np.sqrt(1 / 12 / 20_000))
    assert firsts.var() == pytest.approx(1 / 12, abs=5 * np.sqrt(1 / 180 / 20_000))
    assert abs(np.corrcoef(firsts[1:], firsts[:-1])[0, 1]) < 5 / np.sqrt(20_000)


@pytest.mark.parametrize("draw", [generator, Draws])
def test_a_negative_seed_is_refused(draw):
    with pytest.raises(InputError, match="seed: got -1, wanted"):
        draw(-1, "task")

"""Draws depend on what they are for and on nothing else."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest

from mpidec.errors import InputError
from mpidec.seeding import generator


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


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match="seed: got -1, wanted"):
        generator(-1, "task")

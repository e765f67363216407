"""Random numbers as a function of what they are for, so that no draw depends on how many ranks share the work."""

from __future__ import annotations

import zlib

import numpy as np

from mpidec.errors import InputError


def generator(seed: int, what: str, *index: int) -> np.random.Generator:
    """A fresh generator for the draw `what`, `index`: task 17 of seed 3 is `generator(3, "task", 17)` on any rank.

    The three arguments alone decide the stream; different ones give independent streams. Raises InputError for a
    negative seed.
    """
    if seed < 0:
        raise InputError(f"seed: got {seed}, wanted a whole number >= 0")
    # As a spawn key, not as entropy: numpy pads short entropy with zeros, so that (17,) and (17, 0) would collide.
    key = (zlib.crc32(what.encode()), *index)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))

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
    return np.random.default_rng(_sequence(seed, what, index))


class Draws:
    """The draw `what`, `index` of every step of a run: for what is drawn so often that a fresh `generator` would cost more
    than the draw. Philox jumps to any place of its stream, and each step has its own 2^128 numbers of it.
    """

    def __init__(self, seed: int, what: str, *index: int) -> None:
        bits = np.random.Philox(_sequence(seed, what, index))
        self._bits, self._state = bits, bits.state
        self._generator = np.random.Generator(bits)

    def at(self, k: int) -> np.random.Generator:
        """The generator of step k >= 0, at its beginning, whatever was drawn before; good until the next call."""
        self._state["state"]["counter"][2] = k
        self._bits.state = self._state
        return self._generator


def _sequence(seed: int, what: str, index: tuple[int, ...]) -> np.random.SeedSequence:
    if seed < 0:
        raise InputError(f"seed: got {seed}, wanted a whole number >= 0")
    # As a spawn key, not as entropy: numpy pads short entropy with zeros, so that (17,) and (17, 0) would collide.
    return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(what.encode()), *index))

"""Checkpoints: when they are due, how all ranks agree on one, and the files they are kept in."""

from mpidec.checkpoint.settings import Checkpoint

__all__ = ["Checkpoint"]

"""What can go wrong by the user's hand, told apart from faults of the program."""

FAILED, BAD_INPUT, DIVERGED, NOT_WRITTEN, REQUEUE, INTERRUPTED = 1, 2, 3, 4, 75, 130
"""Exit statuses, see README. REQUEUE: stopped at a checkpoint to go on with --resume (EX_TEMPFAIL of sysexits.h)."""


class InputError(ValueError):
    """Something the user gave cannot be used; the text says what was got, what is wanted and what to do.

    Raised on every rank before the first message of an algorithm. Command lines show the text alone.
    """


class AgreedError(InputError):
    """An InputError that all ranks have agreed on and raise together, so that they may leave together."""


class Stopped(KeyboardInterrupt):
    """Asked to stop, all runs under way did so at a checkpoint: started again they go on from there."""


class RunError(RuntimeError):
    """A run could not go on (a full disk, a folder that vanished); what it had computed is kept. Raised on all ranks."""

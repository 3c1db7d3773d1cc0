"""Errors that a user can cause: printed as one line `error: ...`, never with a traceback."""


class UserError(Exception):
    """Base of those below.

    The message says what was given and what is allowed, on one line.

    Attributes:
        status: exit status of an entry point that meets this error.
    """

    status = 1


class UsageError(UserError):
    """The command is wrong: a flag, or flags that contradict each other. Exit status 2."""

    status = 2


class DataError(UserError):
    """What is on disk is wrong: missing, damaged, or made for something else. Exit status 1."""

    status = 1


class OutputError(UserError):
    """Standard output cannot be written: its disk is full, or nobody reads it. Exit status 1.

    Neither of the two above, for whoever goes on after one of those could not say so.
    """

    status = 1

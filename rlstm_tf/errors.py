"""Errors that a user can cause: printed as one line `error: ...`, never with a traceback."""


class UserError(Exception):
    """Base of the two below.

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

"""Errors that a user can cause: printed as one line `error: ...`, never with a traceback."""


class UserError(Exception):
    """Base class. The message states on one line what was given and what is allowed.

    Attributes:
        status: exit status of a command that ends with this error.
    """

    status = 1


class UsageError(UserError):
    """A flag has a wrong value, or flags contradict each other. Exit status 2."""

    status = 2


class DataError(UserError):
    """A file is missing, damaged, or made for something else. Exit status 1."""

    status = 1


class OutputError(UserError):
    """Standard output cannot be written: full disk or closed pipe. Exit status 1.

    Not a DataError, because code that catches those and continues could not print them.
    """

    status = 1

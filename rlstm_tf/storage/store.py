"""Interface of the stores that hold remote files."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class File(Protocol):
    """A file open for reading. Thread-safe.

    Attributes:
        size: size of the file, bytes.
    """

    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Reads up to `size` bytes from `offset`, fewer at the end of the file.

        Raises:
            OSError: the file cannot be read; `strerror` says why.
        """


class Status(NamedTuple):
    """Kind and size (bytes) of an existing path."""

    is_directory: bool
    size: int


class Store(Protocol):
    """The files of one scheme, by full path. Methods raise OSError with a reason in `strerror`."""

    def status(self, path: str) -> Status:
        """Returns the status of a path; raises FileNotFoundError if it does not exist."""

    def open(self, path: str) -> File:
        """Opens a file for reading."""

    def names(self, path: str) -> list[str]:
        """Returns the names in a directory, in any order."""

    def write(self, path: str, content: bytes) -> None:
        """Writes a file atomically."""

    def copy(self, source: str, target: str) -> None:
        """Copies a file, replacing an existing one; one of the two may be local."""

    def move(self, source: str, target: str) -> None:
        """Renames a file, replacing an existing one."""

    def make_directory(self, path: str) -> None:
        """Creates a directory and its parents, if the store has directories."""

    def remove(self, path: str) -> None:
        """Deletes a file, or a directory with its contents."""

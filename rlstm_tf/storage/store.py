"""What the files of a store are to the modules above: the same, whatever opens them."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class File(Protocol):
    """A file that several threads read at once.

    Attributes:
        size: bytes.
    """

    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`: fewer where the file ends.

        Raises:
            OSError: the file cannot be read; `strerror` says why.
        """


class Status(NamedTuple):
    """What a path is."""

    is_directory: bool
    size: int


class Store(Protocol):
    """The files of one scheme, by whole paths. An OSError says with `strerror` what went wrong."""

    def status(self, path: str) -> Status:
        """What is there; FileNotFoundError if nothing is."""

    def open(self, path: str) -> File:
        """Opens a file to read."""

    def names(self, path: str) -> list[str]:
        """Names in a directory, in any order."""

    def write(self, path: str, content: bytes) -> None:
        """Writes a file that is there with all of `content`, or as it was before."""

    def copy(self, source: str, target: str) -> None:
        """Copies a file; one of the two may be local; what is at the target is replaced."""

    def move(self, source: str, target: str) -> None:
        """Renames a file; one that is there is replaced."""

    def make_directory(self, path: str) -> None:
        """Makes a directory, and those above it, where the store knows directories."""

    def remove(self, path: str) -> None:
        """Deletes a file, or a directory and all in it."""

"""What opens a path with `://` in it: TensorFlow, tensorflow-io or fsspec, whichever can.

TensorFlow itself has `gs://`. tensorflow-io, where it loads, adds `s3://`, `az://`, `hdfs://` and
`http(s)://` to it. For what is still missing there is fsspec, which reads and writes the same
stores without TensorFlow. None of them is imported before there is such a path.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from typing import NamedTuple, Protocol

from rlstm_tf.errors import DataError

_OF_TENSORFLOW_IO = ("az", "har", "hdfs", "http", "https", "oss", "s3", "viewfs")


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


def store_of(path: str) -> Store:
    """What opens a path.

    Args:
        path: `SCHEME://...`; TensorFlow opens local ones too.

    Raises:
        DataError: nothing that is installed does; says what would.
    """
    scheme, found, _ = path.partition("://")
    return _store(scheme if found else "")


@functools.cache
def _store(scheme: str) -> Store:
    from tensorflow import io

    from rlstm_tf.data.gfile_store import GfileStore

    if scheme in _OF_TENSORFLOW_IO and scheme not in io.gfile.get_registered_schemes():
        # It registers its own. Beside a TensorFlow that is not its own, its library does not load.
        with warnings.catch_warnings(), contextlib.suppress(ImportError, NotImplementedError):
            warnings.simplefilter("ignore")
            import tensorflow_io  # noqa: F401
    if scheme in io.gfile.get_registered_schemes():
        return GfileStore()
    try:
        import fsspec

        file_system = fsspec.filesystem(scheme, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise DataError(
            f"nothing that is installed opens {scheme}:// ({error}). s3:// takes pip install "
            "'rlstm-tf[stores]', or, on Python 3.9 - 3.11, 'rlstm-tf[addons]', which opens az://, "
            "hdfs:// and http:// too"
        ) from None
    from rlstm_tf.data.fsspec_store import FsspecStore

    return FsspecStore(file_system)

"""Local mirrors of directories in a store: runs, scores, exported networks.

Their writers lock, rename and append, which a store's objects cannot do. So they work in a local
mirror, from which changed files are uploaded whole, after each checkpoint.
"""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rlstm_tf.errors import DataError, UserError
from rlstm_tf.storage import files
from rlstm_tf.storage.atomic import PARTIAL, writing

# Entries of a run's directory that only its training reads.
ONLY_FOR_TRAINING = ("evaluation", "tensorboard")
# Parallel downloads.
_NUM_THREADS = 8
# A run or an export has three levels. A server may list a directory in itself, without end.
_MAX_DEPTH = 32


class LocalMirror:
    """A local directory that mirrors one in a store; made by `local_mirror`.

    Attributes:
        path: the local directory to work in.
        directory: the mirrored directory; equal to `path` if that is local.
    """

    def __init__(self, directory: str, path: Path) -> None:
        self.directory = directory
        self.path = path
        # Files that the store has: size and mtime of the local copy when it was transferred.
        self._known: dict[str, tuple[int, int]] = {}

    def display_path(self, path: Path) -> str:
        """Returns a path in the mirror as the user knows it, for messages."""
        if not files.is_remote(self.directory):
            return str(path)
        return str(path).replace(str(self.path), self.directory)

    def check_writable(self) -> None:
        """Writes and removes a probe, so that a store fails before the work and not after it.

        Raises:
            DataError: the store cannot be written.
        """
        if files.is_remote(self.directory):
            probe = _join(self.directory, f".{uuid.uuid4().hex}{PARTIAL}")
            with writing(self.directory):
                files.make_directory(self.directory)
                files.write_text(probe, "any")
                files.remove(probe)

    def fetch(self, exclude: Collection[str]) -> None:
        """Downloads the directory, except for these top-level names.

        Raises:
            DataError: the store cannot be read, or the mirror not be written.
        """
        names = list(_walk(self.directory, exclude))
        for name in names:
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_NUM_THREADS) as threads:
            list(threads.map(self._fetch, names))
        self._known = {name: _state(self.path / name) for name in names}

    def _fetch(self, name: str) -> None:
        place = _join(self.directory, name)
        try:
            files.copy(place, str(self.path / name))
        except OSError as error:
            raise DataError(f"cannot copy {place} to this machine: {error.strerror}") from None

    def upload(self, last: str = "") -> None:
        """Uploads changed files to the store, in the order in which they were written.

        Args:
            last: directory or file to upload last. Only this process may write to such a directory.
                Such a file is deleted first, so that its presence marks a complete upload.

        Raises:
            DataError: the store cannot be written, or another process has written into `last`.
        """
        if not files.is_remote(self.directory):
            return
        now = {
            path.relative_to(self.path).as_posix(): _state(path)
            for path in self.path.rglob("*")
            if path.is_file() and path.suffix != PARTIAL and path.name != ".lock"
        }
        self._check_own(last)
        changed = [name for name in now if now[name] != self._known.get(name)]
        if last in changed:
            self._remove(last)
        for place in sorted({_join(self.directory, name).rpartition("/")[0] for name in changed}):
            with writing(place):
                files.make_directory(place)

        def order(name: str) -> tuple[bool, int, str]:
            is_last = name.split("/")[0] == last or name == last
            return is_last, 0 if is_last else now[name][1], name

        for name in sorted(changed, key=order):
            target = _join(self.directory, name)
            with writing(target):
                files.copy(str(self.path / name), target)
            self._known[name] = now[name]
        for name in self._known.keys() - now.keys():
            self._remove(name)
            del self._known[name]

    def _check_own(self, last: str) -> None:
        place = _join(self.directory, last)
        if not last or not files.is_directory(place):
            return
        foreign = {f"{last}/{name}" for name in files.list_directory(place)} - self._known.keys()
        if foreign:
            raise DataError(
                f"{_join(self.directory, min(foreign))} was written meanwhile: another process "
                f"uses {self.directory}"
            )

    def _remove(self, name: str) -> None:
        place = _join(self.directory, name)
        with writing(place), contextlib.suppress(FileNotFoundError):
            files.remove(place)


@contextlib.contextmanager
def local_mirror(
    directory: str, exclude: Collection[str] = (), fetch: bool = True
) -> Iterator[LocalMirror]:
    """Yields a local directory itself, or a mirror of one in a store, deleted at the end.

    User errors raised in the context name the store's directory, not the mirror.

    Args:
        directory: a path, or a store's URL.
        exclude: top-level names that are not downloaded.
        fetch: download the directory; False starts with an empty mirror.

    Raises:
        DataError: the store cannot be read, or the mirror not be written.
    """
    if not files.is_remote(directory):
        yield LocalMirror(directory, Path(directory))
        return
    with writing("TMPDIR"):
        scratch = tempfile.TemporaryDirectory(prefix="rlstm_tf_")
    with scratch:
        directory = directory.rstrip("/")
        copy = LocalMirror(directory, Path(scratch.name).resolve() / directory.rsplit("/", 1)[-1])
        try:
            if fetch:
                copy.fetch(exclude)
            yield copy
        except UserError as error:
            raise type(error)(str(error).replace(str(copy.path), directory)) from error


def _join(directory: str, name: str) -> str:
    return f"{directory.rstrip('/')}/{name}"


def _walk(directory: str, exclude: Collection[str] = (), depth: int = 0) -> Iterator[str]:
    """Yields the paths of all files below a store's directory, which may be missing."""
    if depth > _MAX_DEPTH:
        raise DataError(f"{directory}: more than {_MAX_DEPTH} directories inside each other")
    if not files.is_directory(directory):
        return
    for name in files.list_directory(directory):
        place = _join(directory, name)
        if name in exclude:
            continue
        if files.is_directory(place):
            yield from (f"{name}/{inner}" for inner in _walk(place, depth=depth + 1))
        else:
            yield name


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns

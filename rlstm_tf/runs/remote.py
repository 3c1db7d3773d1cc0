"""Directories of a store, worked on as local ones: runs, scores, exported networks.

What writes them locks, renames, appends and looks again, all of which objects of a store cannot. So
that is done in a local copy, and the store is given whole files: at once after each checkpoint.
"""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rlstm_tf.cli import app
from rlstm_tf.errors import DataError, UserError
from rlstm_tf.storage import files
from rlstm_tf.storage.atomic import PARTIAL, writing

# Names in a run's directory that only its training reads.
ONLY_FOR_TRAINING = ("evaluation", "tensorboard")
# Of one store, at once.
_COPIED_AT_ONCE = 8


class WorkingCopy:
    """A local directory that stands for one that may be in a store; see `working_copy`.

    Attributes:
        path: where to work.
        directory: what it stands for; the same if that is local.
    """

    def __init__(self, directory: str, path: Path) -> None:
        self.directory = directory
        self.path = path
        # Files that the store has of it, by name: size and time of the local one when it was given.
        self._known: dict[str, tuple[int, int]] = {}

    def named(self, path: Path) -> str:
        """A path in the working copy as its owner calls it."""
        if not files.is_remote(self.directory):
            return str(path)
        return str(path).replace(str(self.path), self.directory)

    def check_writable(self) -> None:
        """Tries the store, before the work whose result it is to hold.

        Raises:
            DataError: it cannot be written.
        """
        if files.is_remote(self.directory):
            probe = _join(self.directory, f".{uuid.uuid4().hex}{PARTIAL}")
            with writing(self.directory):
                files.make_directory(self.directory)
                files.write_text(probe, "any")
                files.remove(probe)

    def fetch(self, leave: Collection[str]) -> None:
        """Copies all of it from the store, but for these names at its top.

        Raises:
            DataError: it cannot be read, or not be written here.
        """
        names = list(_walk(self.directory, leave))
        for name in names:
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_COPIED_AT_ONCE) as threads:
            list(threads.map(self._fetch, names))
        self._known = {name: _state(self.path / name) for name in names}

    def _fetch(self, name: str) -> None:
        try:
            files.copy(_join(self.directory, name), str(self.path / name))
        except OSError as error:
            place = _join(self.directory, name)
            raise DataError(f"cannot copy {place} to this machine: {error.strerror}") from None

    def upload(self, last: str = "") -> None:
        """Gives the store what has changed, in the order in which it was written.

        Args:
            last: a directory in it that goes last, by name, because it says that all else is there;
                what is in there is this process's alone. Or a file; it is not there meanwhile.

        Raises:
            DataError: it cannot be written, or another process has written into `last`.
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
def working_copy(
    directory: str, leave: Collection[str] = (), fetch: bool = True
) -> Iterator[WorkingCopy]:
    """The directory itself if it is local; else a copy of it, deleted at the end.

    Errors name the directory, not the copy.

    Args:
        directory: local, or in a store.
        leave: names at its top that are not copied.
        fetch: copy what is there; else it begins empty.

    Raises:
        DataError: it cannot be read, or not be written here.
    """
    if not files.is_remote(directory):
        yield WorkingCopy(directory, Path(directory))
        return
    app.load_tensorflow()
    with _scratch() as scratch:
        directory = directory.rstrip("/")
        copy = WorkingCopy(directory, Path(scratch).resolve() / directory.rsplit("/", 1)[-1])
        try:
            if fetch:
                copy.fetch(leave)
            yield copy
        except UserError as error:
            raise type(error)(str(error).replace(str(copy.path), directory)) from error


def _join(directory: str, name: str) -> str:
    return f"{directory.rstrip('/')}/{name}"


def _scratch() -> tempfile.TemporaryDirectory[str]:
    with writing("TMPDIR"):
        return tempfile.TemporaryDirectory(prefix="rlstm_tf_")


def _walk(directory: str, leave: Collection[str] = ()) -> Iterator[str]:
    """Names of all files in a directory of a store, if there is one."""
    if not files.is_directory(directory):
        return
    for name in files.list_directory(directory):
        place = _join(directory, name)
        if name in leave:
            continue
        if files.is_directory(place):
            yield from (f"{name}/{inner}" for inner in _walk(place))
        else:
            yield name


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns

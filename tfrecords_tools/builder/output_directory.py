"""The directory that a build writes into: reserved for one build at a time.

The work of a build in progress is in `.build`: the plan, the decoded videos, the finished shards'
entries for the manifest, and a lock (local) or a lease (remote).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.schema import MANIFEST, join, shard_of
from rlstm_tf.errors import DataError
from rlstm_tf.storage import creation
from rlstm_tf.storage.atomic import PARTIAL, writing
from rlstm_tf.storage.files import (
    file_sizes,
    is_directory,
    is_remote,
    list_directory,
    make_directory,
    remove,
    write_text,
)
from rlstm_tf.storage.json_values import read_json
from rlstm_tf.storage.locks import lock_file
from tfrecords_tools.builder.lease import hold_lease

BUILD = ".build"
_PLAN = "plan.json"
_LOCK = "lock"


class Reservation(NamedTuple):
    """A directory that is reserved for this process.

    Attributes:
        manifest: of a complete build; None if there is work to do.
        check: raises DataError if another process has taken over the directory.
    """

    manifest: Manifest | None
    check: Callable[[], None]


@contextlib.contextmanager
def reserve(output: str, plan: dict[str, Any]) -> Iterator[Reservation]:
    """Reserves a directory for one build while the context lasts.

    Args:
        output: directory, local or remote; created if missing.
        plan: identity of the build. A build that was started with another plan is not resumed.

    Raises:
        DataError: the directory holds something else, is in use, or cannot be written.
    """
    remote = is_remote(output)
    build = join(output, BUILD)
    if not _exists(join(output, MANIFEST)):
        _create(output, build)
        lock = hold_lease(output, build) if remote else _hold_lock(output, build)
        with lock as check:
            # Another build may have finished before the lock was taken.
            if not _exists(join(output, MANIFEST)):
                _resume(output, build, plan)
                yield Reservation(None, check)
                if not remote and _exists(join(output, MANIFEST)):
                    shutil.rmtree(build, ignore_errors=True)
                return
    manifest = Manifest.load(output)
    if not remote and os.path.isdir(build):
        _clear(output, build, manifest)
    found = {name: getattr(manifest, name) for name in ("dataset", "split", "stream")}
    add = ", or add videos to it with --add"
    _require_same_plan(output, {**found, **manifest.settings}, plan, add)
    yield Reservation(manifest, lambda: None)


@contextlib.contextmanager
def reserve_for_addition(
    output: str, manifest: Manifest, plan: dict[str, Any], saved: Mapping[str, str]
) -> Iterator[None]:
    """Reserves a directory of finished shards for a build that adds videos.

    The shards and their manifest stay as they are until the build writes a new manifest; work of an
    earlier such build with another plan is deleted.

    Args:
        output: local directory.
        manifest: as the plan was made for.
        plan: identity of the build.
        saved: content of files that the build replaces before the manifest, by name; kept beside
            the work, and restored if an earlier build was killed in between.

    Raises:
        DataError: the directory is in use, has another manifest by now, or cannot be written.
    """
    build = join(output, BUILD)
    with writing(build):
        os.makedirs(build, exist_ok=True)
    with _hold_lock(output, build):
        if Manifest.load(output) != manifest:
            raise DataError(f"{output} was changed by another build: run the same command again")
        for name, text in saved.items():
            for path in (join(build, name), join(output, name)):
                with writing(path):
                    write_text(path, text)
        if read_json(join(build, _PLAN)) != plan:
            for name in set(os.listdir(build)).difference(saved, (_LOCK,)):
                remove(join(build, name))
        _resume(output, build, plan)
        yield
        shutil.rmtree(build, ignore_errors=True)


def delete_unlisted(output: str, manifest: Manifest) -> None:
    """Deletes the shards in a local directory that are not in its manifest."""
    listed = {shard.name for shard in manifest.shards}
    for name in os.listdir(output):
        shard = shard_of(name)
        if shard is not None and shard not in listed:
            with contextlib.suppress(FileNotFoundError):
                os.remove(join(output, name))


def _clear(output: str, build: str, manifest: Manifest) -> None:
    """Deletes the work of a build that was killed after it wrote the manifest, or began too late.

    Leaves that of a build that adds videos.
    """
    # Whoever has the lock deletes the work, or adds videos.
    with contextlib.suppress(DataError), _hold_lock(output, build):
        found = read_json(join(build, _PLAN))
        if found is None or found.get("plan") == manifest.settings.get("plan"):
            shutil.rmtree(build, ignore_errors=True)


@contextlib.contextmanager
def _hold_lock(output: str, build: str) -> Iterator[Callable[[], None]]:
    """Locks a local directory; yields a check, as `hold_lease` does, which never fails."""
    path = os.path.join(build, _LOCK)
    with writing(path):
        lock = lock_file(path, f"{output} is in use by another build")
    with lock:
        yield lambda: None


def require_plan(output: str, checksum: str) -> None:
    """Raises DataError if the directory no longer belongs to the build with this plan."""
    found = read_json(join(join(output, BUILD), _PLAN))
    if found is None or found.get("plan") != checksum:
        raise DataError(f"{output} no longer holds a build with this plan")


def _exists(path: str) -> bool:
    return file_sizes([path]) != [None] if is_remote(path) else os.path.exists(path)


def _create(output: str, build: str) -> None:
    if is_remote(output):
        names = list_directory(output) if is_directory(output) else []
    elif os.path.exists(output) and not os.path.isdir(output):
        raise DataError(f"{output} is a file; --output must be a directory")
    else:
        names = os.listdir(output) if os.path.isdir(output) else []
    if set(names) - {BUILD} and not _exists(join(build, _PLAN)):
        raise DataError(f"{output} is not empty and holds no shards; --output must be new or empty")
    if is_remote(output):
        with writing(build):
            make_directory(build)
        return
    with writing(output):
        if not os.path.islink(output):
            os.makedirs(output, exist_ok=True)
        creation.make_directory(build)
        # The first shard is written here hours later: find out now whether that is permitted.
        with tempfile.TemporaryFile(dir=output):
            pass


def _resume(output: str, build: str, plan: dict[str, Any]) -> None:
    path = join(build, _PLAN)
    found = read_json(path)
    if found is None:
        with writing(path):
            write_text(path, json.dumps(plan))
    else:
        _require_same_plan(output, found, plan)
    for name in [] if is_remote(output) else os.listdir(build):
        if name.endswith(PARTIAL):
            # A worker of the interrupted build may delete it first.
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(build, name))


def _require_same_plan(
    output: str, found: dict[str, Any], plan: dict[str, Any], hint: str = ""
) -> None:
    if found == plan:
        return
    differ = ", ".join(
        f"{name} {found.get(name)!r}, not {plan.get(name)!r}"
        for name in {**plan, **found}
        if found.get(name) != plan.get(name) and name not in ("plan", "added")
    )
    raise DataError(
        f"{output} holds a build with {differ or 'another list of videos'}: "
        f"give another --output, or delete it{hint}"
    )

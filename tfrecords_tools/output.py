"""The directory that a build writes into: whose it is, and what is said when it cannot be written.

While a build is under way its work lies in `.build`: the plan, one piece a video, a lock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

from rlstm_tf.data.schema import MANIFEST, Manifest
from rlstm_tf.errors import DataError

BUILD = ".build"
PARTIAL = ".partial"
_PLAN = "plan.json"
_LOCK = "lock"


@contextlib.contextmanager
def claimed(output: str, plan: dict[str, Any]) -> Iterator[Manifest | None]:
    """Takes a directory for one build, so long as the context lasts.

    Args:
        output: directory; made if it is not there.
        plan: what makes this build this build, by name. A build that was begun with another plan
            is not continued.

    Yields:
        The manifest, if the build is complete already; else None.

    Raises:
        DataError: the directory holds something else, is in use, or cannot be written.
    """
    if os.path.exists(output) and not os.path.isdir(output):
        raise DataError(f"{output} is a file; --output must be a directory")
    build = os.path.join(output, BUILD)
    if not os.path.exists(os.path.join(output, MANIFEST)):
        with writing(output):
            _begin(output, build)
        with _locked(build, output):
            _continue(output, os.path.join(build, _PLAN), plan)
            yield None
            if os.path.exists(os.path.join(output, MANIFEST)):
                shutil.rmtree(build)
        return
    manifest = Manifest.load(output)
    found = {name: getattr(manifest, name) for name in ("dataset", "split", "stream")}
    _same(output, {**found, **manifest.settings}, plan)
    # Left behind by a build that was killed after its last act.
    shutil.rmtree(build, ignore_errors=True)
    yield manifest


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Turns an OSError into a DataError that names `path`, and the space if that is what lacks."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from None


def cannot_write(path: str, error: OSError) -> DataError:
    """The error for a write that failed."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        place = path
        while not os.path.exists(place):
            place = os.path.dirname(os.path.abspath(place))
        reason += f" ({shutil.disk_usage(place).free / 1e6:.1f} MB free)"
    return DataError(f"cannot write {path}: {reason}")


def write_whole(path: str, content: bytes) -> None:
    """Writes a file that is there with all of `content`, or not at all.

    Raises:
        OSError: it cannot be written.
    """
    partial = f"{path}.{os.getpid()}{PARTIAL}"
    with open(partial, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _begin(output: str, build: str) -> None:
    others = os.path.isdir(output) and set(os.listdir(output)) - {BUILD}
    if others and not os.path.exists(os.path.join(build, _PLAN)):
        raise DataError(f"{output} is not empty and holds no shards; --output must be new or empty")
    os.makedirs(build, exist_ok=True)


@contextlib.contextmanager
def _locked(build: str, output: str) -> Iterator[None]:
    path = os.path.join(build, _LOCK)
    with writing(path):
        file = open(path, "w")  # noqa: SIM115
    with file:
        try:
            # The kernel lets go of it when the process ends, however it ends.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(f"{output} is in use by another build") from None
        yield


def _continue(output: str, plan_file: str, plan: dict[str, Any]) -> None:
    if os.path.exists(plan_file):
        with open(plan_file, encoding="utf-8") as file:
            _same(output, json.load(file), plan)
    else:
        with writing(plan_file):
            write_whole(plan_file, json.dumps(plan).encode())
    build = os.path.dirname(plan_file)
    for name in os.listdir(build):
        if name.endswith(PARTIAL):
            os.remove(os.path.join(build, name))


def _same(output: str, found: dict[str, Any], plan: dict[str, Any]) -> None:
    if found == plan:
        return
    names = [name for name in plan if found.get(name) != plan[name] and name != "plan"]
    differ = ", ".join(f"{name} {found.get(name)!r}, not {plan[name]!r}" for name in names)
    raise DataError(
        f"{output} holds a build with {differ or 'another list of videos'}: "
        "give another --output, or delete it"
    )

"""The directory that a build writes into: whose it is, and what is said when it cannot be written.

While a build is under way its work lies in `.build`: the plan, one piece a video, a lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from rlstm_tf.data.schema import MANIFEST, Manifest
from rlstm_tf.errors import DataError
from rlstm_tf.storage.atomic import PARTIAL, cannot_write, write_whole, writing
from rlstm_tf.storage.json_values import parsed

BUILD = ".build"
PLAN = "plan.json"
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
    complete = os.path.join(output, MANIFEST)
    if not os.path.exists(complete):
        with writing(output):
            _begin(output, build)
        with locked(build, output, "build"):
            # Another build may have ended between the look and the lock.
            if not os.path.exists(complete):
                _continue(output, os.path.join(build, PLAN), plan)
                yield None
                if os.path.exists(complete):
                    # Whoever finds the manifest clears up too.
                    shutil.rmtree(build, ignore_errors=True)
                return
    manifest = Manifest.load(output)
    # Left behind by a build that was killed after its last act.
    shutil.rmtree(build, ignore_errors=True)
    found = {name: getattr(manifest, name) for name in ("dataset", "split", "stream")}
    same_plan(output, {**found, **manifest.settings}, plan)
    yield manifest


def _begin(output: str, build: str) -> None:
    others = os.path.isdir(output) and set(os.listdir(output)) - {BUILD}
    if others and not os.path.exists(os.path.join(build, PLAN)):
        raise DataError(f"{output} is not empty and holds no shards; --output must be new or empty")
    os.makedirs(build, exist_ok=True)
    # What is decoded goes to the directory within; this one is first written hours later.
    with tempfile.TemporaryFile(dir=output):
        pass


@contextlib.contextmanager
def locked(directory: str, output: str, what: str) -> Iterator[None]:
    """Keeps every other process that does the same out of `output`.

    Args:
        directory: in which the lock's file lies.
        output: named in the error.
        what: what the other process is then: `build`.

    Raises:
        DataError: another process holds the lock, or its file cannot be written.
    """
    path = os.path.join(directory, _LOCK)
    with writing(path):
        file = open(path, "w")  # noqa: SIM115
    with file:
        try:
            # The kernel lets go of it when the process ends, however it ends.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A build that ends deletes the file; a lock on what is deleted keeps no one out.
            ours = os.path.samestat(os.fstat(file.fileno()), os.stat(path))
        except (BlockingIOError, FileNotFoundError):
            ours = False
        except OSError as error:
            # Some file systems know no locks.
            raise cannot_write(path, error) from None
        if not ours:
            raise DataError(f"{output} is in use by another {what}")
        yield


def _continue(output: str, plan_file: str, plan: dict[str, Any]) -> None:
    if os.path.exists(plan_file):
        with open(plan_file, "rb") as file:
            same_plan(output, parsed(file.read(), plan_file), plan)
    else:
        with writing(plan_file):
            write_whole(plan_file, json.dumps(plan).encode())
    build = os.path.dirname(plan_file)
    for name in os.listdir(build):
        if name.endswith(PARTIAL):
            # A worker that has just lost its build may be quicker.
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(build, name))


def same_plan(output: str, found: dict[str, Any], plan: dict[str, Any]) -> None:
    """Refuses to go on with a build that was begun with another plan.

    Raises:
        DataError: names what differs.
    """
    if found == plan:
        return
    names = [name for name in plan if found.get(name) != plan[name] and name != "plan"]
    differ = ", ".join(f"{name} {found.get(name)!r}, not {plan[name]!r}" for name in names)
    raise DataError(
        f"{output} holds a build with {differ or 'another list of videos'}: "
        "give another --output, or delete it"
    )

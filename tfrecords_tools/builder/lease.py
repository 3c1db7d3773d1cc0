"""An output directory for one Beam job, local or remote: whose it is while the job lasts.

A local directory is locked, as a build's is. Where `tf.io.gfile` writes no file can be locked, and
nothing is both looked at and written in one step. There a claim is a file that its job rewrites
every few seconds. A second job that finds one watches it for a while: if it changes, its job lives,
and the second is refused; if not, its job was killed, and the second takes over. Each reads its own
claim again before it rewrites it, and before the manifest is written: of two that begin in the same
moment, or of one that was held up for so long that another took over, one goes on.

That keeps two jobs apart that someone starts by mistake. It does not stop workers of a cluster that
outlive their job. Those look at the directory's plan before they put a shard there, and the note
of a shard says its plan: one of another plan counts as not made. Workers of one plan write the same
bytes, each file under a name of its own first, so long as all have the same version of the decoder
and none runs out of memory over a video.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from time import sleep
from typing import Any, NamedTuple

from rlstm_tf.data.schema import MANIFEST, Manifest, join
from rlstm_tf.errors import DataError
from rlstm_tf.storage.atomic import writing
from rlstm_tf.storage.files import (
    is_directory,
    is_remote,
    list_directory,
    make_directory,
    open_file,
    remove,
    sizes,
    write_text,
)
from rlstm_tf.storage.json_values import parsed
from tfrecords_tools.builder import output_directory as local_output
from tfrecords_tools.builder.output_directory import BUILD, PLAN, same_plan

# Seconds from one sign of life to the next; without one for so long, a job is dead.
BEAT = 10.0
PATIENCE = 40.0
# Seconds after which a store shows to one job what another wrote at the same time.
_SETTLED = 2.0
_CLAIM = "claim.json"


class Claimed(NamedTuple):
    """A directory that was taken.

    Attributes:
        manifest: if all is done already; else None.
        check: raises DataError if another job has taken the directory meanwhile.
    """

    manifest: Manifest | None
    check: Callable[[], None]


@contextlib.contextmanager
def claimed(output: str, plan: dict[str, Any]) -> Iterator[Claimed]:
    """Takes a directory for one job, so long as the context lasts.

    Args:
        output: directory, local or remote; made if it is not there.
        plan: what makes this job this job; one that was begun with another is not continued.

    Raises:
        DataError: the directory holds something else, is in use, or cannot be written.
    """
    if not is_remote(output):
        with local_output.claimed(output, plan) as manifest:
            yield Claimed(manifest, lambda: None)
        return
    build, complete = join(output, BUILD), join(output, MANIFEST)
    if not _is_there(complete):
        _begin(output, build)
        with _held(output, build) as check:
            # Another job may have ended between the look and the claim.
            if not _is_there(complete):
                _continue(output, join(build, PLAN), plan)
                yield Claimed(None, check)
                return
    manifest = Manifest.load(output)
    found = {name: getattr(manifest, name) for name in ("dataset", "split", "stream")}
    same_plan(output, {**found, **manifest.settings}, plan)
    yield Claimed(manifest, lambda: None)


def _begin(output: str, build: str) -> None:
    names = set(list_directory(output)) if is_directory(output) else set()
    if names - {BUILD} and not _is_there(join(build, PLAN)):
        raise DataError(f"{output} is not empty and holds no shards; --output must be new or empty")
    with writing(build):
        make_directory(build)


def _continue(output: str, path: str, plan: dict[str, Any]) -> None:
    if _is_there(path):
        try:
            file = open_file(path)
            found = parsed(file.read(0, file.size), path)
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}") from None
        same_plan(output, found, plan)
    else:
        with writing(path):
            write_text(path, json.dumps(plan))


@contextlib.contextmanager
def _held(output: str, build: str) -> Iterator[Callable[[], None]]:
    path = join(build, _CLAIM)
    claim = _Claim(output, path)
    claim.take()
    ended = threading.Event()
    beats = threading.Thread(target=claim.beat, args=(ended,), daemon=True)
    beats.start()
    try:
        yield claim.check
    finally:
        ended.set()
        beats.join()
        # What cannot be deleted does no harm: the next job finds that it does not change.
        with contextlib.suppress(OSError, DataError):
            if claim.is_ours():
                remove(build if _is_there(join(output, MANIFEST)) else path)


def _is_there(path: str) -> bool:
    return sizes([path]) != [None]


class _Claim:
    def __init__(self, output: str, path: str):
        self._output = output
        self._path = path
        self._own = {"id": uuid.uuid4().hex, "host": socket.gethostname(), "process": os.getpid()}
        self._lost = False

    def take(self) -> None:
        other = self._read()
        if other:
            print(f"{self._output} is claimed by {_named(other)}: looking whether it is alive")
            sleep(PATIENCE)
            now = self._read()
            if now and now != other:
                raise self._in_use(now)
        # One that ended meanwhile has cleared up.
        with writing(self._path):
            make_directory(os.path.dirname(self._path))
        self._write(0)
        sleep(_SETTLED)
        self.check()

    def beat(self, ended: threading.Event) -> None:
        """Gives a sign of life again and again, until the claim is lost."""
        number = 0
        while not ended.wait(BEAT) and not self._lost:
            number += 1
            # A store that does not answer may do so the next time.
            with contextlib.suppress(DataError):
                if self.is_ours():
                    self._write(number)
                else:
                    self._lost = True

    def check(self) -> None:
        if self._lost or not self.is_ours():
            raise self._in_use(self._read())

    def is_ours(self) -> bool:
        return self._read().get("id") == self._own["id"]

    def _read(self) -> dict[str, Any]:
        try:
            file = open_file(self._path)
            return parsed(file.read(0, file.size), self._path)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise DataError(f"{self._path}: {error.strerror}") from None

    def _write(self, beat: int) -> None:
        with writing(self._path):
            write_text(self._path, json.dumps({**self._own, "beat": beat}))

    def _in_use(self, other: dict[str, Any]) -> DataError:
        return DataError(f"{self._output} is in use by {_named(other)}")


def _named(claim: dict[str, Any]) -> str:
    return f"another job, process {claim.get('process')} on {claim.get('host')}"

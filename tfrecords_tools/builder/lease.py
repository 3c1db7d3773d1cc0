"""A lease on a remote output directory, where no file can be locked.

The lease is a file that its job rewrites every few seconds. A job that finds one watches it: if the
file changes, its owner is alive and the second job is refused; if not, the owner was killed and the
second job takes over. Each job reads its own lease before it rewrites it and before it writes the
manifest, so that of two jobs that start at the same moment, or of one that was delayed until
another took over, only one proceeds.

This protects against starting two jobs by mistake, not against cluster workers that outlive their
job. Those check the plan of the directory before they publish a shard, and a finished shard's entry
names its plan, so that a shard of another plan does not count. Workers of one plan write the same
bytes, each file under a unique name first, as long as all have the same version of the decoder and
none runs out of memory.
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
from typing import Any

from rlstm_tf.data.schema import MANIFEST, join
from rlstm_tf.errors import DataError
from rlstm_tf.messages import say
from rlstm_tf.storage.atomic import writing
from rlstm_tf.storage.files import file_sizes, make_directory, remove, write_text
from rlstm_tf.storage.json_values import read_json

HEARTBEAT_S = 10.0
# A job whose lease does not change for this long is dead.
LEASE_TIMEOUT_S = 40.0
# Time after which a store shows to one job what another wrote at the same moment.
_CONSISTENCY_DELAY_S = 2.0
_FILE = "claim.json"


@contextlib.contextmanager
def hold_lease(output: str, build: str) -> Iterator[Callable[[], None]]:
    """Holds the lease on a directory while the context lasts.

    Args:
        output: remote directory.
        build: its directory for work in progress; deleted at the end if the output is complete.

    Yields:
        A function that raises DataError if the lease is lost.

    Raises:
        DataError: another job holds the lease, or it cannot be read or written.
    """
    path = join(build, _FILE)
    lease = _Lease(output, path)
    lease.acquire()
    ended = threading.Event()
    heartbeat = threading.Thread(target=lease.renew, args=(ended,), name="heartbeat", daemon=True)
    heartbeat.start()
    try:
        yield lease.check
    finally:
        ended.set()
        heartbeat.join()
        # A lease that cannot be deleted does no harm: it no longer changes.
        with contextlib.suppress(OSError, DataError):
            if lease.is_ours():
                remove(build if file_sizes([join(output, MANIFEST)]) != [None] else path)


class _Lease:
    def __init__(self, output: str, path: str):
        self._output = output
        self._path = path
        self._own = {"id": uuid.uuid4().hex, "host": socket.gethostname(), "process": os.getpid()}
        self._lost = False

    def acquire(self) -> None:
        found = self._read()
        if found:
            say(f"{self._output} is leased to {_describe(found)}: checking whether it is alive")
            sleep(LEASE_TIMEOUT_S)
            now = self._read()
            if now and now != found:
                raise self._in_use(now)
        # The other job may have finished meanwhile, and deleted the directory.
        with writing(self._path):
            make_directory(os.path.dirname(self._path))
        self._write(0)
        sleep(_CONSISTENCY_DELAY_S)
        self.check()

    def renew(self, ended: threading.Event) -> None:
        """Rewrites the lease periodically until `ended` is set or the lease is lost."""
        number = 0
        while not ended.wait(HEARTBEAT_S) and not self._lost:
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
        return read_json(self._path) or {}

    def _write(self, number: int) -> None:
        with writing(self._path):
            write_text(self._path, json.dumps({**self._own, "beat": number}))

    def _in_use(self, other: dict[str, Any]) -> DataError:
        return DataError(f"{self._output} is in use by {_describe(other)}")


def _describe(lease: dict[str, Any]) -> str:
    return f"another job, process {lease.get('process')} on {lease.get('host')}"

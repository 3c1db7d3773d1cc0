"""Time and memory of a process and of all that it starts."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from rlstm_tf.storage.atomic import write_atomic, writing

# Seconds between two looks at the processes, and between two writes.
_LOOK, _WRITE = 1.0, 10.0


@dataclass(frozen=True)
class Usage:
    """What a command has used, in all its attempts.

    Attributes:
        seconds: wall-clock time.
        cpu_seconds: processor time of all its processes.
        gigabytes: largest sum of their resident sizes, 1e9 bytes; a page that processes share
            counts for each.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    gigabytes: float = 0.0

    @classmethod
    def load(cls, path: Path) -> Usage:
        """Reads what `wait` wrote; nothing has been used if there is no file."""
        return cls(**json.loads(path.read_text(encoding="ascii"))) if path.exists() else cls()

    def save(self, path: Path) -> None:
        """Writes the file atomically.

        Raises:
            DataError: it cannot be written.
        """
        with writing(path):
            write_atomic(path, json.dumps(dataclasses.asdict(self)).encode())


def wait(process: subprocess.Popen, path: Path) -> int:
    """Waits for a process, and adds what it uses to a file, also while it runs.

    Args:
        process: the process, just started.
        path: file of a `Usage`, with that of earlier attempts if it exists.

    Returns:
        Its exit status.

    Raises:
        DataError: the file cannot be written.
    """
    before, start, saved = Usage.load(path), time.monotonic(), 0.0
    peak, pause = before.gigabytes, 0.01
    while True:
        # Not `process.wait`: this tells the processor time of what has ended, too.
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        now = time.monotonic() - start
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            cpu_seconds = used.ru_utime + used.ru_stime
        else:
            cpu_seconds, gigabytes = look(process.pid)
            peak = max(peak, gigabytes)
        if pid or now - saved > _WRITE:
            usage = Usage(before.seconds + now, before.cpu_seconds + cpu_seconds, peak)
            usage.save(path)
            saved = now
        if pid:
            return process.returncode
        time.sleep(pause)
        pause = min(2 * pause, _LOOK)


def look(pid: int) -> tuple[float, float]:
    """Returns processor seconds and resident gigabytes of a process and its descendants."""
    seconds = gigabytes = 0.0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                # Of children, too: those that have ended.
                seconds += sum(process.cpu_times()[:4])
                gigabytes += process.memory_info().rss / 1e9
    return seconds, gigabytes

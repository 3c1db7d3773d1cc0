"""Runs commands as processes, and measures their time."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Sequence

from benchmarks.timing import Seconds
from rlstm_tf.errors import DataError


def cost(command: Sequence[str], status: int = 0) -> Seconds:
    """Measures a command.

    Args:
        command: program and arguments.
        status: expected exit status.

    Returns:
        Wall time and core time, of its child processes too.

    Raises:
        DataError: it ended with another status.
    """
    before, start = _children_cpu_s(), time.perf_counter()
    _run(command, status)
    elapsed = time.perf_counter() - start
    return Seconds(elapsed, _children_cpu_s() - before)


def printed(command: Sequence[str]) -> list[str]:
    """Returns the words of the last line that a command prints.

    Raises:
        DataError: it failed.
    """
    return _run(command, 0).stdout.strip().splitlines()[-1].split()


def _run(command: Sequence[str], status: int) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != status:
        last = [f"status {done.returncode}", *done.stderr.strip().splitlines()][-1]
        raise DataError(f"{' '.join(map(os.path.basename, command))}: {last}")
    return done


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Costs:
    """Least time of several commands over their turns."""

    def __init__(self) -> None:
        self._least: dict[str, Seconds] = {}

    def add(self, name: str, seconds: Seconds) -> None:
        """Records a turn."""
        self._least[name] = Seconds(*map(min, zip(self._least.get(name, seconds), seconds)))

    def of(self, name: str) -> Seconds:
        """Returns the least wall time and core time of a command."""
        return self._least[name]

"""Commands as processes of their own, and what they cost."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Sequence

from benchmarks.timing import Seconds
from rlstm_tf.errors import DataError


def cost(command: Sequence[str], status: int = 0) -> Seconds:
    """Runs a command to its end.

    Args:
        command: program and arguments.
        status: that it must end with.

    Returns:
        Seconds, by the clock and of all cores, those of its own children included.

    Raises:
        DataError: it ended with another status.
    """
    before, start = _used(), time.perf_counter()
    _ended(command, status)
    elapsed = time.perf_counter() - start
    return Seconds(elapsed, _used() - before)


def printed(command: Sequence[str]) -> list[str]:
    """The words of the last line that a command prints.

    Raises:
        DataError: it did not end well.
    """
    return _ended(command, 0).stdout.strip().splitlines()[-1].split()


def _ended(command: Sequence[str], status: int) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != status:
        last = [f"status {done.returncode}", *done.stderr.strip().splitlines()][-1]
        raise DataError(f"{' '.join(map(os.path.basename, command))}: {last}")
    return done


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Costs:
    """The cheapest of several turns of each of several commands."""

    def __init__(self) -> None:
        self._least: dict[str, Seconds] = {}

    def add(self, name: str, seconds: Seconds) -> None:
        """Takes note of a turn."""
        self._least[name] = Seconds(*map(min, zip(self._least.get(name, seconds), seconds)))

    def of(self, name: str) -> Seconds:
        """The least seconds of a command, by the clock and of all cores."""
        return self._least[name]

"""Times candidates in turns, and prints ratios with their targets."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Seconds(NamedTuple):
    """The fastest turn of a candidate.

    Attributes:
        elapsed: wall time.
        of_cores: CPU time of the process and of the commands that it ran; other load on the
            machine does not count.
    """

    elapsed: float
    of_cores: float


def fastest(
    candidates: Mapping[str, Callable[[], Any]], rounds: int, warm_up: bool = True
) -> dict[str, Seconds]:
    """Returns the fastest of several turns of each candidate.

    They take turns, so that other load on the machine affects all alike.

    Args:
        candidates: functions that return when their work is done, by name.
        rounds: timed turns of each.
        warm_up: begins with a turn that is not timed.
    """
    best: dict[str, Seconds] = {}
    for turn in range(-1 if warm_up else 0, rounds):
        for name, run in candidates.items():
            elapsed, of_cores = time.perf_counter(), _cpu_time()
            run()
            seconds = Seconds(time.perf_counter() - elapsed, _cpu_time() - of_cores)
            if turn >= 0:
                best[name] = Seconds(*map(min, seconds, best.get(name, seconds)))
    return best


def _cpu_time() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def print_ratio(name: str, value: float, at_least: float | None = None) -> None:
    """Prints a ratio, and whether it meets its target."""
    line = f"  {name:44}{value:7.2f}"
    if at_least is not None:
        line += f"  (target {at_least:g}: {'met' if value >= at_least else 'missed'})"
    print(line, flush=True)

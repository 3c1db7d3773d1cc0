"""Times candidates in turns, and prints ratios with their targets."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Seconds(NamedTuple):
    """The fastest turn of a candidate.

    Attributes:
        elapsed: wall time.
        of_cores: CPU time of the process; other load on the machine does not count.
    """

    elapsed: float
    of_cores: float


def fastest(candidates: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Seconds]:
    """Returns the fastest of several turns of each candidate, after one to warm up.

    They take turns, so that other load on the machine affects all alike.

    Args:
        candidates: functions that return when their work is done, by name.
        rounds: timed turns of each.
    """
    best = {name: Seconds(float("inf"), float("inf")) for name in candidates}
    for turn in range(rounds + 1):
        for name, run in candidates.items():
            clocks = time.perf_counter(), time.process_time()
            run()
            elapsed = time.perf_counter() - clocks[0]
            of_cores = time.process_time() - clocks[1]
            if turn:
                best[name] = Seconds(
                    min(best[name].elapsed, elapsed), min(best[name].of_cores, of_cores)
                )
    return best


def print_ratio(name: str, value: float, at_least: float | None = None) -> None:
    """Prints a ratio, and whether it meets its target."""
    line = f"  {name:44}{value:7.2f}"
    if at_least is not None:
        line += f"  (target {at_least:g}: {'met' if value >= at_least else 'missed'})"
    print(line, flush=True)

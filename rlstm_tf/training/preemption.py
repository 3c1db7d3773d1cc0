"""A wish to stop: SIGTERM, by which clusters take a machine away, or hours that are over.

tensorflow-addons' TimeStopping sets `model.stop_training` at the end of an epoch. The loop here
asks between any two steps, and saves.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any


class Stopped(BaseException):
    """Training was ended between two steps because it was asked to.

    As KeyboardInterrupt, nothing that catches errors is to take it for one.
    """


class Wish:
    """Whether this process was asked to stop.

    Args:
        max_hours: from now; None = without end.

    Attributes:
        max_hours: as given.
        ends: when they are over, by `time.monotonic`.
        spoken: SIGTERM has come.
        at_once: it is to raise `Stopped` when it comes, wherever that is; for as long as there is
            nothing to be lost.
    """

    spoken = False
    at_once = True

    def __init__(self, max_hours: float | None = None) -> None:
        self.max_hours = max_hours
        self.ends = math.inf if max_hours is None else time.monotonic() + 3600.0 * max_hours

    @property
    def over(self) -> bool:
        """The hours are over."""
        return time.monotonic() >= self.ends

    def _speak(self, *_: Any) -> None:
        self.spoken = True
        if self.at_once:
            raise Stopped


@contextlib.contextmanager
def heeded(max_hours: float | None = None) -> Iterator[Wish]:
    """While it lasts, SIGTERM does not end the process: it is noted in what is yielded.

    Args:
        max_hours: of the wish.
    """
    wish = Wish(max_hours)
    before: Callable[..., Any] | int | None = signal.signal(signal.SIGTERM, wish._speak)
    try:
        yield wish
    finally:
        signal.signal(signal.SIGTERM, before)

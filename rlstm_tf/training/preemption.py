"""Graceful stop on SIGTERM, which clusters send before they take a machine, or after --max_hours.

tensorflow-addons' TimeStopping stops at the end of an epoch; the loop here asks before every step.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any


class Stopped(BaseException):
    """Training ends between two steps, on request.

    Like KeyboardInterrupt it is not an Exception, so that error handlers do not catch it.
    """


class StopRequest:
    """A request to stop this process, which may still come.

    Args:
        max_hours: time limit from now, hours; None = no limit.

    Attributes:
        max_hours: as given.
        deadline: end of the time limit, on the clock of `time.monotonic`, seconds.
        requested: SIGTERM has arrived.
        raise_immediately: raise `Stopped` from the signal handler; set it to False as soon as there
            is progress to save.
    """

    requested = False
    raise_immediately = True

    def __init__(self, max_hours: float | None = None) -> None:
        self.max_hours = max_hours
        self.deadline = math.inf if max_hours is None else time.monotonic() + 3600.0 * max_hours

    @property
    def expired(self) -> bool:
        """True after the deadline."""
        return time.monotonic() >= self.deadline

    def _on_signal(self, *_: Any) -> None:
        self.requested = True
        if self.raise_immediately:
            raise Stopped


@contextlib.contextmanager
def handle_sigterm(max_hours: float | None = None) -> Iterator[StopRequest]:
    """Records SIGTERM in the yielded request, in place of ending the process.

    Args:
        max_hours: time limit of the request, hours.
    """
    stop = StopRequest(max_hours)
    before: Callable[..., Any] | int | None = signal.signal(signal.SIGTERM, stop._on_signal)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)

"""SIGTERM as a wish to stop: how clusters announce that a machine is about to be taken away."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any


class Stopped(BaseException):
    """Training was ended between two steps because it was asked to.

    As KeyboardInterrupt, nothing that catches errors is to take it for one.
    """


class Wish:
    """Whether this process was asked to stop.

    Attributes:
        spoken: SIGTERM has come.
        at_once: it is to raise `Stopped` when it comes, wherever that is; for as long as there is
            nothing to be lost.
    """

    spoken = False
    at_once = True

    def _speak(self, *_: Any) -> None:
        self.spoken = True
        if self.at_once:
            raise Stopped


@contextlib.contextmanager
def heeded() -> Iterator[Wish]:
    """While it lasts, SIGTERM does not end the process: it is noted in what is yielded."""
    wish = Wish()
    before: Callable[..., Any] | int | None = signal.signal(signal.SIGTERM, wish._speak)
    try:
        yield wish
    finally:
        signal.signal(signal.SIGTERM, before)

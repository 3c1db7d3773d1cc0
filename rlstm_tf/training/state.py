"""How far a run is: what a checkpoint has to know of it beside the variables."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

from rlstm_tf.errors import DataError

# Reading a loss waits for the device, so it is done after every so many steps.
READ_EVERY = 10
_NAMES = ("step", "epoch", "loss", "correct", "seconds", "history")
# Not in the checkpoints of earlier versions, which say nothing of it.
_ADDED = ("waited",)


class Position:
    """Where a run is. Batches, augmentation and dropout are functions of it.

    Attributes:
        step: optimizer steps taken.
        epoch: epochs over, their validation included.
        loss, correct: sums over the steps of the epoch under way that have been read.
        seconds: that these steps took.
        waited: seconds of them in which the next batch was waited for.
        history: a row of `history.csv` for each epoch that is over.
    """

    def __init__(
        self,
        step: int = 0,
        epoch: int = 0,
        loss: float = 0.0,
        correct: float = 0.0,
        seconds: float = 0.0,
        history: Sequence[dict[str, Any]] = (),
        waited: float = 0.0,
    ) -> None:
        self.step, self.epoch = step, epoch
        self.loss, self.correct = loss, correct
        self.seconds, self.waited = seconds, waited
        self.history = list(history)
        self._pending: list[tuple[Any, Any]] = []
        self._clock = time.perf_counter()

    @classmethod
    def of(cls, info: dict[str, Any], path: Any) -> Position:
        """The position that `to_info` described.

        Args:
            info: of a checkpoint.
            path: of the checkpoint, named in errors.

        Raises:
            DataError: it says nothing of one.
        """
        if not set(_NAMES) <= set(info):
            raise DataError(f"{path} is of an older version: a run cannot go on from it")
        return cls(**{name: info[name] for name in (*_NAMES, *_ADDED) if name in info})

    def to_info(self) -> dict[str, Any]:
        """For a checkpoint; `settle` first."""
        return {name: getattr(self, name) for name in (*_NAMES, *_ADDED)}

    def start_clock(self) -> None:
        """What went on since the last step took no training time."""
        self._clock = time.perf_counter()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """What goes on in this context is waiting for a batch."""
        begin = time.perf_counter()
        yield
        self.waited += time.perf_counter() - begin

    def add(self, loss: Any, correct: Any) -> None:
        """Counts a step, whose results need not be there yet."""
        self.step += 1
        self._pending.append((loss, correct))

    def settle(self) -> None:
        """Waits for the results of all steps counted.

        Raises:
            FloatingPointError: a loss is no number; the message names the step.
        """
        first = self.step - len(self._pending)
        pending, self._pending = self._pending, []
        for number, (loss, correct) in enumerate(pending, first + 1):
            self.loss += float(loss)
            self.correct += float(correct)
            if not math.isfinite(self.loss):
                raise FloatingPointError(f"the loss became {float(loss)} at step {number}")
        now = time.perf_counter()
        if pending:  # else what came since, a validation for one, was no training
            self.seconds += now - self._clock
        self._clock = now

    def end_epoch(self, logs: dict[str, float]) -> None:
        """Goes on to the next epoch.

        Args:
            logs: of the one that is over.
        """
        self.epoch += 1
        self.history.append({"epoch": self.epoch, **logs})
        self.loss = self.correct = self.seconds = self.waited = 0.0

"""Progress of a run, which a checkpoint holds beside the variables."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rlstm_tf.errors import DataError

# Steps between two reads of the loss; each read waits for the device.
SYNC_EVERY = 10
_KEYS = ("step", "epoch", "loss", "correct", "seconds", "history")
# Missing from the checkpoints of earlier versions.
_OPTIONAL_KEYS = ("waited", "pretrained")


@dataclass(eq=False)
class TrainState:
    """Progress of a run. Batches, augmentation and dropout are functions of it.

    Attributes:
        step: optimizer steps taken.
        epoch: epochs finished, with their validation.
        loss, correct: sums over the current epoch's steps whose results have been read.
        seconds: training time of these steps.
        pretrained: names of the weights whose steps `--pretrained_factor` scales.
        waited: the part of `seconds` spent waiting for the next batch.
        history: a row of `history.csv` for each finished epoch.
    """

    step: int = 0
    epoch: int = 0
    loss: float = 0.0
    correct: float = 0.0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    waited: float = 0.0
    pretrained: list[str] = field(default_factory=list)
    _pending: list[tuple[Any, Any]] = field(default_factory=list, init=False, repr=False)
    _clock: float = field(default_factory=time.perf_counter, init=False, repr=False)

    @classmethod
    def from_dict(cls, info: dict[str, Any], path: Any) -> TrainState:
        """Restores the state that `to_dict` returned.

        Args:
            info: a checkpoint's `info`; further keys are ignored.
            path: the checkpoint, for error messages.

        Raises:
            DataError: a key is missing.
        """
        if not set(_KEYS) <= set(info):
            raise DataError(f"{path} is from an older version: its run cannot be resumed")
        return cls(**{key: info[key] for key in (*_KEYS, *_OPTIONAL_KEYS) if key in info})

    def to_dict(self) -> dict[str, Any]:
        """Returns the state as JSON values; call `sync` first."""
        return {key: getattr(self, key) for key in (*_KEYS, *_OPTIONAL_KEYS)}

    def start_clock(self) -> None:
        """Excludes the time since the last step from the training time."""
        self._clock = time.perf_counter()

    @contextlib.contextmanager
    def timing_input(self) -> Iterator[None]:
        """Counts the time in this context as waiting for a batch."""
        begin = time.perf_counter()
        yield
        self.waited += time.perf_counter() - begin

    def add(self, loss: Any, correct: Any) -> None:
        """Counts a step, whose results may still be computed."""
        self.step += 1
        self._pending.append((loss, correct))

    def sync(self) -> None:
        """Waits for the results of all counted steps.

        Raises:
            FloatingPointError: a loss is not finite; the message names the step.
        """
        first = self.step - len(self._pending)
        pending, self._pending = self._pending, []
        for number, (loss, correct) in enumerate(pending, first + 1):
            self.loss += float(loss)
            self.correct += float(correct)
            if not math.isfinite(self.loss):
                raise FloatingPointError(f"the loss became {float(loss)} at step {number}")
        now = time.perf_counter()
        if pending:  # without steps, the time was spent otherwise, for example in validation
            self.seconds += now - self._clock
        self._clock = now

    def end_epoch(self, logs: dict[str, float]) -> None:
        """Moves to the next epoch.

        Args:
            logs: metrics of the finished epoch.
        """
        self.epoch += 1
        self.history.append({"epoch": self.epoch, **logs})
        self.loss = self.correct = self.seconds = self.waited = 0.0

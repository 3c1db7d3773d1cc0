"""A profile of some steps, for TensorBoard's profile plugin."""

from __future__ import annotations

import contextlib
from pathlib import Path

import keras
import tensorflow as tf

from rlstm_tf.messages import say
from rlstm_tf.summaries.events import wrap_write_errors

Logs = dict[str, float]


class Profile(keras.callbacks.Callback):
    """Profiles steps of this process.

    Args:
        directory: directory of the event files; the profile gets a subdirectory.
        first: first step to profile, counted from 1 at the start or resume.
        last: last step to profile.
        steps_left: remaining steps of the run; fewer than `last` give a warning.
    """

    def __init__(self, directory: Path, first: int, last: int, steps_left: int) -> None:
        super().__init__()
        self.directory = directory
        self.first, self.last, self.steps_left = first, last, steps_left
        self._step = 0
        self._profile = contextlib.ExitStack()
        self._step_mark = contextlib.ExitStack()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Warns of steps that the run does not have."""
        if self.last > self.steps_left:
            what = "nothing is profiled" if self.first > self.steps_left else "the profile is short"
            say(
                f"warning: --profile_steps={self.first},{self.last}: the run ends after "
                f"{self.steps_left} more steps: {what}"
            )

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Starts the profile or one of its steps."""
        self._step += 1
        if self._step == self.first:
            with wrap_write_errors(self.directory):
                tf.profiler.experimental.start(str(self.directory))
            self._profile.callback(tf.profiler.experimental.stop)
        if self.first <= self._step <= self.last:
            trace = tf.profiler.experimental.Trace("train", step_num=self._step, _r=1)
            self._step_mark.enter_context(trace)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Ends a step of the profile, or the profile."""
        self._step_mark.close()
        if self._step == self.last:
            self._write()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Ends a profile that the end of the run, or an error, has cut short."""
        self._step_mark.close()
        self._write()

    def _write(self) -> None:
        with wrap_write_errors(self.directory):
            self._profile.close()

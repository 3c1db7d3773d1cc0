"""Epochs of a training: steps, validation, callbacks, early stopping.

Keras's own `fit` cannot resume exactly, and that of Keras 3 does not work with every strategy.
Models, optimizers and callbacks are Keras's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from rlstm_tf.data.batch_schedule import EpochSchedule
from rlstm_tf.errors import DataError
from rlstm_tf.training.preemption import Stopped
from rlstm_tf.training.selection import is_exhausted
from rlstm_tf.training.state import SYNC_EVERY, TrainState
from rlstm_tf.training.trainer import Batch, Trainer

Logs = dict[str, float]


def fit(
    trainer: Trainer,
    batches: Iterator[Batch],
    epochs: EpochSchedule,
    num_epochs: int,
    state: TrainState,
    learning_rate: Callable[[int], Any],
    validate: Callable[[], Logs] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    patience: int | None = None,
    should_stop: Callable[[int], bool] = lambda step: False,
    on_stop: Callable[[], None] = lambda: None,
) -> bool:
    """Trains from `state` to the end of the last epoch.

    Args:
        trainer: takes the steps.
        batches: distributed batches, from step `state.step` on.
        epochs: first and last steps of the epochs.
        num_epochs: number of epochs, including finished ones.
        state: progress of the run, updated in place.
        learning_rate: the optimizer's schedule, a function of the step, counted from 0.
        validate: returns the metrics of the validation set.
        callbacks: Keras callbacks. Every `SYNC_EVERY` steps, batch ends report `loss` and
            `accuracy` of the epoch so far and the `learning_rate`. Epoch ends add
            `videos_per_second`, `input_wait_share` (share of the time of its steps, 0..1) and
            `val_*` from `validate`; `state` is at the next epoch then. The end of training is
            reported after an error too.
        patience: epochs without a better validation score after which training ends; see
            `rlstm_tf.training.selection.is_exhausted`.
        should_stop: called with the number of steps taken before every step; True stops.
        on_stop: called if `should_stop` ended the training, or `validate` by `Stopped`.

    Returns:
        True if the training is finished: by its last epoch or by `patience`.

    Raises:
        DataError: the loss, or a weight to be saved, is not finite.
    """
    trainer.step = state.step
    listeners = keras.callbacks.CallbackList(list(callbacks), model=trainer.model)
    try:
        try:
            # Inside try: if a callback fails to begin, the others are still ended.
            listeners.on_train_begin()
            while state.epoch < num_epochs and not is_exhausted(state.history, patience):
                epoch = state.epoch
                listeners.on_epoch_begin(epoch)
                _epoch(trainer, batches, epochs, state, learning_rate, listeners, should_stop)
                logs = _logs(epochs, state, learning_rate)
                logs["videos_per_second"] = (
                    epochs.num_steps(epoch) * epochs.batch_size / state.seconds
                )
                logs["input_wait_share"] = state.waited / state.seconds
                if validate is not None:
                    logs.update({f"val_{name}": value for name, value in validate().items()})
                state.end_epoch(logs)
                listeners.on_epoch_end(epoch, logs)
        except Stopped:
            # Inside try: saving may find weights that are not finite.
            on_stop()
            return False
    except FloatingPointError as error:
        rate = float(learning_rate(state.step - 1))
        raise DataError(
            f"{error}, learning rate {rate:g}: earlier checkpoints are kept; "
            "try a smaller --learning_rate"
        ) from None
    finally:
        listeners.on_train_end()
    return True


def _epoch(
    trainer: Trainer,
    batches: Iterator[Batch],
    epochs: EpochSchedule,
    state: TrainState,
    learning_rate: Callable[[int], Any],
    listeners: keras.callbacks.CallbackList,
    should_stop: Callable[[int], bool],
) -> None:
    """Takes the remaining steps of the current epoch."""
    first, end = epochs.end_step(state.epoch - 1), epochs.end_step(state.epoch)
    state.start_clock()
    while state.step < end:
        if should_stop(state.step):
            raise Stopped
        index = state.step - first
        listeners.on_train_batch_begin(index)
        with state.timing_input():
            batch = next(batches)
        state.add(*trainer.train_step(batch))
        logs: Logs = {}
        if state.step % SYNC_EVERY == 0 or state.step == end:
            state.sync()
            logs = _logs(epochs, state, learning_rate)
        listeners.on_train_batch_end(index, logs)


def _logs(epochs: EpochSchedule, state: TrainState, learning_rate: Callable[[int], Any]) -> Logs:
    """Returns means over the current epoch's synced steps, and the last step's learning rate."""
    steps = state.step - epochs.end_step(state.epoch - 1)
    return {
        "loss": state.loss / steps,
        "accuracy": state.correct / (steps * epochs.batch_size),
        "learning_rate": float(learning_rate(state.step - 1)),
    }

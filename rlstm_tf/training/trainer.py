"""The training loop: one for a single device and for every strategy, on both stacks.

Keras's own `fit` is not used, because it cannot resume exactly and because Keras 3's does not work
with every strategy. Models, optimizers and callbacks are Keras's all the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any

import keras
import tensorflow as tf

from rlstm_tf import compat
from rlstm_tf.data.batch_schedule import Epochs
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.layers.batch_normalization import moves_after
from rlstm_tf.models.dropout import dropout_seed
from rlstm_tf.models.rematerialization import rematerialize
from rlstm_tf.training.gradient_accumulation import Accumulator
from rlstm_tf.training.optimizers import decayed
from rlstm_tf.training.preemption import Stopped
from rlstm_tf.training.state import READ_EVERY, Position

Batch = dict[str, Any]
Logs = dict[str, float]


class Trainer:
    """Steps of one model on the devices of a strategy.

    Args:
        model: frames -> logits, made in the strategy's scope.
        optimizer: made there too, its slots built.
        strategy: of `rlstm_tf.distributed.strategy.make_strategy`.
        weight_decay: L2 on the kernels: adds weight_decay * kernel to a kernel's gradient; 0 with
            an optimizer that decays by itself.
        accumulate: micro-batches that a batch is divided into, one after the other, to save memory;
            see `rlstm_tf.training.gradient_accumulation`.
        jit: compile the step with XLA.
        seed: of what is dropped.
        remat: compute the trunk's activations again in the backward pass, to save memory; see
            `rlstm_tf.models.rematerialization`.
        frames_of: what makes the model's frames of a replica's rows, on the device; their `frames`
            as they are, if not given.

    Attributes:
        step: optimizer steps taken; what is dropped depends on it.

    Raises:
        UsageError: `jit` with several replicas, whose sums XLA cannot make.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy,
        weight_decay: float = 0.0,
        accumulate: int = 1,
        jit: bool = False,
        seed: int = 0,
        remat: bool = False,
        frames_of: Callable[[Batch], Any] = itemgetter("frames"),
    ) -> None:
        if jit and strategy.num_replicas_in_sync > 1:
            raise UsageError(f"--jit takes one device, not {strategy.num_replicas_in_sync}")
        self.model = model
        self.optimizer = optimizer
        self.strategy = strategy
        self.weight_decay = weight_decay
        self.accumulate = accumulate
        self.seed = seed
        self.remat = remat
        self.frames_of = frames_of
        self.step = 0
        if accumulate > 1:
            with strategy.scope():
                self._accumulator = Accumulator(model)
        self._whole_step = self._compiled(self._replica_step, jit)
        self._part_step = self._compiled(self._replica_part, jit)
        self._last_step = self._compiled(self._replica_end, jit)

    def _compiled(self, function: Callable[..., Any], jit: bool) -> Callable[..., Any]:
        """A function of a replica as one that the strategy runs, its results summed."""
        inner = tf.function(function, jit_compile=True) if jit else function

        def distributed(*args: Any) -> Any:
            values = self.strategy.run(inner, args=args)
            total = tf.distribute.ReduceOp.SUM
            return [self.strategy.reduce(total, value, axis=None) for value in values]

        return tf.function(distributed)

    def train_step(self, batch: Batch) -> tuple[Any, Any]:
        """One optimizer step on a global batch.

        Args:
            batch: `label` int32 `[B]` and what `frames_of` takes, distributed: `frames` uint8
                `[B, T, S, S, C]`, if nothing else was said. `video` is not used.

        Returns:
            Mean cross-entropy and number of right answers, as tensors not yet waited for.
        """
        inputs = {name: value for name, value in batch.items() if name != "video"}
        step = tf.constant(self.step, tf.int64)
        self.step += 1
        if self.accumulate == 1:
            loss, correct = self._whole_step(inputs, step)
            return loss, correct
        loss, correct = self._part_step(inputs, step, tf.constant(0))
        for part in range(1, self.accumulate):
            part_loss, part_correct = self._part_step(inputs, step, tf.constant(part))
            loss, correct = loss + part_loss, correct + part_correct
        self._last_step()
        return loss, correct

    def _replica_step(self, batch: Batch, step: Any) -> tuple[Any, Any]:
        with self._drawn(step, 0):
            loss, correct, gradients = self._gradients(self.frames_of(batch), batch["label"])
        self._apply(gradients)
        return loss, correct

    def _replica_part(self, batch: Batch, step: Any, part: Any) -> tuple[Any, Any]:
        rows = {
            name: tf.reshape(x, [self.accumulate, -1, *x.shape[1:]])[part]
            for name, x in batch.items()
        }
        before = self._accumulator.begin()
        with self._drawn(step, part):
            loss, correct, gradients = self._gradients(self.frames_of(rows), rows["label"])
        self._accumulator.add(gradients, before)
        return loss, correct

    def _replica_end(self) -> tuple[Any, ...]:
        self._apply(self._accumulator.end(self.accumulate))
        return ()

    def _drawn(self, step: Any, part: Any) -> contextlib.AbstractContextManager[None]:
        context = tf.distribute.get_replica_context()
        return dropout_seed(self.seed, step, context.replica_id_in_sync_group, part)

    def _gradients(self, frames: Any, labels: Any) -> tuple[Any, Any, list[Any]]:
        """Share in the batch's mean loss, right answers, and the share's gradients, scaled."""
        shares = self.strategy.num_replicas_in_sync * self.accumulate
        with rematerialize() if self.remat else contextlib.nullcontext(), moves_after():
            with tf.GradientTape() as tape:
                logits = self.model(frames, training=True)
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
                loss = tf.reduce_mean(losses) / shares
                scaled_loss = compat.scaled(self.optimizer, loss)
            gradients = tape.gradient(scaled_loss, self.model.trainable_variables)
        predicted = tf.argmax(logits, axis=-1, output_type=labels.dtype)
        return loss, tf.reduce_sum(tf.cast(predicted == labels, tf.int32)), gradients

    def _apply(self, gradients: list[Any]) -> None:
        variables = self.model.trainable_variables
        # The optimizer sums over replicas, the decay must count once.
        decay = self.weight_decay / self.strategy.num_replicas_in_sync
        gradients = [
            gradient + compat.scaled(self.optimizer, decay * tf.convert_to_tensor(variable))
            if decay and decayed(variable)
            else gradient
            for gradient, variable in zip(gradients, variables)
        ]
        compat.apply_scaled(self.optimizer, gradients, variables)

    def fit(
        self,
        batches: Iterator[Batch],
        epochs: Epochs,
        num_epochs: int,
        position: Position,
        learning_rate: Callable[[int], Any],
        validate: Callable[[], Logs] | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        stopping: Callable[[int], bool] = lambda step: False,
        on_stop: Callable[[], None] = lambda: None,
    ) -> bool:
        """Trains from a position up to the end of the last epoch.

        Args:
            batches: those of step `position.step` and on, distributed.
            epochs: where they end.
            num_epochs: epochs in all, those already done included.
            position: moves along.
            learning_rate: of a step, counted from 0; what the optimizer was made with.
            validate: returns the metrics of the validation set.
            callbacks: Keras callbacks. Batch ends report `loss` and `accuracy` of the epoch so
                far and the `learning_rate`, every `READ_EVERY` steps; epoch ends also
                `videos_per_second`, `input_wait_share` (of the time of its steps, 0..1) and, from
                `validate`, `val_*`; the position is that of the next epoch then. The end of
                training is reported where an error stops it too.
            stopping: of the steps taken: whether to stop here. Asked before every step.
            on_stop: called when `stopping` or, by raising `Stopped`, `validate` ended the training.

        Returns:
            Whether the last epoch is over.

        Raises:
            DataError: the loss, or a weight that was to be saved, is no longer a number.
        """
        self.step = position.step
        listeners = keras.callbacks.CallbackList(list(callbacks), model=self.model)
        try:
            try:
                # In here: what a callback has opened is closed where another one fails.
                listeners.on_train_begin()
                while position.epoch < num_epochs:
                    epoch = position.epoch
                    listeners.on_epoch_begin(epoch)
                    self._epoch(batches, epochs, position, learning_rate, listeners, stopping)
                    logs = _logs(epochs, position, learning_rate)
                    logs["videos_per_second"] = (
                        epochs.steps(epoch) * epochs.batch_size / position.seconds
                    )
                    logs["input_wait_share"] = position.waited / position.seconds
                    if validate is not None:
                        logs.update({f"val_{name}": value for name, value in validate().items()})
                    position.end_epoch(logs)
                    listeners.on_epoch_end(epoch, logs)
            except Stopped:
                # What is saved then may be found to be no numbers, as at any other time.
                on_stop()
                return False
        except FloatingPointError as error:
            rate = float(learning_rate(position.step - 1))
            raise DataError(
                f"{error}, learning rate {rate:g}: checkpoints of before are kept; "
                "try a smaller --learning_rate"
            ) from None
        finally:
            listeners.on_train_end()
        return True

    def _epoch(
        self,
        batches: Iterator[Batch],
        epochs: Epochs,
        position: Position,
        learning_rate: Callable[[int], Any],
        listeners: keras.callbacks.CallbackList,
        stopping: Callable[[int], bool],
    ) -> None:
        """What is left of the steps of an epoch."""
        first, end = epochs.end(position.epoch - 1), epochs.end(position.epoch)
        position.start_clock()
        while position.step < end:
            if stopping(position.step):
                raise Stopped
            index = position.step - first
            listeners.on_train_batch_begin(index)
            with position.waiting():
                batch = next(batches)
            position.add(*self.train_step(batch))
            logs: Logs = {}
            if position.step % READ_EVERY == 0 or position.step == end:
                position.settle()
                logs = _logs(epochs, position, learning_rate)
            listeners.on_train_batch_end(index, logs)


def _logs(epochs: Epochs, position: Position, learning_rate: Callable[[int], Any]) -> Logs:
    """Means over the steps of the epoch under way, all of them settled, and the last one's rate."""
    steps = position.step - epochs.end(position.epoch - 1)
    return {
        "loss": position.loss / steps,
        "accuracy": position.correct / (steps * epochs.batch_size),
        "learning_rate": float(learning_rate(position.step - 1)),
    }

"""The training loop: one for a single device and for every strategy, on both stacks.

Keras's own `fit` is not used, because it cannot resume exactly and because Keras 3's does not work
with every strategy. Models, optimizers and callbacks are Keras's all the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from rlstm_tf import compat
from rlstm_tf.accumulation import Accumulator
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.optimization import decayed

Batch = dict[str, Any]
Logs = dict[str, float]
# Reading a loss waits for the device, so it is done every so many steps.
READ_EVERY = 10
_DIVERGED = (
    "the loss became {loss} at step {step} or up to "
    f"{READ_EVERY - 1} before; earlier checkpoints are kept: try a smaller --learning_rate"
)


class Trainer:
    """Steps of one model on the devices of a strategy.

    Args:
        model: frames -> logits, made in the strategy's scope.
        optimizer: made there too, its slots built.
        strategy: of `rlstm_tf.devices.make_strategy`.
        weight_decay: L2 on the kernels: adds weight_decay * kernel to a kernel's gradient.
        accumulate: micro-batches that a batch is divided into, one after the other, to save memory;
            see `rlstm_tf.accumulation`.
        jit: compile the step with XLA.

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
    ) -> None:
        if jit and strategy.num_replicas_in_sync > 1:
            raise UsageError(f"--jit takes one device, not {strategy.num_replicas_in_sync}")
        self.model = model
        self.optimizer = optimizer
        self.strategy = strategy
        self.weight_decay = weight_decay
        self.accumulate = accumulate
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
            batch: `frames` uint8 `[B, T, S, S, C]` and `label` int32 `[B]`, distributed.

        Returns:
            Mean cross-entropy and number of right answers, as tensors not yet waited for.
        """
        inputs = {name: batch[name] for name in ("frames", "label")}
        if self.accumulate == 1:
            loss, correct = self._whole_step(inputs)
            return loss, correct
        loss, correct = self._part_step(inputs, tf.constant(0))
        for part in range(1, self.accumulate):
            part_loss, part_correct = self._part_step(inputs, tf.constant(part))
            loss, correct = loss + part_loss, correct + part_correct
        self._last_step()
        return loss, correct

    def _replica_step(self, batch: Batch) -> tuple[Any, Any]:
        loss, correct, gradients = self._gradients(batch["frames"], batch["label"])
        self._apply(gradients)
        return loss, correct

    def _replica_part(self, batch: Batch, part: Any) -> tuple[Any, Any]:
        frames, labels = (
            tf.reshape(x, [self.accumulate, -1, *x.shape[1:]])[part]
            for x in (batch["frames"], batch["label"])
        )
        before = self._accumulator.begin()
        loss, correct, gradients = self._gradients(frames, labels)
        self._accumulator.add(gradients, before)
        return loss, correct

    def _replica_end(self) -> tuple[Any, ...]:
        self._apply(self._accumulator.end(self.accumulate))
        return ()

    def _gradients(self, frames: Any, labels: Any) -> tuple[Any, Any, list[Any]]:
        """Share in the batch's mean loss, right answers, and the share's gradients, scaled."""
        shares = self.strategy.num_replicas_in_sync * self.accumulate
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
            if decayed(variable)
            else gradient
            for gradient, variable in zip(gradients, variables)
        ]
        compat.apply_scaled(self.optimizer, gradients, variables)

    def fit(
        self,
        batches: Iterator[Batch],
        first_step: int,
        steps_per_epoch: int,
        epochs: int,
        batch_size: int,
        learning_rate: Callable[[int], Any],
        validate: Callable[[], Logs] | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        """Trains up to the end of the last epoch.

        Args:
            batches: those of step `first_step` and on, distributed.
            first_step: steps already taken, a whole number of epochs.
            steps_per_epoch: steps in an epoch.
            epochs: epochs in all, those already done included.
            batch_size: global.
            learning_rate: of a step, counted from 0; what the optimizer was made with.
            validate: returns the metrics of the validation set.
            callbacks: Keras callbacks. Batch ends report `loss` and `accuracy` of the epoch so
                far, every `READ_EVERY` steps; epoch ends also `learning_rate`,
                `videos_per_second` and, from `validate`, `val_*`. The end of training is
                reported where an error stops it too.

        Raises:
            DataError: the loss is no longer a number.
        """
        listeners = keras.callbacks.CallbackList(list(callbacks), model=self.model)
        listeners.on_train_begin()
        try:
            for epoch in range(first_step // steps_per_epoch, epochs):
                listeners.on_epoch_begin(epoch)
                logs = self._epoch(batches, epoch, steps_per_epoch, batch_size, listeners)
                logs["learning_rate"] = float(learning_rate((epoch + 1) * steps_per_epoch - 1))
                if validate is not None:
                    logs.update({f"val_{name}": value for name, value in validate().items()})
                listeners.on_epoch_end(epoch, logs)
        finally:
            listeners.on_train_end()

    def _epoch(
        self,
        batches: Iterator[Batch],
        epoch: int,
        steps: int,
        batch_size: int,
        listeners: keras.callbacks.CallbackList,
    ) -> Logs:
        start = time.perf_counter()
        pending: list[tuple[Any, Any]] = []
        loss = correct = 0.0
        logs: Logs = {}
        for index in range(steps):
            listeners.on_train_batch_begin(index)
            pending.append(self.train_step(next(batches)))
            if len(pending) == READ_EVERY or index == steps - 1:
                for step_loss, step_correct in pending:
                    loss += float(step_loss)
                    correct += float(step_correct)
                pending.clear()
                if not math.isfinite(loss):
                    raise DataError(_DIVERGED.format(loss=loss, step=epoch * steps + index + 1))
                done = index + 1
                logs = {"loss": loss / done, "accuracy": correct / (done * batch_size)}
            listeners.on_train_batch_end(index, logs)
        seconds = time.perf_counter() - start
        logs["videos_per_second"] = steps * batch_size / seconds
        return logs

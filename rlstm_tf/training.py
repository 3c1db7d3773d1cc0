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

from rlstm_tf.errors import DataError
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
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy,
        weight_decay: float = 0.0,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.strategy = strategy
        self.weight_decay = weight_decay
        self._train_step = tf.function(self._distributed_train_step)

    def train_step(self, batch: Batch) -> tuple[Any, Any]:
        """One optimizer step on a global batch.

        Args:
            batch: `frames` uint8 `[B, T, S, S, 3]` and `label` int32 `[B]`, distributed.

        Returns:
            Mean cross-entropy and number of right answers, as tensors not yet waited for.
        """
        return self._train_step(batch)

    def _distributed_train_step(self, batch: Batch) -> tuple[Any, Any]:
        values = self.strategy.run(self._replica_train_step, args=(batch,))
        total = tf.distribute.ReduceOp.SUM
        loss, correct = (self.strategy.reduce(total, value, axis=None) for value in values)
        return loss, correct

    def _replica_train_step(self, batch: Batch) -> tuple[Any, Any]:
        variables = self.model.trainable_variables
        replicas = self.strategy.num_replicas_in_sync
        labels = batch["label"]
        with tf.GradientTape() as tape:
            logits = self.model(batch["frames"], training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses) / replicas
        gradients = tape.gradient(loss, variables)
        # The optimizer sums over replicas, the decay must count once.
        decay = self.weight_decay / replicas
        gradients = [
            gradient + decay * tf.convert_to_tensor(variable) if decayed(variable) else gradient
            for gradient, variable in zip(gradients, variables)
        ]
        self.optimizer.apply_gradients(zip(gradients, variables))
        predicted = tf.argmax(logits, axis=-1, output_type=labels.dtype)
        return loss, tf.reduce_sum(tf.cast(predicted == labels, tf.int32))

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

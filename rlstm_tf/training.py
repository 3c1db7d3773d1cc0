"""The training loop: one for a single device and for every strategy, on both stacks.

Keras's own `fit` is not used, because it cannot resume exactly and because Keras 3's does not work
with every strategy. Models, optimizers and callbacks are Keras's all the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rlstm_tf import metrics
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


def make_strategy(name: str) -> tf.distribute.Strategy:
    """The devices to train on.

    Args:
        name: `"none"` (one device), `"mirrored"` (all GPUs of this machine, or all its logical CPU
            devices), `"auto"` (mirrored where there are several GPUs).
    """
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


class Trainer:
    """Steps of one model on the devices of a strategy.

    Args:
        model: frames -> logits, made in the strategy's scope.
        optimizer: made there too, its slots built; None for evaluation alone.
        strategy: of `make_strategy`.
        weight_decay: L2 on the kernels: adds weight_decay * kernel to a kernel's gradient.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer | None,
        strategy: tf.distribute.Strategy,
        weight_decay: float = 0.0,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.strategy = strategy
        self.weight_decay = weight_decay
        self._train_step = tf.function(self._distributed_train_step)
        self._score_step = tf.function(self._distributed_score_step)

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

    def _distributed_score_step(self, frames: Any) -> Any:
        scores = self.strategy.run(self._replica_scores, args=(frames,))
        return self.strategy.gather(scores, axis=0)

    def _replica_scores(self, frames: Any) -> Any:
        if frames.shape[1] == 1:
            return self.model(frames[:, 0], training=False)
        views = tf.transpose(frames, [1, 0, 2, 3, 4, 5])
        logits = tf.map_fn(
            lambda view: self.model(view, training=False),
            views,
            fn_output_signature=tf.float32,
            parallel_iterations=1,
        )
        return tf.reduce_mean(logits, axis=0)

    def score(
        self, batches: Iterable[Batch], num_videos: int, progress: Callable[[int], Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores of every video once, averaged over its views before softmax.

        Args:
            batches: `frames` uint8 `[B, views, T, S, S, 3]`, `video` int64 `[B]`, -1 where a row
                only fills the batch.
            num_videos: how many there must be.
            progress: called with the number of videos of each batch.

        Returns:
            positions of the videos `[V]`, 0 ... V - 1, and their logits `[V, classes]`.

        Raises:
            DataError: a video is missing or came twice.
        """
        videos, scores = [], []
        for batch in batches:
            logits = self._score_step(batch["frames"]).numpy()
            number = self.strategy.gather(batch["video"], axis=0).numpy()
            videos.append(number[number >= 0])
            scores.append(logits[number >= 0])
            progress(len(videos[-1]))
        order = np.concatenate(videos)
        if sorted(order) != list(range(num_videos)):
            raise DataError(f"evaluation saw {len(set(order))} of {num_videos} videos once each")
        return np.sort(order), np.concatenate(scores)[np.argsort(order)]

    def distribute(self, dataset: tf.data.Dataset, batch_size: int) -> Any:
        """A dataset of global batches, divided among the replicas.

        Raises:
            UsageError: the batch cannot be divided evenly.
        """
        replicas = self.strategy.num_replicas_in_sync
        if batch_size % replicas:
            raise UsageError(f"batch_size {batch_size} is no multiple of {replicas} replicas")
        return self.strategy.experimental_distribute_dataset(dataset)

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
                `videos_per_second` and, from `validate`, `val_*`.

        Raises:
            DataError: the loss is no longer a number.
        """
        listeners = keras.callbacks.CallbackList(list(callbacks), model=self.model)
        listeners.on_train_begin()
        for epoch in range(first_step // steps_per_epoch, epochs):
            listeners.on_epoch_begin(epoch)
            logs = self._epoch(batches, epoch, steps_per_epoch, batch_size, listeners)
            logs["learning_rate"] = float(learning_rate((epoch + 1) * steps_per_epoch - 1))
            if validate is not None:
                logs.update({f"val_{name}": value for name, value in validate().items()})
            listeners.on_epoch_end(epoch, logs)
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


def summarize(trainer: Trainer, shards: Any, batches: Iterable[Batch]) -> Logs:
    """Loss and accuracy of a set of shards, for validation between epochs."""
    videos, logits = trainer.score(batches, len(shards.labels), progress=lambda count: None)
    result = metrics.summarize(shards.labels[videos], logits)
    return {name: result[name] for name in ("loss", "accuracy")}

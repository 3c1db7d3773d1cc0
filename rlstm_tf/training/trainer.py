"""Training steps, for a single device and every strategy, on both stacks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rlstm_tf import compat
from rlstm_tf.data.device_augmentation import swap_pairs
from rlstm_tf.errors import UsageError
from rlstm_tf.layers.batch_normalization import defer_statistics_updates
from rlstm_tf.models.dropout import dropout_seed
from rlstm_tf.models.rematerialization import rematerialize
from rlstm_tf.runs.checkpoints import named_variables
from rlstm_tf.training.averaging import WeightAverage
from rlstm_tf.training.gradient_accumulation import Accumulator
from rlstm_tf.training.losses import cross_entropy
from rlstm_tf.training.optimizers import is_decayed

Batch = dict[str, Any]


class Trainer:
    """Trains a model on the devices of a strategy.

    Args:
        model: frames -> logits, created in the strategy's scope.
        optimizer: created there too, with its slots.
        strategy: from `rlstm_tf.distributed.strategy.make_strategy`.
        weight_decay: L2 on the kernels: adds weight_decay * kernel to a kernel's gradient; 0 with
            an optimizer that has its own decay.
        accumulate: micro-batches per batch, processed in turn to save memory; see
            `rlstm_tf.training.gradient_accumulation`.
        jit: compile the step with XLA.
        seed: seed of dropout.
        remat: recompute the trunk's activations in the backward pass, to save memory; see
            `rlstm_tf.models.rematerialization`.
        preprocess: computes the model's frames from a replica's rows, on the device; returns their
            `frames` unchanged by default.
        clip_norm: largest global norm of a step's gradients, without weight decay; larger ones are
            scaled down. None = no limit, as in the paper.
        class_weights, label_smoothing: as in `rlstm_tf.training.losses.cross_entropy`.
        average: average of the weights, to be kept up with them.
        pretrained_factor: factor on the steps of the weights in `pretrained`, hence on their
            learning rate.
        upper: the part of the model that takes what `preprocess` returns; default: all of it. What
            stands below it has no trainable weights.

    Attributes:
        step: optimizer steps taken; keys dropout.
        pretrained: trainable weights that come from another training. Set it before the first
            step.

    Raises:
        UsageError: `jit` with several replicas, which XLA cannot reduce.
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
        preprocess: Callable[[Batch], Any] = itemgetter("frames"),
        clip_norm: float | None = None,
        class_weights: np.ndarray | None = None,
        label_smoothing: float = 0.0,
        average: WeightAverage | None = None,
        pretrained_factor: float = 1.0,
        upper: keras.Model | None = None,
    ) -> None:
        if jit and strategy.num_replicas_in_sync > 1:
            raise UsageError(f"--jit takes one device, not {strategy.num_replicas_in_sync}")
        self.model = model
        self.upper = upper or model
        self.optimizer = optimizer
        self.strategy = strategy
        self.weight_decay = weight_decay
        self.accumulate = accumulate
        self.seed = seed
        self.remat = remat
        self.preprocess = preprocess
        self.clip_norm = clip_norm
        self.class_weights = class_weights
        self.label_smoothing = label_smoothing
        self.average = average
        self.pretrained_factor = pretrained_factor
        self.pretrained: Sequence[Any] = ()
        self.step = 0
        if accumulate > 1:
            with strategy.scope():
                self._accumulator = Accumulator(model)
        self._full_step = self._compiled(self._replica_step, jit, updates=True)
        self._micro_step = self._compiled(self._replica_micro_step, jit)
        self._apply_step = self._compiled(self._replica_apply, jit, updates=True)

    def variables(self) -> dict[str, Any]:
        """Returns what a checkpoint of this training holds, by name."""
        variables = named_variables(self.model, self.optimizer)
        return self.average.add_to(variables) if self.average else variables

    def final_weights(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the model has the weights that the training is to give."""
        return self.average.in_model() if self.average else contextlib.nullcontext()

    def _compiled(
        self, function: Callable[..., Any], jit: bool, updates: bool = False
    ) -> Callable[..., Any]:
        """Compiles a replica's function to run on all replicas and sum the results.

        If it `updates` the weights, its last argument is the number of steps taken before.
        """
        # AutoGraph rewrites Python control flow: there is none, and tracing is faster without it.
        inner = tf.function(function, jit_compile=True, autograph=False) if jit else function

        def distributed(*args: Any) -> Any:
            with self._update(args[-1]) if updates else contextlib.nullcontext():
                values = self.strategy.run(inner, args=args)
            total = tf.distribute.ReduceOp.SUM
            return [self.strategy.reduce(total, value, axis=None) for value in values]

        return tf.function(distributed, autograph=False)

    @contextlib.contextmanager
    def _update(self, step: Any) -> Iterator[None]:
        """Scales the updates in this context of pretrained weights, then averages all weights.

        An update is proportional to the learning rate, for every optimizer (of `lamb` but for the
        square of the weight decay), so that a factor on one is a factor on the other.
        """
        before = [tf.identity(tf.convert_to_tensor(weight)) for weight in self.pretrained]
        yield
        for weight, old in zip(self.pretrained, before):
            new = tf.convert_to_tensor(weight)
            weight.assign(old + self.pretrained_factor * (new - old))
        if self.average is not None:
            self.average.update(step)

    def train_step(self, batch: Batch) -> tuple[Any, Any]:
        """Takes one optimizer step on a global batch.

        Args:
            batch: distributed tensors: `label` int32 `[B]` and the input of `preprocess`, by
                default `frames` uint8 `[B, T, S, S, C]`. With `share` float32 `[B]`, `preprocess`
                mixes pairs, see `rlstm_tf.data.device_augmentation.mix`. `video` is ignored.

        Returns:
            Mean cross-entropy, weighted by class, and number of correct predictions (of the video
            with the larger share), as tensors that may still be computed.
        """
        inputs = {name: value for name, value in batch.items() if name != "video"}
        step = tf.constant(self.step, tf.int64)
        self.step += 1
        if self.accumulate == 1:
            loss, correct = self._full_step(inputs, step)
            return loss, correct
        loss, correct = self._micro_step(inputs, step, tf.constant(0))
        for index in range(1, self.accumulate):
            micro_loss, micro_correct = self._micro_step(inputs, step, tf.constant(index))
            loss, correct = loss + micro_loss, correct + micro_correct
        self._apply_step(step)
        return loss, correct

    def _replica_step(self, batch: Batch, step: Any) -> tuple[Any, Any]:
        with self._dropout_seed(step, 0):
            loss, correct, gradients = self._gradients(batch)
        self._apply(gradients)
        return loss, correct

    def _replica_micro_step(self, batch: Batch, step: Any, index: Any) -> tuple[Any, Any]:
        rows = {
            name: tf.reshape(x, [self.accumulate, -1, *x.shape[1:]])[index]
            for name, x in batch.items()
        }
        before = self._accumulator.begin()
        with self._dropout_seed(step, index):
            loss, correct, gradients = self._gradients(rows)
        self._accumulator.add(gradients, before)
        return loss, correct

    def _replica_apply(self, step: Any) -> tuple[Any, ...]:
        self._apply(self._accumulator.end(self.accumulate))
        return ()

    def _dropout_seed(self, step: Any, index: Any) -> contextlib.AbstractContextManager[None]:
        context = tf.distribute.get_replica_context()
        return dropout_seed(self.seed, step, context.replica_id_in_sync_group, index)

    def _gradients(self, rows: Batch) -> tuple[Any, Any, list[Any]]:
        """Returns the rows' part of the mean loss, correct predictions, and scaled gradients."""
        num_parts = self.strategy.num_replicas_in_sync * self.accumulate
        inputs, labels, shares = self.preprocess(rows), rows["label"], rows.get("share")
        with (
            rematerialize() if self.remat else contextlib.nullcontext(),
            defer_statistics_updates(),
        ):
            # Watches the trained weights alone, so that nothing below them is differentiated.
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(compat.tensorflow_variables(self.model.trainable_variables))
                logits = self.upper(inputs, training=True)
                losses = self._losses(logits, labels)
                if shares is not None:
                    others = swap_pairs(labels)
                    losses = shares * losses + (1 - shares) * self._losses(logits, others)
                    labels = tf.where(shares < 0.5, others, labels)
                loss = tf.reduce_mean(losses) / num_parts
                scaled_loss = compat.scale_loss(self.optimizer, loss)
            gradients = tape.gradient(scaled_loss, self.model.trainable_variables)
        predicted = tf.argmax(logits, axis=-1, output_type=labels.dtype)
        return loss, tf.reduce_sum(tf.cast(predicted == labels, tf.int32)), gradients

    def _losses(self, logits: Any, labels: Any) -> Any:
        return cross_entropy(logits, labels, self.class_weights, self.label_smoothing)

    def _apply(self, gradients: list[Any]) -> None:
        variables = self.model.trainable_variables
        if self.clip_norm is not None:
            gradients = self._clip(gradients, self.clip_norm)
        # The optimizer sums over replicas; the decay must count once.
        decay = self.weight_decay / self.strategy.num_replicas_in_sync
        gradients = [
            gradient + compat.scale_loss(self.optimizer, decay * tf.convert_to_tensor(variable))
            if decay and is_decayed(variable)
            else gradient
            for gradient, variable in zip(gradients, variables)
        ]
        compat.apply_scaled(self.optimizer, gradients, variables)

    def _clip(self, gradients: list[Any], norm: float) -> list[Any]:
        """Clips by the global norm of the sum over replicas, which Keras would do on each."""
        gradients = compat.replica_mean(gradients)
        limit = tf.constant(norm / self.strategy.num_replicas_in_sync)
        return tf.clip_by_global_norm(gradients, compat.scale_loss(self.optimizer, limit))[0]

"""Optimizers and learning rates. The paper's: SGD with momentum, steps down, L2 on the kernels.

The other optimizers decouple weight decay (Loshchilov and Hutter, arXiv 1711.05101).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from rlstm_tf import addons, compat


class StepSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Divides the learning rate by 10 after each of the given steps.

    Args:
        learning_rate: rate of the first step; 5e-4 in the paper.
        drop_steps: step counts after which the rate drops; the ends of epochs 35 and 45 in the
            paper's spatial stream.
    """

    def __init__(self, learning_rate: float, drop_steps: Sequence[int]) -> None:
        self.learning_rate = learning_rate
        self.drop_steps = list(drop_steps)

    def __call__(self, step: Any) -> Any:
        """Returns the rate of a step, counted from 0."""
        rate = tf.constant(self.learning_rate, tf.float32)
        for drop in self.drop_steps:
            rate = tf.where(tf.cast(step, tf.int64) >= drop, rate * 0.1, rate)
        return rate

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"learning_rate": self.learning_rate, "drop_steps": self.drop_steps}


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Multiplies the learning rate by a factor that rises linearly to 1 over the first steps.

    Args:
        schedule: the rate without it.
        steps: number of steps; the first one takes 1 / steps of the rate.
    """

    def __init__(
        self, schedule: keras.optimizers.schedules.LearningRateSchedule, steps: int
    ) -> None:
        self.schedule = schedule
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        """Returns the rate of a step, counted from 0."""
        return self.schedule(step) * tf.minimum((tf.cast(step, tf.float32) + 1) / self.steps, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"schedule": self.schedule, "steps": self.steps}


def make_schedule(
    name: str,
    learning_rate: float,
    drop_steps: Sequence[int],
    num_steps: int,
    warmup_steps: int = 0,
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Creates the schedule of the learning rate by name.

    Args:
        name: one of `rlstm_tf.choices.SCHEDULES`: `steps`, the paper's, or `cosine`, half a cosine
            that falls to 0 over the training (Loshchilov and Hutter, arXiv 1608.03983, without
            restarts).
        learning_rate: rate of the first step.
        drop_steps: step counts after which the rate of `steps` drops.
        num_steps: steps of the whole training, over which `cosine` falls.
        warmup_steps: steps of `WarmUp`; 0 in the paper.
    """
    schedule: Any = StepSchedule(learning_rate, drop_steps)
    if name == "cosine":
        schedule = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
    return WarmUp(schedule, warmup_steps) if warmup_steps else schedule


def sgd(
    learning_rate: Any, momentum: float, variables: list[Any], scale_loss: bool = False
) -> keras.optimizers.Optimizer:
    """Creates SGD with momentum, with its slots.

    Args:
        learning_rate: a number or a schedule.
        momentum: 0.9 in the paper.
        variables: the trainable variables.
        scale_loss: scale the loss, so that small float16 gradients do not vanish; a step whose
            scaled gradients overflow is skipped, and the scale halved.
    """
    return _ready(keras.optimizers.SGD(learning_rate, momentum=momentum), variables, scale_loss)


def make_optimizer(
    name: str,
    learning_rate: keras.optimizers.schedules.LearningRateSchedule,
    momentum: float,
    weight_decay: float,
    variables: list[Any],
    scale_loss: bool = False,
) -> keras.optimizers.Optimizer:
    """Creates an optimizer by name, with its slots, in the strategy's scope.

    The trainer adds the weight decay of `sgd` to its gradients. The others compute
    kernel -= rate * weight_decay * kernel themselves before each step, for `is_decayed` variables.

    Args:
        name: one of `rlstm_tf.choices.OPTIMIZERS`.
        learning_rate: the schedule.
        momentum: momentum of `sgd` and `sgdw`.
        weight_decay: decay of all but `sgd`.
        variables: the trainable variables.
        scale_loss: as in `sgd`.

    Raises:
        UsageError: `lamb` with Keras 2.15 but without tensorflow-addons.
    """
    if name == "sgd":
        return sgd(learning_rate, momentum, variables, scale_loss)
    kernels = [variable for variable in variables if is_decayed(variable)]
    if name == "lamb" and not compat.KERAS_3:
        return _ready(addons.lamb(learning_rate, weight_decay, kernels), variables, scale_loss)
    if name == "sgdw":
        optimizer = keras.optimizers.SGD(
            learning_rate, momentum=momentum, weight_decay=weight_decay
        )
    elif name == "adamw":
        optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay)
    else:
        optimizer = keras.optimizers.Lamb(learning_rate, weight_decay=weight_decay)
    # By variable: Keras would match a name anywhere in another one.
    others = [variable for variable in variables if not is_decayed(variable)]
    optimizer.exclude_from_weight_decay(others)
    return _ready(optimizer, variables, scale_loss)


def _ready(optimizer: Any, variables: list[Any], scale_loss: bool) -> Any:
    if scale_loss:
        optimizer = compat.add_loss_scaling(optimizer)
    compat.create_slots(optimizer, variables)
    return optimizer


def is_decayed(variable: Any) -> bool:
    """Returns whether weight decay applies: to kernels, but not to biases, gamma and beta."""
    name = variable.name.split("/")[-1].split(":")[0]
    return name.endswith("kernel") or name.endswith("w_f")

"""The paper's optimizer: SGD with momentum, steps in the learning rate, L2 on the kernels.

And others by name, whose weight decay is decoupled (Loshchilov and Hutter, arXiv 1711.05101).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from rlstm_tf import addons, compat


class StepSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that is divided by 10 after each of some numbers of steps.

    Args:
        learning_rate: of the first step; 5e-4 in the paper.
        drop_steps: steps after which it falls; those of 35 and 45 epochs for the paper's spatial
            stream.
    """

    def __init__(self, learning_rate: float, drop_steps: Sequence[int]) -> None:
        self.learning_rate = learning_rate
        self.drop_steps = list(drop_steps)

    def __call__(self, step: Any) -> Any:
        """The rate of a step, counted from 0."""
        rate = tf.constant(self.learning_rate, tf.float32)
        for drop in self.drop_steps:
            rate = tf.where(tf.cast(step, tf.int64) >= drop, rate * 0.1, rate)
        return rate

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"learning_rate": self.learning_rate, "drop_steps": self.drop_steps}


def sgd(
    learning_rate: Any, momentum: float, variables: list[Any], scale_loss: bool = False
) -> keras.optimizers.Optimizer:
    """SGD with momentum, its slots made.

    Args:
        learning_rate: a number or a schedule.
        momentum: 0.9 in the paper.
        variables: what it will train.
        scale_loss: for float16, whose small gradients would vanish; steps whose scaled gradients
            overflow are left out, and the scale halved.
    """
    return _ready(keras.optimizers.SGD(learning_rate, momentum=momentum), variables, scale_loss)


def make_optimizer(
    name: str,
    learning_rate: StepSchedule,
    momentum: float,
    weight_decay: float,
    variables: list[Any],
    scale_loss: bool = False,
) -> keras.optimizers.Optimizer:
    """An optimizer by name, its slots made. Make it in the strategy's scope.

    All but `sgd`, whose decay is the trainer's, themselves do kernel -= rate * weight_decay *
    kernel, on what is `decayed`, before each step.

    Args:
        name: one of `rlstm_tf.choices.OPTIMIZERS`.
        learning_rate: of a step.
        momentum: of `sgd` and `sgdw`.
        weight_decay: of the others than `sgd`.
        variables: what it will train.
        scale_loss: as in `sgd`.

    Raises:
        UsageError: `lamb` without tensorflow-addons, where Keras has none.
    """
    if name == "sgd":
        return sgd(learning_rate, momentum, variables, scale_loss)
    kernels = [variable for variable in variables if decayed(variable)]
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
    # Variables, not names: Keras would look for these anywhere in a name.
    others = [variable for variable in variables if not decayed(variable)]
    optimizer.exclude_from_weight_decay(others)
    return _ready(optimizer, variables, scale_loss)


def _ready(optimizer: Any, variables: list[Any], scale_loss: bool) -> Any:
    if scale_loss:
        optimizer = compat.loss_scaling(optimizer)
    compat.make_slots(optimizer, variables)
    return optimizer


def decayed(variable: Any) -> bool:
    """Whether weight decay applies: to kernels, not to biases, nor to gamma and beta."""
    name = variable.name.split("/")[-1].split(":")[0]
    return name.endswith("kernel") or name.endswith("w_f")

"""The paper's optimizer: SGD with momentum, steps in the learning rate, L2 on the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


def step_schedule(
    learning_rate: float, drop_epochs: Sequence[int], steps_per_epoch: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """A learning rate that is divided by 10 after each of some epochs.

    Args:
        learning_rate: of the first epoch; 5e-4 in the paper.
        drop_epochs: epochs after which it falls; (35, 45) for the paper's spatial stream.
        steps_per_epoch: optimizer steps in an epoch.
    """
    # The schedule keeps a value up to and including its boundary; steps count from 0.
    boundaries = [epoch * steps_per_epoch - 1 for epoch in drop_epochs]
    values = [learning_rate * 0.1**drops for drops in range(len(boundaries) + 1)]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, values)


def sgd(learning_rate: Any, momentum: float, variables: list[Any]) -> keras.optimizers.Optimizer:
    """SGD with momentum, its slots made.

    Args:
        learning_rate: a number or a schedule.
        momentum: 0.9 in the paper.
        variables: what it will train.
    """
    optimizer = keras.optimizers.SGD(learning_rate, momentum=momentum)
    optimizer.build(variables)
    return optimizer


def decayed(variable: Any) -> bool:
    """Whether weight decay applies: to kernels, not to biases, nor to gamma and beta."""
    name = variable.name.split("/")[-1].split(":")[0]
    return name.endswith("kernel") or name.endswith("w_f")

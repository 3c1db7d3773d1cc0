"""The TensorBoard callbacks of a run."""

from __future__ import annotations

from typing import Any

import keras

from rlstm_tf.attention.maps import find_relational_lstm
from rlstm_tf.summaries.description import Description
from rlstm_tf.summaries.events import Events
from rlstm_tf.summaries.gates import Gates
from rlstm_tf.summaries.pictures import AugmentedBatch, Errors
from rlstm_tf.summaries.profiling import Profile
from rlstm_tf.summaries.scalars import Scalars
from rlstm_tf.training.loop import Progress


def callbacks(
    progress: Progress, hparams: dict[str, Any], profiled_steps: tuple[int, int] | None
) -> list[keras.callbacks.Callback]:
    """Creates the callbacks that write a run's TensorBoard files, for the chief.

    Drops events of steps that will be repeated.

    Args:
        progress: training that is about to start.
        hparams: settings by name, for the HParams dashboard.
        profiled_steps: first and last step to profile, if any.
    """
    inputs, config, validation = progress.inputs, progress.config, progress.validation
    directory, epochs, shards = inputs.run.tensorboard, inputs.epochs, inputs.shards
    events = Events(directory, epochs, progress.state)
    name = inputs.mirror.display_path(inputs.run.path.resolve())
    metrics = ("epoch/loss", "epoch/accuracy")
    if validation:
        several = validation.shards.manifest.multi_label
        metrics = ("val/map", "epoch/loss") if several else ("val/accuracy", "val/loss")
    result: list[keras.callbacks.Callback] = [
        Description(events, name, hparams, metrics),
        Scalars(events),
    ]
    if progress.maps is None:
        result.append(AugmentedBatch(events, epochs, shards, config))
    if validation:
        result.append(Errors(events, validation, config))
    layer = find_relational_lstm(progress.model)
    if layer is not None:
        result.append(Gates(events, layer, validation.shards if validation else shards, config))
    if profiled_steps:
        result.append(Profile(directory, *profiled_steps, progress.steps_left))
    return result

"""All callbacks of this package for one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from rlstm_tf.attention.maps import relational_lstm_of
from rlstm_tf.data.batch_schedule import Epochs
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.shards import Shards
from rlstm_tf.summaries.description import Description
from rlstm_tf.summaries.events import Events
from rlstm_tf.summaries.gates import Gates
from rlstm_tf.summaries.pictures import AugmentedBatch, Errors
from rlstm_tf.summaries.profiling import Profile
from rlstm_tf.summaries.scalars import Scalars
from rlstm_tf.training.state import Position
from rlstm_tf.training.validation import Validation


def callbacks(
    directory: Path,
    name: str,
    model: keras.Model,
    epochs: Epochs,
    position: Position,
    config: InputConfig,
    shards: Shards,
    validation: Validation | None,
    hparams: dict[str, Any],
    profiled: tuple[int, int] | None,
    steps_left: int,
) -> list[keras.callbacks.Callback]:
    """Callbacks that write all that TensorBoard shows; for the process that writes.

    Args:
        directory: of the event files; what stands there of steps that are about to be run again is
            dropped.
        name: of the run, for `Description`.
        model: that is trained.
        epochs: where they end.
        position: of the run.
        config: of the frames.
        shards: what is trained on.
        validation: of the run, if it has one.
        hparams: for `Description`.
        profiled: first and last step of a `Profile`, if there is to be one.
        steps_left: of the run.
    """
    events = Events(directory, epochs, position)
    metrics = ("epoch/loss", "epoch/accuracy")
    if validation:
        several = validation.shards.manifest.multi_label
        metrics = ("val/map", "epoch/loss") if several else ("val/accuracy", "val/loss")
    found: list[keras.callbacks.Callback] = [
        Description(events, name, hparams, metrics),
        Scalars(events),
        AugmentedBatch(events, epochs, shards, config),
    ]
    if validation:
        found.append(Errors(events, validation, config))
    layer = relational_lstm_of(model)
    if layer is not None:
        found.append(Gates(events, layer, validation.shards if validation else shards, config))
    if profiled:
        found.append(Profile(directory, *profiled, steps_left))
    return found

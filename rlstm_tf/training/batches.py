"""Batches of a training, of frames or of cached maps, on this process's devices."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import keras

from rlstm_tf.cached_maps import batches as batches_of_maps
from rlstm_tf.cached_maps.builder import open_cache
from rlstm_tf.cached_maps.cached_maps import CachedMaps
from rlstm_tf.data import pipeline
from rlstm_tf.distributed.strategy import distribute_batches
from rlstm_tf.training.inputs import Inputs
from rlstm_tf.training.settings import TrainSettings


def open_maps(settings: TrainSettings, inputs: Inputs, model: keras.Model) -> CachedMaps | None:
    """Opens the cache to train from, if there is to be one; makes what is missing of it.

    Args:
        settings: the settings.
        inputs: the inputs of the training.
        model: the network, with its restored or initial weights.

    Raises:
        UserError: as in `rlstm_tf.cached_maps.builder.open_cache`.
    """
    if settings.cache is None:
        return None
    return open_cache(model, inputs.shards, settings.input, settings.cache, settings.data)


def training_batches(
    inputs: Inputs, config: pipeline.InputConfig, first_step: int, maps: CachedMaps | None
) -> Generator[Any, None, None]:
    """Yields the batches of this process's replicas from a step on.

    Args:
        inputs: the inputs of the training.
        config: how frames are sampled, augmented and batched.
        first_step: the step.
        maps: maps to train from, in place of frames.
    """
    if maps is not None:
        batches = distribute_batches(
            inputs.strategy,
            lambda replicas: batches_of_maps.training_batches(maps, first_step, replicas),
        )
    else:
        batches = distribute_batches(
            inputs.strategy,
            lambda replicas: pipeline.training_batches(
                inputs.shards, config, first_step, replicas=replicas
            ),
        )
    return pipeline.iterate(batches, inputs.shards)

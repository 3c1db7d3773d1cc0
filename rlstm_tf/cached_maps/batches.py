"""Training batches of cached maps, as a function of their position like those of frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rlstm_tf.cached_maps.cached_maps import CachedMaps
from rlstm_tf.data.batch_schedule import ALL, EpochSchedule, ReplicaSlice
from rlstm_tf.data.batches import Batch
from rlstm_tf.data.device_augmentation import mix
from rlstm_tf.data.memory import aligned_empty
from rlstm_tf.data.pipeline import map_parallel
from rlstm_tf.data.rng import rng_at
from rlstm_tf.data.sample_draw import draw_sample
from rlstm_tf.errors import UsageError


def training_batches(
    maps: CachedMaps, first_step: int = 0, replicas: ReplicaSlice = ALL
) -> tf.data.Dataset:
    """Makes the batches of a training run from a step on; use `pipeline.iterate` for them.

    Args:
        maps: maps of the training subset.
        first_step: step of the run that the first batch belongs to.
        replicas: the rows of each batch to make; default: all.

    Returns:
        Slices of R rows in the order of `replicas`, as `training_rows` makes them.

    Raises:
        UsageError: a batch has more rows than there are samples, or cannot be divided.
    """
    shards, config = maps.plan.shards, maps.plan.config
    EpochSchedule(len(shards.samples), config.batch_size)
    size = replicas.rows_per_replica(config.batch_size)
    shape = (size, config.num_segments, *maps.plan.map_shape)
    signature = {
        "maps": (tf.float32, shape),
        "label": (tf.int32, (size,)),
        "video": (tf.int64, (size,)),
    }
    if config.mixup:
        signature["share"] = (tf.float32, (size,))

    def make_rows(number: int) -> Batch:
        return training_rows(maps, replicas.offset(number, config.batch_size), size)

    slices = tf.data.Dataset.counter(first_step * replicas.num_local)
    dataset = map_parallel(slices, make_rows, shards, signature, None)
    return dataset.prefetch(replicas.num_local)


def training_rows(maps: CachedMaps, first: int, count: int) -> Batch:
    """Makes consecutive samples of a run.

    A sample has the video, the mirroring and the snippets that it has without a cache; its crop is
    one of the cached ones, each equally likely.

    Args:
        maps: maps of the training subset.
        first: index of the first sample, counted from the start of the run.
        count: number of rows R.

    Returns:
        `maps` float32 [R, T, H, W, C], `label` int32 [R], `video` int64 [R];
        with mixup, `share` float32 [R].

    Raises:
        DataError: a map is damaged.
    """
    plan = maps.plan
    shards, config = plan.shards, plan.config
    height, width, channels = plan.map_shape
    memory = aligned_empty((count, config.num_segments, height, width, 4 * channels))
    found = memory.view(np.float32)
    positions = [divmod(first + row, len(shards.samples)) for row in range(count)]
    draws = [draw_sample(shards, config, *position) for position in positions]
    for draw, position, out in zip(draws, positions, found):
        box = int(rng_at(config.seed, *position, purpose=6).integers(plan.num_boxes))
        flip = draw.flip and True in plan.flips
        out[...] = maps.read(draw.video, flip, box, draw.frames[:, 0])
    batch = {
        "maps": found,
        "label": np.array([draw.label for draw in draws], np.int32),
        "video": np.array([draw.video for draw in draws], np.int64),
    }
    if config.mixup:
        batch["share"] = np.array([draw.share for draw in draws], np.float32)
    return batch


def upper_network(model: keras.Model) -> keras.Model:
    """Returns what stands above the trunk of a network, sharing its layers.

    Returns:
        Model of maps `[batch * T, H, W, C]` -> logits `[batch, classes]`.

    Raises:
        UsageError: a weight of the trunk is trained.
    """
    if model.get_layer("trunk").trainable_weights:
        raise UsageError("--cache_maps: the trunk's maps must not change, give --freeze=trunk")
    return keras.Model(model.get_layer("maps").output, model.output, name="above_trunk")


def take_maps(upper: keras.Model) -> Callable[[Batch], Any]:
    """Returns a function from a batch to the input of `upper_network`; mixup mixes maps."""
    shape, dtype = upper.input_shape[1:], upper.inputs[0].dtype

    def preprocess(batch: Batch) -> Any:
        maps = batch["maps"]
        if "share" in batch:
            maps = mix(maps, batch["share"])
        return tf.cast(tf.reshape(maps, (-1, *shape)), dtype)

    return preprocess

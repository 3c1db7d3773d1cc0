"""Batches as pairs (frames, labels), as `keras.Model.fit`, `evaluate` and `predict` take them."""

from __future__ import annotations

import tensorflow as tf

from rlstm_tf.data.device_augmentation import make_preprocess
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.pipeline import evaluation_batches, training_batches
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import UsageError


def training_pairs(shards: Shards, config: InputConfig, first_step: int = 0) -> tf.data.Dataset:
    """Makes the batches of a training, without end: `fit` needs `steps_per_epoch`.

    Args:
        shards: shards of the training subset, N samples.
        config: batch options; `N // batch_size` steps are an epoch.
        first_step: step of the training that the first batch belongs to, to resume one.

    Returns:
        frames uint8 [B, T, S, S, C], RGB 0..255 or flow levels, and labels int32 [B].

    Raises:
        DataError: the shards do not fit the config.
        UsageError: a batch has more rows than there are samples, or mixup is asked for.
    """
    if config.mixup:
        raise UsageError(f"mixup={config.mixup:g}: a pair has one label, a mixed clip has two")
    preprocess = make_preprocess(config)
    batches = training_batches(shards, config, first_step)
    return batches.map(lambda batch: (preprocess(batch), batch["label"]))


def evaluation_pairs(shards: Shards, config: InputConfig) -> tf.data.Dataset:
    """Makes one view of every video, the center of its segments, in the order of the shards.

    Args:
        shards: shards of the subset.
        config: batch options; those of training are ignored.

    Returns:
        frames as in `training_pairs`, and labels int32 [B], or bool [B, classes] where a video may
        have any number of labels. The last batch may be smaller.

    Raises:
        DataError: the shards do not fit the config.
    """
    labels = tf.constant(shards.labels)

    def pair(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        # The pipeline pads the last batch with rows that belong to no video.
        rows = tf.where(batch["video"] >= 0)[:, 0]
        videos = tf.gather(batch["video"], rows)
        return tf.gather(batch["frames"][:, 0], rows), tf.gather(labels, videos)

    return evaluation_batches(shards, config).map(pair)

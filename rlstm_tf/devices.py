"""Which devices a run uses, and how batches reach them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from rlstm_tf.errors import UsageError


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


def distribute(strategy: tf.distribute.Strategy, dataset: tf.data.Dataset, batch_size: int) -> Any:
    """A dataset of global batches, divided among the replicas.

    Raises:
        UsageError: the batch cannot be divided evenly.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise UsageError(f"batch_size {batch_size} is no multiple of {replicas} replicas")
    return strategy.experimental_distribute_dataset(dataset)

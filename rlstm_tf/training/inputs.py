"""Inputs of a training: shards, devices and the run's directory, opened and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from rlstm_tf.cached_maps.plan import check_augmentation
from rlstm_tf.cli.flags import check_batch_size
from rlstm_tf.data import pipeline
from rlstm_tf.data.batch_schedule import EpochSchedule
from rlstm_tf.data.shards import Shards
from rlstm_tf.distributed.consistency import assert_same_config
from rlstm_tf.distributed.strategy import current_worker, make_strategy
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.runs.directory import RunDirectory, read_flags
from rlstm_tf.runs.remote import LocalMirror
from rlstm_tf.storage.files import is_remote
from rlstm_tf.training.settings import TrainSettings


@dataclass(frozen=True)
class Inputs:
    """The opened inputs of a training.

    Attributes:
        mirror, run: the run's directory.
        strategy: the devices.
        shards, val: subsets to train on and to score; no `val` without validation.
        epochs: first and last steps of the epochs.
    """

    mirror: LocalMirror
    run: RunDirectory
    strategy: tf.distribute.Strategy
    shards: Shards
    val: Shards | None
    epochs: EpochSchedule

    @property
    def is_chief(self) -> bool:
        """True in the one process that writes the run."""
        return current_worker(self.strategy).is_chief

    def upload(self) -> None:
        """Uploads new files to the store that the run is in, if it is in one."""
        # Checkpoints last: resuming from one assumes that every other file exists.
        self.mirror.upload(last=self.run.checkpoints.name)


def open_inputs(settings: TrainSettings, mirror: LocalMirror) -> Inputs:
    """Opens shards and devices; writes nothing.

    Args:
        settings: the settings.
        mirror: the run's directory.

    Raises:
        UserError: an input is missing, damaged, or does not fit the settings.
    """
    run = RunDirectory(mirror.path)
    source = settings.init_from
    # A run in a store is checked when it is downloaded.
    if source and not is_remote(source) and not run.has_checkpoint():
        read_flags(Path(source) / "flags.cfg")
        if not RunDirectory(source).has_checkpoint():
            raise DataError(f"--init_from: {source} holds no checkpoint yet")
    strategy = make_strategy(settings.strategy)
    batch_size, replicas = settings.input.batch_size, strategy.num_replicas_in_sync
    check_batch_size(batch_size, settings.accumulate, replicas, settings.input.mixup)
    shards = Shards.open(settings.data, "train")
    scored = settings.val_subset != "none"
    val = Shards.open(settings.data, settings.val_subset) if scored else None
    if settings.class_weights == "balanced" and shards.manifest.multi_label:
        raise UsageError(
            f"--class_weights=balanced: videos of {settings.data} have several labels each, so no "
            "weight is that of their class; --sampling=balanced goes with them"
        )
    if settings.cache:
        check_augmentation(settings.input)
    for subset in (shards, val) if val else (shards,):
        pipeline.check_shards(subset, settings.input)
    return Inputs(
        mirror, run, strategy, shards, val, EpochSchedule(len(shards.samples), batch_size)
    )


def balanced_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Weighs each class by the inverse of its share of the training videos; their mean is 1.

    Args:
        labels: class of each training video, int `[V]`.
        num_classes: number of classes.

    Returns:
        float32 `[num_classes]`, V / (K * videos of the class) with K classes that have any; 0 for
        the others, which no video asks for.
    """
    counts = np.bincount(labels, minlength=num_classes)
    shares = counts * np.count_nonzero(counts) / len(labels)
    return np.divide(1, shares, out=np.zeros(num_classes, np.float32), where=counts > 0)


def check_workers(settings: TrainSettings, inputs: Inputs) -> None:
    """Checks that all workers have equal flags and shards; paths may differ between machines.

    Raises:
        DataError: they differ.
    """
    texts = {
        f"--{name}": "given" if text and name in ("data", "run_dir", "cache_maps") else text
        for name, text in settings.flags.items()
    }
    texts["shards' manifest"] = inputs.shards.manifest.to_json()
    assert_same_config(inputs.strategy, texts)

"""That all workers of a run do the same: what each was told, and what each begins with."""

from __future__ import annotations

import zlib
from typing import Any

import keras
import tensorflow as tf

from rlstm_tf.distributed import strategy as devices
from rlstm_tf.runs.checkpoints import digest, variables_of


def check_texts(strategy: tf.distribute.Strategy, texts: dict[str, str]) -> None:
    """Refuses workers whose texts differ: all call this, and wait for each other.

    Args:
        strategy: of `rlstm_tf.distributed.strategy.make_strategy`.
        texts: by name.

    Raises:
        DataError: another process has another one, or others; it names the first.
    """
    # They are compared one by one, so all must have the same.
    for name, text in {"list of what is compared": " ".join(texts), **texts}.items():
        devices.check_same(strategy, f"checksum of {name}", zlib.crc32(text.encode()))


def check_start(
    strategy: tf.distribute.Strategy, model: keras.Model, optimizer: Any, info: dict[str, Any]
) -> None:
    """Refuses workers that would begin elsewhere: all call this, and wait for each other.

    Each has read files of its own machine, and none is told the others' weights.

    Args:
        strategy: of `rlstm_tf.distributed.strategy.make_strategy`.
        model: with the weights to begin with.
        optimizer: likewise.
        info: what a checkpoint says of the run, its `step` among it.

    Raises:
        DataError: another process is at another step, or has another weight.
    """
    devices.check_same(strategy, "step of the checkpoint that they find", info["step"])
    if devices.worker(strategy).count > 1:
        variables = variables_of(model, optimizer)
        state = {name: variable.numpy() for name, variable in variables.items()}
        # As many bits as a signed number has.
        found = int(digest(state, info)[:15], 16)
        devices.check_same(strategy, "checksum of the weights that they begin with", found)

"""Checks that all workers of a run have equal flags, shards and initial weights."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from rlstm_tf.distributed.strategy import assert_same, current_worker
from rlstm_tf.storage.arrays import arrays_sha256


def assert_same_config(strategy: tf.distribute.Strategy, texts: Mapping[str, str]) -> None:
    """Checks that all workers were started with the same texts. Every worker must call it.

    Args:
        strategy: returned by `make_strategy`.
        texts: name -> text.

    Raises:
        DataError: a text differs between workers; the message names the first.
    """
    # Texts are compared one by one, so first check that all workers have the same names.
    for name, text in {"list of what is compared": " ".join(texts), **texts}.items():
        assert_same(strategy, f"checksum of {name}", zlib.crc32(text.encode()))


def assert_same_weights(
    strategy: tf.distribute.Strategy, variables: Mapping[str, Any], info: dict[str, Any]
) -> None:
    """Checks that all workers start with the same variables. Every worker must call it.

    Each worker reads checkpoints and pretrained weights from its own machine; TensorFlow does not
    compare them.

    Args:
        strategy: returned by `make_strategy`.
        variables: name -> variable of the model or the optimizer.
        info: progress of the run as in a checkpoint; has `step`.

    Raises:
        DataError: another worker is at another step, or has other weights.
    """
    assert_same(strategy, "step of the checkpoint that they find", info["step"])
    if current_worker(strategy).count > 1:
        arrays = {name: variable.numpy() for name, variable in variables.items()}
        # 60 bits fit into an int64.
        checksum = int(arrays_sha256(arrays, info)[:15], 16)
        assert_same(strategy, "checksum of the initial weights", checksum)

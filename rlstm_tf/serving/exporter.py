"""Writes a network as a SavedModel, then loads it and compares its outputs with the network's."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from rlstm_tf.errors import DataError
from rlstm_tf.models.streaming import StreamingModel
from rlstm_tf.serving import warmup
from rlstm_tf.serving.artifact import (
    CHECKSUMS,
    ModelMetadata,
    compute_checksums,
    load_signatures,
)
from rlstm_tf.serving.signatures import ServingModule
from rlstm_tf.serving.stream_signatures import pick_state
from rlstm_tf.storage.atomic import cannot_write, writing
from rlstm_tf.storage.creation import write_new

# Allowed difference of logits, times the largest one if that is above 1: the graph sums in another
# order than the layers. Types with 8 or 11 significant bits differ by more.
TOLERANCE, TOLERANCE_MIXED = 1e-4, 0.05


def save_version(
    version: Path,
    model: keras.Model,
    metadata: ModelMetadata,
    name: str | None,
    streaming: StreamingModel | None = None,
) -> list[str]:
    """Writes a version of a network and verifies its outputs.

    Args:
        version: directory to write into.
        model: the network, uint8 snippets `[batch, T, S, S, channels]` -> logits.
        metadata: its metadata.
        name: the model's name at the server, for warm-up requests; None = write none.
        streaming: a step of the network, for the signatures of streams; None = write none.

    Returns:
        Names of the signatures.

    Raises:
        DataError: the version cannot be written, or its outputs differ from the network's.
    """
    for label in metadata.classes:
        if "\n" in label or "\r" in label:
            raise DataError(
                f"class {label!r} has a line break: {version.parent} lists one class per line"
            )
    with _tensorflow_writes(version), tempfile.TemporaryDirectory() as assets:
        module = ServingModule(model, metadata, Path(assets), streaming)
        tf.saved_model.save(module, str(version), module.functions)
    if name is not None:
        with _tensorflow_writes(version):
            warmup.write_requests(version, name, metadata, module.functions)
    with writing(version / CHECKSUMS):
        (version / CHECKSUMS).parent.mkdir(exist_ok=True)
        write_new(version / CHECKSUMS, compute_checksums(version).encode())
    verify_outputs(version, model, metadata, streaming)
    return sorted(module.functions)


def verify_outputs(
    version: Path,
    model: keras.Model,
    metadata: ModelMetadata,
    streaming: StreamingModel | None = None,
) -> None:
    """Compares the outputs of a version with those of its network.

    So are the logits after T steps of a stream, if its window is no shorter.

    Raises:
        DataError: they differ or are not finite, or the version is damaged.
    """
    signatures = load_signatures(version)
    frames = np.random.default_rng(0).integers(
        0, 256, (2, *metadata.input_config().video_shape), np.uint8
    )
    expected = np.asarray(model(tf.constant(frames), training=False), np.float32)
    if not np.isfinite(expected).all():
        raise DataError(f"{metadata.checkpoint}: its logits are not finite")
    mixed = keras.mixed_precision.global_policy().name != "float32"
    allowed = (TOLERANCE_MIXED if mixed else TOLERANCE) * max(1.0, np.abs(expected).max())
    answers = {"serving_default": signatures["serving_default"](frames=tf.constant(frames))}
    if streaming is not None and (streaming.window or metadata.num_segments) >= frames.shape[1]:
        answers["step"] = signatures["init_state"](decay=tf.ones(len(frames)))
        for snippets in frames.swapaxes(0, 1):
            state = pick_state(answers["step"])
            answers["step"] = signatures["step"](frames=tf.constant(snippets), **state)
    for signature, answer in answers.items():
        found = np.abs(answer["logits"].numpy() - expected).max()
        if not found <= allowed:
            raise DataError(
                f"the exported network differs from {metadata.checkpoint}: logits of {signature} "
                f"by {found:.2g}, {allowed:.2g} is allowed"
            )
    for signature, inputs in warmup.example_requests(metadata, signatures):
        answer = signatures[signature](**{key: tf.constant(x) for key, x in inputs.items()})
        if "logits" in answer and not np.isfinite(answer["logits"].numpy()).all():
            raise DataError(f"{metadata.checkpoint}: logits of {signature} are not finite")


@contextlib.contextmanager
def _tensorflow_writes(path: Path) -> Iterator[None]:
    """Turns a failed write of TensorFlow or the system into a DataError."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from None
    except tf.errors.OpError as error:
        number = errno.ENOSPC if os.strerror(errno.ENOSPC) in error.message else errno.EIO
        raise cannot_write(path, OSError(number, error.message.splitlines()[0])) from None

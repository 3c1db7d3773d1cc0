"""A network -> a SavedModel, loaded back and compared before anyone else sees it."""

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
from rlstm_tf.serving import warmup
from rlstm_tf.serving.artifact import FILES, Description, checksums, load_signatures
from rlstm_tf.serving.signatures import Served
from rlstm_tf.storage.atomic import cannot_write, writing

# Of logits, and of each unit of the largest: the graph sums in another order than the layers one by
# one. Numbers of 8 or 11 bits differ by more.
TOLERANCE, TOLERANCE_MIXED = 1e-4, 0.05


def save(
    version: Path, model: keras.Model, description: Description, name: str | None
) -> list[str]:
    """Writes a version of a network, and checks that it answers as the network does.

    Args:
        version: directory to write into.
        model: the network.
        description: of it.
        name: what its warm-up requests call it; None = it has none.

    Returns:
        Names of its signatures.

    Raises:
        DataError: it cannot be written, or answers otherwise than the network.
    """
    for label in description.classes:
        if "\n" in label or "\r" in label:
            raise DataError(f"class {label!r} has a line break: {version.parent} lists one a line")
    with _tensorflow_writes(version), tempfile.TemporaryDirectory() as assets:
        served = Served(model, description, Path(assets))
        tf.saved_model.save(served, str(version), served.functions)
    if name is not None:
        with _tensorflow_writes(version):
            warmup.write(version, name, description)
    with writing(version / FILES):
        (version / FILES).parent.mkdir(exist_ok=True)
        (version / FILES).write_text(checksums(version), encoding="utf-8")
    check(version, model, description)
    return sorted(served.functions)


def check(version: Path, model: keras.Model, description: Description) -> None:
    """Refuses a version that answers otherwise than its network.

    Raises:
        DataError: it does; the network's answers are no numbers; or it is damaged.
    """
    signatures = load_signatures(version)
    frames = np.random.default_rng(0).integers(
        0, 256, (2, *description.input().video_shape), np.uint8
    )
    expected = np.asarray(model(tf.constant(frames), training=False), np.float32)
    if not np.isfinite(expected).all():
        raise DataError(f"{description.checkpoint}: its network answers with no numbers")
    answer = signatures["serving_default"](frames=tf.constant(frames))
    mixed = keras.mixed_precision.global_policy().name != "float32"
    allowed = (TOLERANCE_MIXED if mixed else TOLERANCE) * max(1.0, np.abs(expected).max())
    found = np.abs(answer["logits"].numpy() - expected).max()
    if not found <= allowed:
        raise DataError(
            f"what was written answers otherwise than {description.checkpoint}: logits differ by "
            f"{found:.2g}, {allowed:.2g} is allowed"
        )
    for signature, inputs in warmup.examples(description):
        answer = signatures[signature](**{key: tf.constant(x) for key, x in inputs.items()})
        if not np.isfinite(answer["logits"].numpy()).all():
            raise DataError(f"{description.checkpoint}: {signature} answers with no numbers")


@contextlib.contextmanager
def _tensorflow_writes(path: Path) -> Iterator[None]:
    """Turns what TensorFlow and the system say of a write that failed into a DataError."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from None
    except tf.errors.OpError as error:
        number = errno.ENOSPC if os.strerror(errno.ENOSPC) in error.message else errno.EIO
        raise cannot_write(path, OSError(number, error.message.splitlines()[0])) from None

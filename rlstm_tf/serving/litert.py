"""Writes a network as one LiteRT file (.tflite), for phones and small computers.

The file ends with a ZIP archive that holds `model.json`, as TensorFlow Lite's associated files do.
Interpreters ignore it, and `unzip` or Python's `zipfile` read it from the file as it is.
"""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rlstm_tf.errors import DataError
from rlstm_tf.models.streaming import StreamingModel
from rlstm_tf.serving.artifact import METADATA
from rlstm_tf.serving.fixed_metadata import FixedMetadata
from rlstm_tf.serving.fixed_signatures import Converted, FixedModule, measure_difference

# Of the archive's entry: the first that ZIP can store. Equal networks give equal files.
_DATE = (1980, 1, 1, 0, 0, 0)


def convert(
    model: keras.Model, metadata: FixedMetadata, streaming: StreamingModel | None = None
) -> Converted:
    """Converts a network, and compares its outputs in TensorFlow's interpreter with the network's.

    Args:
        model: the network, uint8 snippets `[batch, T, S, S, channels]` -> logits.
        metadata: its metadata.
        streaming: a step of the network, for the signatures of streams; None = write none.

    Returns:
        One file, without a name.

    Raises:
        UsageError: frames of this size cannot be prepared.
        DataError: the network does not convert, or its outputs differ.
    """
    module = FixedModule(model, metadata.network, metadata.frame_size, streaming)
    content = _convert(module, metadata.quantize)
    interpreter = tf.lite.Interpreter(model_content=content)

    def run(signature: str, inputs: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return interpreter.get_signature_runner(signature)(**inputs)

    difference = measure_difference(run, module, model, metadata)
    files = {"": _append_json(content, metadata.to_dict())}
    return Converted(files, sorted(module.functions), difference)


def _convert(module: FixedModule, quantize: str) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        tf.saved_model.save(module, directory, module.functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            directory, signature_keys=list(module.functions)
        )
        # No operation outside of LiteRT's own: an application would need TensorFlow's.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if quantize != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        try:
            return converter.convert()
        # TensorFlow promises no error class, and its messages have many lines.
        except Exception as error:
            lines = str(error).splitlines() or [type(error).__name__]
            raise DataError(f"the network does not convert to LiteRT: {lines[0]}") from None


def _append_json(content: bytes, values: dict[str, Any]) -> bytes:
    """Appends an archive with `model.json` to a file's content."""
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a") as archive:
        text = json.dumps(values, ensure_ascii=False, indent=1) + "\n"
        archive.writestr(zipfile.ZipInfo(METADATA, _DATE), text)
    return file.getvalue()

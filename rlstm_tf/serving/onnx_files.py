"""Writes a network as ONNX files, one for each signature, for browsers and other runtimes.

    NAME/serve_frames.onnx, NAME/init_state.onnx, NAME/step.onnx

Each holds its metadata as a property, `rlstm_tf`. The new state that a step returns has other names
than the state that it takes, `new_state_H` and so on: ONNX allows a name only once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import onnxruntime
import tf2onnx

from rlstm_tf.errors import DataError
from rlstm_tf.models.streaming import StreamingModel
from rlstm_tf.serving.fixed_metadata import FixedMetadata
from rlstm_tf.serving.fixed_signatures import Converted, FixedModule, measure_difference

# Of the property with the metadata.
PROPERTY = "rlstm_tf"
# In front of the names of a step's new state.
NEW = "new_"
# Version of the operations; the newest that the oldest runtime tried knows has no use here.
_OPSET = 17


def convert(
    model: keras.Model, metadata: FixedMetadata, streaming: StreamingModel | None = None
) -> Converted:
    """Converts a network, and compares its outputs in onnxruntime with the network's.

    Args:
        model: the network, uint8 snippets `[batch, T, S, S, channels]` -> logits.
        metadata: its metadata.
        streaming: a step of the network, for the signatures of streams; None = write none.

    Returns:
        A file for each signature.

    Raises:
        UsageError: frames of this size cannot be prepared.
        DataError: the network does not convert, or its outputs differ.
    """
    module = FixedModule(model, metadata.network, metadata.frame_size, streaming, NEW)
    text = json.dumps(metadata.to_dict(), ensure_ascii=False)
    files = {name: _convert(function, text) for name, function in module.functions.items()}
    sessions = {name: onnxruntime.InferenceSession(files[name]) for name in files}

    def run(signature: str, inputs: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        session = sessions[signature]
        names = [output.name for output in session.get_outputs()]
        answer = zip(names, session.run(names, inputs))
        return {name.removeprefix(NEW): value for name, value in answer}

    difference = measure_difference(run, module, model, metadata)
    named = {f"{name}.onnx": content for name, content in files.items()}
    return Converted(named, sorted(files), difference)


def _convert(function: Any, metadata: str) -> bytes:
    """Converts a concrete function of named tensors."""
    # tf2onnx traces what it is given; this is traced.
    traced = SimpleNamespace(get_concrete_function=lambda *signature: function)
    try:
        file, _ = tf2onnx.convert.from_function(traced, [], opset=_OPSET)
    # It promises no error class, and its messages have many lines.
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise DataError(f"the network does not convert to ONNX: {lines[0]}") from None
    # TensorFlow writes the names of a traced function's inputs in small letters.
    names = {name.lower(): name for name in function.structured_input_signature[1]}
    for node in file.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    for given in file.graph.input:
        given.name = names.get(given.name, given.name)
    file.metadata_props.add(key=PROPERTY, value=metadata)
    content: bytes = file.SerializeToString()
    return content

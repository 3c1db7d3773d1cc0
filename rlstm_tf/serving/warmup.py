"""Warm-up requests, which a server runs before it serves a version, so that no client waits.

TensorFlow Serving reads them from `assets.extra/tf_serving_warmup_requests`, a TFRecord file of
`PredictionLog` messages.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rlstm_tf.data.video import encode_jpeg
from rlstm_tf.errors import UsageError
from rlstm_tf.serving.artifact import ModelMetadata
from rlstm_tf.storage.atomic import writing

REQUESTS = Path("assets.extra") / "tf_serving_warmup_requests"


def require_serving_api() -> None:
    """Checks that tensorflow-serving-api is installed.

    Raises:
        UsageError: it is not.
    """
    if importlib.util.find_spec("tensorflow_serving") is None:
        raise UsageError(
            "--warmup needs tensorflow-serving-api: pip install 'rlstm-tf[serving]', "
            "or give --nowarmup"
        )


def example_requests(
    metadata: ModelMetadata, signatures: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Makes requests with one video or stream for every signature, with and without resizing.

    Args:
        metadata: the network's metadata.
        signatures: its signatures, as functions. `init_state`, if there, gives the state of a step.

    Yields:
        A signature's name, and its inputs as NumPy arrays by name.
    """
    import tensorflow as tf

    T, S, _, C = metadata.input_config().video_shape
    short = metadata.short_side
    rng = np.random.default_rng(0)
    streams, state = "init_state" in signatures, {}
    if streams:
        decay = np.ones(1, np.float32)
        yield "init_state", {"decay": decay}
        answer = signatures["init_state"](decay=tf.constant(decay))
        state = {name: value.numpy() for name, value in answer.items()}
    if metadata.stream == "spatial":
        for height, width in ((S, S), (2 * short, 2 * short * 4 // 3)):
            frames = np.stack([_texture(rng, height, width) for _ in range(T)])
            yield "serving_default", {"frames": frames[None]}
            jpegs = [encode_jpeg(frame, metadata.jpeg_quality) for frame in frames]
            yield "serve_jpeg", {"frames_bytes": np.array([jpegs], object)}
            if streams:
                yield "step", {"frames": frames[:1], **state}
                yield "step_jpeg", {"frames_bytes": np.array(jpegs[:1], object), **state}
        return
    L = metadata.new_length
    fields = [_texture(rng, 2 * short, short * 4 // 3)[..., 0] for _ in range(T * L)]
    planes = np.stack(fields).reshape(T, L, 2, short, -1).transpose(0, 3, 4, 1, 2)
    snippets = planes.reshape(T, short, -1, C)
    yield "serving_default", {"frames": snippets[None]}
    if streams:
        yield "step", {"frames": snippets[:1], **state}
    jpegs = [encode_jpeg(field, metadata.jpeg_quality) for field in fields]
    yield "serve_flow", {"fields_bytes": np.array(jpegs, object).reshape(1, T, L)}


def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def write_requests(
    version: Path, name: str, metadata: ModelMetadata, signatures: Mapping[str, Any]
) -> None:
    """Writes the warm-up requests of a version.

    Args:
        version: directory of the version.
        name: the model's name at the server.
        metadata: the network's metadata.
        signatures: its signatures, as functions.

    Raises:
        DataError: the directory cannot be created.
        OSError, tf.errors.OpError: the file cannot be written.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    path = version / REQUESTS
    with writing(path):
        path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as file:
        for signature, inputs in example_requests(metadata, signatures):
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = name, signature
            for key, value in inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            predict = prediction_log_pb2.PredictLog(request=request)
            log = prediction_log_pb2.PredictionLog(predict_log=predict)
            file.write(log.SerializeToString())

"""Requests that a server answers to itself before it takes others, so that no client waits longer.

TensorFlow Serving reads them from `assets.extra/tf_serving_warmup_requests`, a TFRecord file of
`PredictionLog`s.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rlstm_tf.data.video import encode_jpeg
from rlstm_tf.errors import UsageError
from rlstm_tf.serving.artifact import Description
from rlstm_tf.storage.atomic import writing

PLACE = Path("assets.extra") / "tf_serving_warmup_requests"


def require_serving_api() -> None:
    """Raises UsageError where the package that describes the requests is missing."""
    if importlib.util.find_spec("tensorflow_serving") is None:
        raise UsageError(
            "--warmup needs tensorflow-serving-api: pip install 'rlstm-tf[serving]', "
            "or give --nowarmup"
        )


def examples(description: Description) -> Iterator[tuple[str, dict[str, Any]]]:
    """Requests of one video, of every signature: of frames that are to be resized, and others.

    Args:
        description: of the network.

    Yields:
        A signature's name, and its inputs as NumPy arrays by name.
    """
    T, S, _, C = description.input().video_shape
    short = description.short_side
    rng = np.random.default_rng(0)
    if description.stream == "spatial":
        for height, width in ((S, S), (2 * short, 2 * short * 4 // 3)):
            frames = np.stack([_texture(rng, height, width) for _ in range(T)])
            yield "serving_default", {"frames": frames[None]}
            jpegs = [encode_jpeg(frame, description.jpeg_quality) for frame in frames]
            yield "serve_jpeg", {"frames_bytes": np.array([jpegs], object)}
        return
    L = description.new_length
    fields = [_texture(rng, 2 * short, short * 4 // 3)[..., 0] for _ in range(T * L)]
    planes = np.stack(fields).reshape(T, L, 2, short, -1).transpose(0, 3, 4, 1, 2)
    yield "serving_default", {"frames": planes.reshape(1, T, short, -1, C)}
    jpegs = [encode_jpeg(field, description.jpeg_quality) for field in fields]
    yield "serve_flow", {"fields_bytes": np.array(jpegs, object).reshape(1, T, L)}


def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def write(version: Path, name: str, description: Description) -> None:
    """Writes the requests of a network.

    Args:
        version: directory of the SavedModel.
        name: of the model, as its server knows it.
        description: of it.

    Raises:
        DataError: they cannot be written.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    path = version / PLACE
    with writing(path):
        path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as file:
        for signature, inputs in examples(description):
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = name, signature
            for key, value in inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            predict = prediction_log_pb2.PredictLog(request=request)
            log = prediction_log_pb2.PredictionLog(predict_log=predict)
            file.write(log.SerializeToString())

"""Signatures of an exported network: the functions that a server calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from rlstm_tf.compat import tensorflow_variables
from rlstm_tf.serving.artifact import CLASSES, METADATA, ModelMetadata
from rlstm_tf.serving.preprocessing import (
    check_frame_size,
    check_shape,
    decode_jpeg,
    decode_picture,
    map_frames,
    require,
    resize_and_crop,
)
from rlstm_tf.storage.creation import write_new

# Most probable classes that each answer names.
TOP = 5


class ServingModule(tf.Module):
    """A network for `tf.saved_model.save`, with `functions` to save as its signatures.

    Outputs of each signature, for B videos and C classes, K = min(5, C):

        logits            float32 [B, C]
        probabilities     float32 [B, C], softmax of the logits. Networks for several labels per
                          video are trained with softmax too: their probabilities rank the classes,
                          and are not a yes or no for each
        top_classes       int32 [B, K], most probable first
        top_labels        string [B, K], their names
        top_probabilities float32 [B, K]

    Args:
        model: the network, uint8 snippets `[batch, T, S, S, channels]` -> logits.
        metadata: its metadata.
        assets: directory to write its asset files to; keep it until the module is saved.
    """

    def __init__(self, model: keras.Model, metadata: ModelMetadata, assets: Path) -> None:
        super().__init__(name="rlstm_tf")
        # Not the model: Keras would save its layers too, and loading would need their code.
        self.weights = tensorflow_variables(model.variables)
        names, text = assets / CLASSES, assets / METADATA
        write_new(names, "".join(f"{name}\n" for name in metadata.classes).encode())
        write_new(text, metadata.to_json().encode())
        self.class_names = tf.saved_model.Asset(str(names))
        self.description = tf.saved_model.Asset(str(text))
        config = metadata.input_config()
        self._shape = config.video_shape
        self._size = metadata.image_size, metadata.short_side
        T, L = metadata.num_segments, metadata.new_length
        frames = tf.TensorSpec([None, T, None, None, config.channels], tf.uint8, "frames")
        self._answer = _make_answer(model, metadata.classes)
        self._resize = metadata.stream == "spatial"
        self.functions = {"serving_default": self._function(self.prepare_frames, frames)}
        if metadata.stream == "spatial":
            jpegs = tf.TensorSpec([None, T], tf.string, "frames_bytes")
            self.functions["serve_jpeg"] = self._function(self.prepare_jpegs, jpegs)
        else:
            fields = tf.TensorSpec([None, T, L], tf.string, "fields_bytes")
            self.functions["serve_flow"] = self._function(self.prepare_flow, fields)

    def _function(self, prepare: Callable[[tf.Tensor], tf.Tensor], spec: tf.TensorSpec) -> Any:
        def serve(request: tf.Tensor) -> dict[str, tf.Tensor]:
            return self._answer(prepare(request))

        return tf.function(serve, [spec], autograph=False)

    def prepare_frames(self, frames: tf.Tensor) -> tf.Tensor:
        """Prepares uint8 `[B, T, H, W, C]`, any H and W; returns uint8 `[B, T, S, S, C]`."""
        T, _, _, C = self._shape
        layout = f"uint8 [batch, {T}, height, width, {C}]"
        frames = check_shape(frames, "frames", [T, None, None, C], layout)
        shape = tf.shape(frames)
        with tf.control_dependencies(check_frame_size(shape[2], shape[3], "frames")):
            images = tf.reshape(frames, [-1, shape[2], shape[3], C])

        def prepare(image: tf.Tensor) -> tf.Tensor:
            return self._resize_and_crop(image, "frames")

        return self._as_videos(map_frames(prepare, images, self._shape[1:]))

    def prepare_jpegs(self, frames_bytes: tf.Tensor) -> tf.Tensor:
        """Prepares JPEG or PNG files `[B, T]` of any sizes; returns uint8 `[B, T, S, S, 3]`."""
        T = self._shape[0]
        files = check_shape(frames_bytes, "frames_bytes", [T], f"JPEG or PNG files [batch, {T}]")

        def prepare(file: tf.Tensor) -> tf.Tensor:
            return self._resize_and_crop(decode_picture(file, "frames_bytes"), "frames_bytes")

        return self._as_videos(map_frames(prepare, tf.reshape(files, [-1]), self._shape[1:]))

    def prepare_flow(self, fields_bytes: tf.Tensor) -> tf.Tensor:
        """Prepares flow fields.

        Args:
            fields_bytes: gray JPEG files `[B, T, L]`, levels of x above those of y.

        Returns:
            uint8 `[B, T, S, S, 2L]`.
        """
        T, S, _, C = self._shape
        L = C // 2
        layout = f"JPEG files [batch, {T}, {L}]"
        jpegs = check_shape(fields_bytes, "fields_bytes", [T, L], layout)

        def prepare(jpeg: tf.Tensor) -> tf.Tensor:
            levels = decode_jpeg(jpeg, 1, "fields_bytes")
            rows = tf.shape(levels)[0]
            message = "fields_bytes: x over y have an even number of rows together, not"
            with tf.control_dependencies([require(tf.equal(rows % 2, 0), message, rows)]):
                x, y = levels[: rows // 2], levels[rows // 2 :]
            return self._resize_and_crop(tf.concat([x, y], axis=-1), "fields_bytes")

        fields = map_frames(prepare, tf.reshape(jpegs, [-1]), [S, S, 2])
        fields = tf.transpose(tf.reshape(fields, [-1, L, S, S, 2]), [0, 2, 3, 1, 4])
        return self._as_videos(tf.reshape(fields, [-1, S, S, C]))

    def _resize_and_crop(self, image: tf.Tensor, name: str) -> tf.Tensor:
        return resize_and_crop(image, *self._size, self._resize, name)

    def _as_videos(self, images: tf.Tensor) -> tf.Tensor:
        return tf.reshape(images, [-1, *self._shape])


def _make_answer(model: keras.Model, classes: list[str]) -> Callable[[tf.Tensor], dict[str, Any]]:
    count = min(TOP, len(classes))

    def answer(videos: tf.Tensor) -> dict[str, Any]:
        logits = tf.cast(model(videos, training=False), tf.float32)
        probabilities = tf.nn.softmax(logits)
        # Rank by logits, which differ even where probabilities are rounded to 0 or 1.
        top = tf.math.top_k(logits, count).indices
        return {
            "logits": tf.identity(logits),
            "probabilities": probabilities,
            "top_classes": top,
            "top_labels": tf.gather(tf.constant(classes), top),
            "top_probabilities": tf.gather(probabilities, top, batch_dims=1),
        }

    return answer

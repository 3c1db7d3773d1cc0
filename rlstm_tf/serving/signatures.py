"""Signatures of an exported network: the functions that a server calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from rlstm_tf.compat import tensorflow_variables
from rlstm_tf.models.streaming import StreamingModel
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
from rlstm_tf.serving.stream_signatures import fingerprint, stream_functions
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
        streaming: a step of the network, for the signatures of `stream_signatures`; None = none.
    """

    def __init__(
        self,
        model: keras.Model,
        metadata: ModelMetadata,
        assets: Path,
        streaming: StreamingModel | None = None,
    ) -> None:
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
        T, L, C = metadata.num_segments, metadata.new_length, config.channels
        answer = _make_answer(metadata.classes)

        def function(prepare: Callable[[tf.Tensor], tf.Tensor], spec: tf.TensorSpec) -> Any:
            def serve(request: tf.Tensor) -> dict[str, tf.Tensor]:
                return answer(model(prepare(request), training=False))

            return tf.function(serve, [spec], autograph=False)

        frames = tf.TensorSpec([None, T, None, None, C], tf.uint8, "frames")
        self._resize = metadata.stream == "spatial"
        self.functions = {"serving_default": function(self.prepare_frames, frames)}
        snippets = tf.TensorSpec([None, None, None, C], tf.uint8, "frames")
        steps: dict[str, Any] = {"step": (self.prepare_snippets, snippets)}
        if metadata.stream == "spatial":
            jpegs = tf.TensorSpec([None, T], tf.string, "frames_bytes")
            self.functions["serve_jpeg"] = function(self.prepare_jpegs, jpegs)
            jpegs = tf.TensorSpec([None], tf.string, "frames_bytes")
            steps["step_jpeg"] = self.prepare_jpeg_snippets, jpegs
        else:
            fields = tf.TensorSpec([None, T, L], tf.string, "fields_bytes")
            self.functions["serve_flow"] = function(self.prepare_flow, fields)
        if streaming is not None:
            network = fingerprint(model)
            self.functions.update(stream_functions(streaming, network, steps, answer))

    def prepare_frames(self, frames: tf.Tensor) -> tf.Tensor:
        """Prepares uint8 `[B, T, H, W, C]`, any H and W; returns uint8 `[B, T, S, S, C]`."""
        T, _, _, C = self._shape
        layout = f"uint8 [batch, {T}, height, width, {C}]"
        frames = check_shape(frames, "frames", [T, None, None, C], layout)
        _, _, height, width, _ = tf.unstack(tf.shape(frames), num=5)
        return self._as_videos(self._prepare(tf.reshape(frames, [-1, height, width, C])))

    def prepare_snippets(self, frames: tf.Tensor) -> tf.Tensor:
        """Prepares uint8 `[B, H, W, C]`, a snippet of each stream; returns uint8 `[B, S, S, C]`."""
        C = self._shape[-1]
        layout = f"uint8 [batch, height, width, {C}]"
        return self._prepare(check_shape(frames, "frames", [None, None, C], layout))

    def prepare_jpegs(self, frames_bytes: tf.Tensor) -> tf.Tensor:
        """Prepares JPEG or PNG files `[B, T]` of any sizes; returns uint8 `[B, T, S, S, 3]`."""
        T = self._shape[0]
        files = check_shape(frames_bytes, "frames_bytes", [T], f"JPEG or PNG files [batch, {T}]")
        return self._as_videos(self._decode(tf.reshape(files, [-1])))

    def prepare_jpeg_snippets(self, frames_bytes: tf.Tensor) -> tf.Tensor:
        """Prepares JPEG or PNG files `[B]`, one of each stream; returns uint8 `[B, S, S, 3]`."""
        layout = "JPEG or PNG files [batch]"
        return self._decode(check_shape(frames_bytes, "frames_bytes", [], layout))

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

    def _prepare(self, images: tf.Tensor) -> tf.Tensor:
        """Resizes and crops uint8 `[N, H, W, C]`, after a check of H and W."""
        _, height, width, _ = tf.unstack(tf.shape(images), num=4)
        with tf.control_dependencies(check_frame_size(height, width, "frames")):
            images = tf.identity(images)

        def prepare(image: tf.Tensor) -> tf.Tensor:
            return self._resize_and_crop(image, "frames")

        return map_frames(prepare, images, self._shape[1:])

    def _decode(self, files: tf.Tensor) -> tf.Tensor:
        def prepare(file: tf.Tensor) -> tf.Tensor:
            return self._resize_and_crop(decode_picture(file, "frames_bytes"), "frames_bytes")

        return map_frames(prepare, files, self._shape[1:])

    def _resize_and_crop(self, image: tf.Tensor, name: str) -> tf.Tensor:
        return resize_and_crop(image, *self._size, self._resize, name)

    def _as_videos(self, images: tf.Tensor) -> tf.Tensor:
        return tf.reshape(images, [-1, *self._shape])


def _make_answer(classes: list[str]) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Makes the function from logits to the outputs of a signature."""
    count = min(TOP, len(classes))

    def answer(logits: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = tf.cast(logits, tf.float32)
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

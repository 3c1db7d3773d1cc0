"""A network and the functions by which a server calls it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from rlstm_tf.compat import tensorflow_variables
from rlstm_tf.serving.artifact import CLASSES, DESCRIPTION, Description
from rlstm_tf.serving.preprocessing import check_size, checked, decoded, each, fitted, require

# Classes that a request is answered with by name.
TOP = 5


class Served(tf.Module):
    """A network to be saved with `tf.saved_model.save`, and `functions` to save as its signatures.

    Outputs of each signature, of B videos and C classes, K = min(5, C):

        logits            float32 [B, C]
        probabilities     float32 [B, C], softmax of the logits. That is how networks are trained
                          here, those of videos with several labels too: their probabilities are
                          shares, to be ranked, and not each a yes or no
        top_classes       int32 [B, K], the most probable first
        top_labels        string [B, K], their names
        top_probabilities float32 [B, K]

    Args:
        model: of uint8 snippets `[batch, T, S, S, channels]`.
        description: of it.
        assets: directory for the files that go with it; they must be there until it is saved.
    """

    def __init__(self, model: keras.Model, description: Description, assets: Path) -> None:
        super().__init__(name="rlstm_tf")
        # Not the model: Keras would save its layers too, and code of ours would be needed to load.
        self.weights = tensorflow_variables(model)
        names, text = assets / CLASSES, assets / DESCRIPTION
        names.write_text("".join(f"{name}\n" for name in description.classes), encoding="utf-8")
        text.write_text(description.to_json(), encoding="utf-8")
        self.class_names = tf.saved_model.Asset(str(names))
        self.description = tf.saved_model.Asset(str(text))
        config = description.input()
        self._shape = config.video_shape
        self._size = description.image_size, description.short_side
        T, L = description.num_segments, description.new_length
        frames = tf.TensorSpec([None, T, None, None, config.channels], tf.uint8, "frames")
        self._answer = _answers(model, description.classes)
        self._resize = description.stream == "spatial"
        self.functions = {"serving_default": self._function(self.frames, frames)}
        if description.stream == "spatial":
            jpegs = tf.TensorSpec([None, T], tf.string, "frames_bytes")
            self.functions["serve_jpeg"] = self._function(self.jpegs, jpegs)
        else:
            fields = tf.TensorSpec([None, T, L], tf.string, "fields_bytes")
            self.functions["serve_flow"] = self._function(self.fields, fields)

    def _function(self, prepare: Callable[[tf.Tensor], tf.Tensor], spec: tf.TensorSpec) -> Any:
        def serve(request: tf.Tensor) -> dict[str, tf.Tensor]:
            return self._answer(prepare(request))

        return tf.function(serve, [spec], autograph=False)

    def frames(self, frames: tf.Tensor) -> tf.Tensor:
        """`frames` uint8 `[B, T, H, W, C]`, any H and W -> `[B, T, S, S, C]`."""
        T, _, _, C = self._shape
        meaning = f"uint8 [batch, {T}, height, width, {C}]"
        frames = checked(frames, "frames", [T, None, None, C], meaning)
        shape = tf.shape(frames)
        with tf.control_dependencies(check_size(shape[2], shape[3], "frames")):
            images = tf.reshape(frames, [-1, shape[2], shape[3], C])
        return self._videos(each(lambda image: self._fitted(image, "frames"), images, self._image))

    def jpegs(self, frames_bytes: tf.Tensor) -> tf.Tensor:
        """`frames_bytes`, JPEG files `[B, T]`, each of any size -> `[B, T, S, S, 3]`."""
        T = self._shape[0]
        jpegs = checked(frames_bytes, "frames_bytes", [T], f"JPEG files [batch, {T}]")

        def prepared(jpeg: tf.Tensor) -> tf.Tensor:
            return self._fitted(decoded(jpeg, 3, "frames_bytes"), "frames_bytes")

        return self._videos(each(prepared, tf.reshape(jpegs, [-1]), self._image))

    def fields(self, fields_bytes: tf.Tensor) -> tf.Tensor:
        """`fields_bytes`, grey JPEG files `[B, T, L]` of levels, x over y -> `[B, T, S, S, 2L]`."""
        T, S, _, C = self._shape
        L = C // 2
        meaning = f"JPEG files [batch, {T}, {L}]"
        jpegs = checked(fields_bytes, "fields_bytes", [T, L], meaning)

        def prepared(jpeg: tf.Tensor) -> tf.Tensor:
            levels = decoded(jpeg, 1, "fields_bytes")
            rows = tf.shape(levels)[0]
            message = "fields_bytes: x over y have an even number of rows together, not"
            with tf.control_dependencies([require(tf.equal(rows % 2, 0), message, rows)]):
                x, y = levels[: rows // 2], levels[rows // 2 :]
            return self._fitted(tf.concat([x, y], axis=-1), "fields_bytes")

        fields = each(prepared, tf.reshape(jpegs, [-1]), [S, S, 2])
        fields = tf.transpose(tf.reshape(fields, [-1, L, S, S, 2]), [0, 2, 3, 1, 4])
        return self._videos(tf.reshape(fields, [-1, S, S, C]))

    @property
    def _image(self) -> list[int]:
        return list(self._shape[1:])

    def _fitted(self, image: tf.Tensor, name: str) -> tf.Tensor:
        return fitted(image, *self._size, self._resize, name)

    def _videos(self, images: tf.Tensor) -> tf.Tensor:
        return tf.reshape(images, [-1, *self._shape])


def _answers(model: keras.Model, classes: list[str]) -> Callable[[tf.Tensor], dict[str, Any]]:
    count = min(TOP, len(classes))

    def answer(videos: tf.Tensor) -> dict[str, Any]:
        logits = tf.cast(model(videos, training=False), tf.float32)
        probabilities = tf.nn.softmax(logits)
        # Of the logits: they still differ where probabilities are rounded to 0 or 1.
        top = tf.math.top_k(logits, count).indices
        return {
            "logits": tf.identity(logits),
            "probabilities": probabilities,
            "top_classes": top,
            "top_labels": tf.gather(tf.constant(classes), top),
            "top_probabilities": tf.gather(probabilities, top, batch_dims=1),
        }

    return answer

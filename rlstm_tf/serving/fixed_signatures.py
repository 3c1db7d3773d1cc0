"""Signatures of fixed sizes, for runtimes on phones and in browsers: one video or stream at a time.

    serve_frames  frames uint8 [1, T, H, W, C] -> logits and probabilities
    init_state    decay float32 [1], 0..1; 1 = forget nothing -> the state of a new stream
    step          frames uint8 [1, H, W, C], state -> logits, probabilities, state

The application keeps the state: every output whose name begins with `state_` is an input of the
same name in the next step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from rlstm_tf.compat import tensorflow_variables
from rlstm_tf.errors import DataError
from rlstm_tf.layers.relation import without_chunks
from rlstm_tf.models.streaming import StreamingModel
from rlstm_tf.serving.artifact import ModelMetadata
from rlstm_tf.serving.fixed_metadata import FixedMetadata, FrameSize
from rlstm_tf.serving.fixed_resize import make_preparation
from rlstm_tf.serving.stream_signatures import STATE, pick_state

# Allowed difference of logits, times the largest one if that is above 1, by `quantize`. The last is
# for files that are wrong altogether: what it costs depends on the network (docs/deploy.md).
TOLERANCES = {"none": 1e-4, "float16": 0.05, "dynamic": 0.5}


class Difference(NamedTuple):
    """Largest difference of a converted network's logits, and the largest logit, both absolute."""

    difference: float
    largest: float


class Converted(NamedTuple):
    """A network in the format of another runtime.

    Attributes:
        files: content by the name in the directory to write to; "" = the output is one file.
        signatures: their names.
        difference: of the logits.
    """

    files: dict[str, bytes]
    signatures: list[str]
    difference: Difference


class FixedModule(tf.Module):
    """A network for frames of one size, with `functions` to convert as its signatures.

    Args:
        model: the network, uint8 snippets `[batch, T, S, S, channels]` -> logits.
        metadata: its metadata.
        size: of the frames.
        streaming: a step of the network, for the signatures of streams; None = none.
        new: put before the names of the state that a step returns.

    Attributes:
        functions: concrete functions of named tensors, by the signature's name.
        prepare: uint8 `[N, *size, C]` -> uint8 `[N, S, S, C]`, as the signatures do it.

    Raises:
        UsageError: frames of this size cannot be prepared.
    """

    def __init__(
        self,
        model: keras.Model,
        metadata: ModelMetadata,
        size: FrameSize,
        streaming: StreamingModel | None = None,
        new: str = "",
    ) -> None:
        super().__init__(name="rlstm_tf")
        # Not the model: converters read the layers of one, and some then lose weights.
        self.weights = tensorflow_variables(model.variables)
        T, S, _, C = metadata.input_config().video_shape
        prepare = make_preparation(size, S, metadata.short_side, metadata.stream == "spatial")
        self.prepare = prepare

        def serve_frames(frames: tf.Tensor) -> dict[str, tf.Tensor]:
            snippets = prepare(tf.reshape(frames, [T, *size, C]))
            return _answer(model(tf.reshape(snippets, [1, T, S, S, C]), training=False))

        clip = tf.TensorSpec([1, T, *size, C], tf.uint8, "frames")
        self.functions = {"serve_frames": _concrete(serve_frames, clip)}
        if streaming is None:
            return
        shapes = streaming.state_shapes.items()
        specs = {STATE + name: tf.TensorSpec([1, *shape], tf.float32) for name, shape in shapes}

        def init_state(decay: tf.Tensor) -> dict[str, tf.Tensor]:
            return _as_outputs(_tell_apart(streaming.init_state(1, decay), decay))

        def step(frames: tf.Tensor, **state: tf.Tensor) -> dict[str, tf.Tensor]:
            given = {name.removeprefix(STATE): value for name, value in state.items()}
            logits, after = streaming.step(prepare(frames), given)
            outputs = {new + name: value for name, value in _as_outputs(after).items()}
            return {**_answer(logits), **outputs}

        snippet = tf.TensorSpec([1, *size, C], tf.uint8, "frames")
        self.functions["init_state"] = _concrete(init_state, tf.TensorSpec([1], name="decay"))
        self.functions["step"] = _concrete(step, snippet, **specs)


def measure_difference(
    run: Callable[[str, dict[str, np.ndarray]], Mapping[str, np.ndarray]],
    module: FixedModule,
    model: keras.Model,
    metadata: FixedMetadata,
) -> Difference:
    """Compares the logits of a converted network with those of the network, for one video.

    So are the logits after T steps of a stream, if its window is no shorter.

    Args:
        run: runs a signature: its name and inputs -> its outputs.
        module: what was converted.
        model: the network.
        metadata: its metadata.

    Raises:
        DataError: logits are not finite, or differ by more than such a file may.
    """
    network = metadata.network
    T, _, _, C = network.input_config().video_shape
    frames = np.random.default_rng(0).integers(0, 256, (T, *metadata.frame_size, C), np.uint8)
    prepared = module.prepare(tf.constant(frames))[None]
    expected = np.asarray(model(prepared, training=False), np.float32)
    answers = {"serve_frames": run("serve_frames", {"frames": frames[None]})}
    if "step" in module.functions and (metadata.window or T) >= T:
        answers["step"] = run("init_state", {"decay": np.ones(1, np.float32)})
        for frame in frames:
            answers["step"] = run("step", {"frames": frame[None], **pick_state(answers["step"])})
    largest = float(np.abs(expected).max())
    allowed = TOLERANCES[metadata.quantize] * max(1.0, largest)
    found = 0.0
    for signature, answer in answers.items():
        difference = float(np.abs(answer["logits"] - expected).max())
        # Of a number that is not finite, too.
        if not difference <= allowed:
            raise DataError(
                f"the converted network differs from {network.checkpoint}: logits of {signature} "
                f"by {difference:.2g}, {allowed:.2g} is allowed"
            )
        found = max(found, difference)
    return Difference(found, largest)


def _concrete(function: Any, spec: tf.TensorSpec, **state: tf.TensorSpec) -> Any:
    # Not every converter and runtime has loops.
    with without_chunks():
        return tf.function(function, autograph=False).get_concrete_function(spec, **state)


def _answer(logits: tf.Tensor) -> dict[str, tf.Tensor]:
    logits = tf.cast(logits, tf.float32)
    return {"logits": tf.identity(logits), "probabilities": tf.nn.softmax(logits)}


def _tell_apart(state: Mapping[str, tf.Tensor], decay: tf.Tensor) -> dict[str, tf.Tensor]:
    """Adds 0 to each tensor of a new state, computed in another way for each.

    Of outputs that are equal, LiteRT's CompiledModel gives one, under the name of another.
    """
    zero = tf.minimum(decay, 0.0)
    return {name: value + number * zero for number, (name, value) in enumerate(state.items(), 1)}


def _as_outputs(state: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    # The decay is computed too: CompiledModel does not fill an output that is an input.
    computed = {**state, "decay": tf.clip_by_value(state["decay"], 0.0, 1.0)}
    return {STATE + name: tf.identity(value) for name, value in computed.items()}

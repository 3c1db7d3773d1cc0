"""Signatures of a network that answers after each frame of a stream: `init_state` and `step`.

A server keeps nothing between two requests. The state goes to the client and comes back with the
next frame: every output whose name begins with `state_` is an input of the same name.

    init_state  decay float32 [B], 0..1; 1 = forget nothing -> the state of B new streams
    step        frames uint8 [B, H, W, C], state -> logits and the rest as `serving_default`, state
    step_jpeg   the same for JPEG or PNG files, frames_bytes [B]

`state_network` int32 [B] tells by which network a state was made.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from rlstm_tf.models.streaming import StreamingModel
from rlstm_tf.serving.preprocessing import check_shape, require

STATE = "state_"
_NETWORK = f"{STATE}network"


def stream_functions(
    streaming: StreamingModel,
    network: int,
    prepare: dict[str, tuple[Callable[[tf.Tensor], tf.Tensor], tf.TensorSpec]],
    answer: Callable[[tf.Tensor], dict[str, tf.Tensor]],
) -> dict[str, Any]:
    """Makes the signatures.

    Args:
        streaming: the network.
        network: from `fingerprint`.
        prepare: name of each signature for a step -> function from its request to uint8
            `[B, S, S, C]`, and the request's type.
        answer: function from logits to the other outputs, logits included.

    Returns:
        Functions to save, by name.
    """
    shapes = {STATE + name: shape for name, shape in streaming.state_shapes.items()}
    specs = {name: tf.TensorSpec([None, *shape], tf.float32) for name, shape in shapes.items()}
    specs[_NETWORK] = tf.TensorSpec([None], tf.int32)

    def as_outputs(state: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        named = {STATE + name: tf.identity(value) for name, value in state.items()}
        count = tf.shape(state["decay"])[0]
        return {**named, _NETWORK: tf.fill([count], network)}

    def init_state(decay: tf.Tensor) -> dict[str, tf.Tensor]:
        decay = check_shape(decay, "decay", [], "float32 [batch]")
        allowed = tf.reduce_all((decay >= 0) & (decay <= 1))
        with tf.control_dependencies([require(allowed, "decay must be 0 to 1; it is", decay)]):
            decay = tf.identity(decay)
        return as_outputs(streaming.init_state(tf.shape(decay)[0], decay))

    def make_step(prepare_snippets: Callable[[tf.Tensor], tf.Tensor]) -> Callable[..., Any]:
        def step(request: tf.Tensor, **state: tf.Tensor) -> dict[str, tf.Tensor]:
            snippets = prepare_snippets(request)
            state = _check_state(state, shapes, network, tf.shape(snippets)[0])
            logits, state = streaming.step(snippets, state)
            return {**answer(logits), **as_outputs(state)}

        return step

    functions = {"init_state": _concrete(init_state, tf.TensorSpec([None], tf.float32, "decay"))}
    for name, (prepare_snippets, spec) in prepare.items():
        functions[name] = _concrete(make_step(prepare_snippets), spec, **specs)
    return functions


def fingerprint(model: keras.Model) -> int:
    """Returns a number from 0 to 2^31 - 1 that differs between networks with other weights."""
    checksum = 0
    for weight in model.get_weights():
        checksum = zlib.crc32(weight.tobytes(), checksum)
    return checksum & 0x7FFFFFFF


def pick_state(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the state in the outputs of a signature, to pass to the next step."""
    return {name: value for name, value in answer.items() if name.startswith(STATE)}


def _concrete(function: Callable[..., Any], spec: tf.TensorSpec, **state: tf.TensorSpec) -> Any:
    return tf.function(function, autograph=False).get_concrete_function(spec, **state)


def _check_state(
    state: dict[str, tf.Tensor], shapes: dict[str, tuple[int, ...]], network: int, count: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Checks that a state is one of this network, for this number of streams.

    Returns:
        The state under the names of `StreamingModel`. It raises InvalidArgumentError when run if
        it is not.
    """
    checked = {}
    for name, value in state.items():
        shape = shapes.get(name, ())
        layout = f"[{', '.join(['batch', *map(str, shape)])}], as this network gives it"
        checked[name] = check_shape(value, name, list(shape), layout)
    sizes = tf.stack([tf.shape(value)[0] for value in checked.values()])
    checks = [
        require(
            tf.reduce_all(tf.equal(sizes, count)),
            "the state must have a row for each stream in the request; the request and the state "
            "have",
            count,
            sizes,
        ),
        require(
            tf.reduce_all(tf.equal(checked.pop(_NETWORK), network)),
            f"the state is not of this network: {_NETWORK} differs; begin with init_state",
        ),
    ]
    with tf.control_dependencies(checks):
        return {name.removeprefix(STATE): tf.identity(x) for name, x in checked.items()}

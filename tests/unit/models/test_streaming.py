"""Steps of a stream: equal to the clip networks, in windows, with decay, and refused."""

import doctest
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_networks import linear_model

from rlstm_tf.choices import MAX_WINDOW
from rlstm_tf.compat import KERAS_3
from rlstm_tf.errors import UsageError
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import build_model
from rlstm_tf.models import streaming as models_streaming
from rlstm_tf.models.streaming import StreamingModel

NETWORKS = ("two_branch", "rlstm", "local", "tsn", "lstm", "convlstm")
TINY = {"backbone": "tiny_resnetv2", "weights": "none", "image_size": 32, "dropout": 0.5}
CLOSE = {"rtol": 0, "atol": 2e-6}


def build(model, num_segments=3, **options):
    """A network with random weights, moving statistics included, and logits near 1."""
    keras.utils.set_random_seed(0)
    network = build_model(
        ModelConfig(model, num_segments=num_segments, **{**TINY, **options}), num_classes=5
    )
    rng = np.random.default_rng(0)
    for name in ("non_local_bn", "logits"):
        for layer in network.layers:
            if layer.name == name:
                layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return network


@functools.cache
def built(model, num_segments=3, **options):
    """A network that tests only read."""
    return build(model, num_segments, **options)


@functools.cache
def streaming(model, window=None, **options):
    return StreamingModel(built(model, **options), window)


@functools.cache
def traced(stream):
    return tf.function(stream.step, reduce_retracing=True)


def clip(length, batch=2, channels=3, seed=0):
    """uint8 [batch, length, 32, 32, channels], of different brightness."""
    rng = np.random.default_rng(seed)
    bright = rng.integers(32, 256, (batch, length, 1, 1, 1))
    return rng.integers(0, bright, (batch, length, 32, 32, channels)).astype(np.uint8)


def run(stream, snippets, state=None, decay=1.0):
    """Logits after each snippet, [length, batch, 5], and the last state."""
    state = stream.init_state(len(snippets), decay) if state is None else state
    step, logits = traced(stream), []
    for snippet in snippets.swapaxes(0, 1):
        answer, state = step(tf.constant(snippet), state)
        logits.append(answer.numpy())
    return np.stack(logits), state


@functools.cache
def long_answers(model):
    return run(streaming(model), clip(64))[0]


@pytest.mark.parametrize("length", [1, 2, 8, 64])
@pytest.mark.parametrize("model", NETWORKS)
def test_steps_equal_the_clip_network(model, length):
    logits = long_answers(model)
    expected = np.asarray(built(model, length)(clip(64)[:, :length]))
    difference = np.abs(logits[length - 1] - expected).max()
    # The table in docs/streaming.md.
    print(f"{model} n={length}: {difference:.1e} of {np.abs(expected).max():.2f}")
    assert np.abs(expected).max() > 0.1
    assert difference < CLOSE["atol"]
    # The answers are not all the same.
    assert np.abs(logits[0] - logits[1]).max() > 1e-3


@pytest.mark.parametrize(
    "options",
    [
        {"channels": 4},
        {"cut": "post_relu", "units": 7, "local_term": True, "attention_norm": True},
        {"displacement_term": True, "pairwise": "dot_product", "attention_scale": 0.1},
    ],
)
def test_options(options):
    snippets = clip(3, channels=options.get("channels", 3))
    logits, _ = run(streaming("two_branch", **options), snippets)
    expected = built("two_branch", **options)(snippets)
    np.testing.assert_allclose(logits[-1], expected, **CLOSE)


@pytest.mark.skipif(KERAS_3, reason="tensorflow-addons needs Keras 2")
@pytest.mark.parametrize("cell", ["layer_norm", "peephole"])
def test_cells_of_addons(cell):
    logits, _ = run(streaming("lstm", lstm_cell=cell), clip(3))
    expected = built("lstm", lstm_cell=cell)(clip(3))
    np.testing.assert_allclose(logits[-1], expected, **CLOSE)


@pytest.mark.parametrize("model", ["two_branch", "lstm", "convlstm"])
def test_mixed_precision(model):
    """States and logits are float32, which clients can write down."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        network = build(model)
    finally:
        keras.mixed_precision.set_global_policy(before)
    logits, state = run(StreamingModel(network), clip(3))
    assert {value.dtype for value in state.values()} == {tf.float32}
    np.testing.assert_allclose(logits[-1], network(clip(3)), atol=0.05)


def test_the_weights_are_shared():
    network = build("two_branch")
    stream = StreamingModel(network)
    before, _ = run(stream, clip(2))
    kernel, bias = network.get_layer("logits").get_weights()
    network.get_layer("logits").set_weights([kernel, bias + 1.0])
    np.testing.assert_allclose(run(stream, clip(2))[0], before + 1.0, **CLOSE)


@pytest.mark.parametrize("window", [None, 3])
def test_streams_of_a_batch_are_independent(window):
    """One stream may be older than another."""
    stream, snippets = streaming("two_branch", window), clip(4)
    _, state = run(stream, snippets[:1, :2])
    state = {
        name: np.concatenate([value, stream.init_state(1)[name]]) for name, value in state.items()
    }
    both, _ = run(stream, snippets[:, 2:], state)
    np.testing.assert_allclose(both[:, :1], run(stream, snippets[:1])[0][2:], **CLOSE)
    np.testing.assert_allclose(both[:, 1:], run(stream, snippets[1:, 2:])[0], **CLOSE)


def test_decay_makes_averages_exponential():
    """Two streams with a decay of their own, against the sum."""
    decay = np.array([0.5, 0.9], np.float32)
    snippets = clip(5)
    found, state = run(streaming("tsn"), snippets, decay=decay)
    single = np.stack([run(streaming("tsn"), snippets[:, [k]])[0][0] for k in range(5)])
    weights = decay ** np.arange(4, -1, -1)[:, None]
    expected = (weights[..., None] * single).sum(0) / weights.sum(0)[:, None]
    np.testing.assert_allclose(found[-1], expected, **CLOSE)
    np.testing.assert_allclose(state["weight"], weights.sum(0), rtol=1e-6)


@pytest.mark.parametrize("model", ["two_branch", "lstm"])
def test_decay_multiplies_the_recurrent_state(model):
    stream, snippets = streaming(model), clip(2)
    _, state = run(stream, snippets[:, :1], decay=0.25)
    by_hand = {name: value * (1 if name == "mean" else 0.25) for name, value in state.items()}
    # The weight is already multiplied.
    by_hand["decay"] = np.ones(2, np.float32)
    found, _ = run(stream, snippets[:, 1:], state)
    np.testing.assert_allclose(found, run(stream, snippets[:, 1:], by_hand)[0], **CLOSE)
    assert np.abs(found - run(stream, snippets)[0][1:]).max() > 1e-4


def test_a_decay_of_0_forgets_all():
    snippets = clip(3)
    found, _ = run(streaming("two_branch"), snippets, decay=0.0)
    np.testing.assert_allclose(
        found[-1], run(streaming("two_branch"), snippets[:, 2:])[0][0], **CLOSE
    )


@pytest.mark.parametrize("model", ["two_branch", "tsn", "lstm", "convlstm"])
def test_a_window_answers_for_the_last_snippets(model):
    """Before it is full, for all; then as the clip network for its T snippets."""
    snippets = clip(7)
    found, state = run(streaming(model, 3), snippets)
    np.testing.assert_allclose(found[:3], run(streaming(model), snippets[:, :3])[0], **CLOSE)
    for end in (4, 7):
        expected = built(model)(snippets[:, end - 3 : end])
        np.testing.assert_allclose(found[end - 1], expected, **CLOSE)
    assert state["count"].numpy().tolist() == [3.0, 3.0]


def test_a_window_with_decay():
    snippets = clip(5)
    found, _ = run(streaming("two_branch", 3), snippets, decay=0.5)
    expected, _ = run(streaming("two_branch"), snippets[:, 2:], decay=0.5)
    np.testing.assert_allclose(found[-1], expected[-1], **CLOSE)


@pytest.mark.parametrize("model", ["two_branch", "rlstm", "convlstm"])
def test_a_bidirectional_network_streams_with_a_window(model):
    snippets = clip(5)
    found, _ = run(streaming(model, 3, bidirectional=True), snippets)
    for first, end in ((0, 2), (0, 3), (2, 5)):
        expected = built(model, end - first, bidirectional=True)(snippets[:, first:end])
        np.testing.assert_allclose(found[end - 1], expected, **CLOSE)


def test_a_state_does_not_grow():
    for stream in (streaming("two_branch"), streaming("two_branch", 3)):
        for state in (stream.init_state(2), run(stream, clip(4))[1]):
            shapes = {name: tuple(value.shape) for name, value in state.items()}
            assert shapes == {name: (2, *shape) for name, shape in stream.state_shapes.items()}


def test_the_example():
    namespace = {**vars(models_streaming), "np": np, "ModelConfig": ModelConfig}
    namespace["build_model"] = build_model
    found = doctest.testmod(models_streaming, extraglobs=namespace)
    assert (found.failed, found.attempted) == (0, 5)


def test_refusals():
    def refused(message, network, window=None):
        with pytest.raises(UsageError, match=message) as caught:
            StreamingModel(network, window)
        assert "\n" not in str(caught.value)

    both = built("two_branch", bidirectional=True)
    refused("bidirectional two_branch cannot stream without a window: half of it begins", both)
    refused("transformer cannot stream: it needs all snippets", built("transformer"))
    refused("transformer cannot stream: it needs all snippets", built("transformer"), 3)
    refused("cannot stream", linear_model())
    for window in (0, MAX_WINDOW + 1):
        refused(f"1 to 64 snippets, not {window}", built("tsn"), window)

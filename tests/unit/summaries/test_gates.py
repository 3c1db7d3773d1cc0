"""Histograms of the gates of eq. 3."""

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from relational_layers import UNITS, flat, layer_and_input, operations_of
from small_shards import texture_jpeg, write_shards
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlstm_tf.attention.maps import find_relational_lstm
from rlstm_tf.data.batch_schedule import EpochSchedule
from rlstm_tf.data.batches import evaluation_example
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.shards import Shards
from rlstm_tf.layers import FoldTime, PixelScaling, RelationalLSTM, UnfoldTime
from rlstm_tf.layers.relational_lstm_cell import GATES, PAIRWISE
from rlstm_tf.summaries.events import Events
from rlstm_tf.summaries.gates import Gates, gate_activations
from rlstm_tf.training.state import TrainState

SIDE = 32


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_activations_equal_eq_3(pairwise):
    layer, X = layer_and_input(T=3, pairwise=pairwise, attention_scale=0.5)
    found = gate_activations(layer, X)
    assert tuple(found) == GATES
    for b in range(len(X)):
        options = {"pairwise": pairwise, "scale": 0.5}
        expected = reference.gates_over_time(
            flat(X[b]), operations_of(layer.cell), UNITS, **options
        )
        for gate, values in zip(GATES, expected):
            np.testing.assert_allclose(found[gate][b], values, atol=1e-5, err_msg=gate)


@pytest.mark.parametrize("maps", [(2, 3), (6,)])
def test_activations_reproduce_the_state(maps):
    """Bit for bit."""
    layer, X = layer_and_input(T=4, maps=maps)
    gates = gate_activations(layer, X)
    H = C = tf.zeros_like(gates["i"][:, 0])
    for t in range(4):
        C = gates["f"][:, t] * C + gates["i"][:, t] * gates["g"][:, t]
        H = gates["o"][:, t] * tf.tanh(C)
    np.testing.assert_array_equal(np.reshape(layer(X), H.shape), H)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    """Computes the gates in float32, so that histograms show no rounding."""
    exact, X = layer_and_input()
    layer = RelationalLSTM(UNITS, dtype=policy)
    layer.build(X.shape)
    layer.set_weights(exact.get_weights())
    found, expected = gate_activations(layer, X), gate_activations(exact, X)
    for gate in GATES:
        assert found[gate].dtype == np.float32
        np.testing.assert_array_equal(found[gate], expected[gate])


def make_model(T):
    """Returns frames -> 4x4 maps -> Relational LSTM -> logits, with random weights."""
    frames = keras.Input((T, SIDE, SIDE, 3), dtype="uint8")
    maps = keras.layers.AveragePooling2D(SIDE // 4)(PixelScaling()(FoldTime()(frames)))
    H = RelationalLSTM(UNITS, name="relational_lstm")(UnfoldTime(T)(maps))
    logits = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(H))
    model = keras.Model(frames, logits)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(scale=0.5, size=w.shape) for w in model.get_weights()])
    return model


def test_histograms_equal_eq_3(tmp_path):
    write_shards(tmp_path / "shards", [6, 9, 5, 7, 8, 6], image=texture_jpeg)
    shards = Shards.open(str(tmp_path / "shards"), "train")
    config = InputConfig(2, num_segments=3, image_size=SIDE)
    model, events = (
        make_model(3),
        Events(tmp_path / "events", EpochSchedule(6, 2), TrainState(step=3)),
    )
    layer = find_relational_lstm(model)
    callback = Gates(events, layer, shards, config)
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_end(0)
    events.close()
    expected = {gate: [] for gate in GATES}
    # Four videos, spread over the six.
    for video in (0, 1, 3, 5):
        frames = evaluation_example(shards, config, video)["frames"][0].astype("float32")
        X = (frames / 127.5 - 1).reshape(3, 4, 8, 4, 8, 3).mean(axis=(2, 4)).reshape(3, 16, 3)
        of_video = reference.gates_over_time(X, operations_of(layer.cell), UNITS)
        for gate, values in zip(GATES, of_video):
            expected[gate].append(values)
    reader = EventAccumulator(str(tmp_path / "events"))
    reader.Reload()
    for gate, values in expected.items():
        (event,) = reader.Tensors(f"gates/{gate}")
        left, right, counts = tf.make_ndarray(event.tensor_proto).T
        assert event.step == 3
        assert (left[0], right[-1]) == ((-1, 1) if gate == "g" else (0, 1))
        assert len(set(counts)) > 5
        assert counts.sum() == 4 * 3 * 16 * UNITS
        np.testing.assert_array_equal(counts, np.histogram(values, np.append(left, 1.0))[0])


def test_network_without_relational_lstm():
    frames = keras.Input((2, 4), dtype="float32")
    assert find_relational_lstm(keras.Model(frames, keras.layers.LSTM(2)(frames))) is None

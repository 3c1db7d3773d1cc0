"""LSTM cells of tensorflow-addons against NumPy; refusals without it."""

import sys

import keras
import numpy as np
import pytest
import reference
from command_lines import parse

from rlstm_tf import compat
from rlstm_tf.errors import UsageError
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import build_model
from rlstm_tf.runs.checkpoints import named_variables

addons = pytest.mark.skipif(compat.KERAS_3, reason="Keras 3 cannot load tensorflow-addons")
CELLS = ("layer_norm", "peephole")


def network(cell):
    config = ModelConfig(
        model="lstm",
        backbone="tiny_resnetv2",
        weights="none",
        image_size=32,
        num_segments=3,
        units=5,
        lstm_cell=cell,
    )
    return build_model(config, 3)


@addons
@pytest.mark.parametrize("cell", CELLS)
def test_last_state(cell):
    """Eager and traced, with random weights, each of a unique name."""
    model = network(cell)
    layer = model.get_layer("lstm")
    rng = np.random.default_rng(0)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    named = {
        name.removeprefix("model/lstm/"): np.asarray(value).astype("float64")
        for name, value in named_variables(model).items()
        if name.startswith("model/lstm/")
    }
    x = rng.normal(size=(2, 3, 64))
    weights = [named[name] for name in ("kernel", "recurrent_kernel", "bias")]
    if cell == "peephole":
        gates = ("input", "forget", "output")
        peepholes = [named[f"{gate}_gate_peephole_weights"] for gate in gates]
        expected = reference.lstm(x, *weights, peepholes=peepholes)
    else:
        norms = [
            (named[f"{part}_norm_gamma"], named[f"{part}_norm_beta"])
            for part in ("kernel", "recurrent", "state")
        ]
        expected = reference.lstm(x, *weights, norms=norms)
    np.testing.assert_allclose(layer(x.astype("float32")), expected, atol=1e-5)
    traced = keras.Sequential([keras.Input((3, 64)), layer])
    np.testing.assert_allclose(traced.predict(x, verbose=0), expected, atol=1e-5)


@addons
def test_peepholes_are_initialized_independently(recwarn):
    """And equally for equal seeds."""
    initial = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        weights = network("peephole").get_layer("lstm").weights
        initial.append([w.numpy() for w in weights if "gate_peephole" in w.name])
    assert len({peephole.tobytes() for peephole in initial[0]}) == 3
    np.testing.assert_array_equal(initial[0], initial[1])
    assert not [warning for warning in recwarn if "unseeded" in str(warning.message)]


@pytest.mark.skipif(not compat.KERAS_3, reason="needs a stack without tensorflow-addons")
def test_keras_3_is_refused():
    with pytest.raises(UsageError, match=r"--lstm_cell=peephole needs .*\[addons\].*3\.9 - 3\.11"):
        network("peephole")


@addons
def test_without_tensorflow_addons(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_addons", None)
    with pytest.raises(UsageError, match=r"--lstm_cell=layer_norm needs tensorflow-addons"):
        network("layer_norm")


def test_other_networks_are_refused():
    with pytest.raises(UsageError, match="--lstm_cell=peephole goes with --model=lstm"):
        ModelConfig.from_flags(parse("--lstm_cell=peephole"))
    assert ModelConfig.from_flags(parse("--lstm_cell=peephole", "--model=lstm")).lstm_cell

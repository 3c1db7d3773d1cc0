"""Initialization from another run: copied, adapted and new weights."""

from pathlib import Path

import keras
import numpy as np
import pytest

from rlstm_tf.errors import DataError
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import build_model
from rlstm_tf.models.flow_stem import cross_modality
from rlstm_tf.runs.checkpoints import named_variables
from rlstm_tf.runs.weights import initialize_from

PATH = Path("runs/spatial/checkpoints/best.npz")
FIRST = "model/trunk/conv1_conv/kernel"


def build(model, seed, num_classes=5, backbone="tiny_resnetv2", **options):
    keras.utils.set_random_seed(seed)
    options = {"weights": "none", "image_size": 32, "num_segments": 3, **options}
    network = build_model(ModelConfig(model, backbone, **options), num_classes)
    # Initial biases of 0 and statistics of 0 and 1 would hide a weight that was not copied.
    rng = np.random.default_rng(seed)
    network.set_weights([w + rng.normal(0, 0.01, w.shape) for w in network.get_weights()])
    return network


def values(network):
    return {name: np.asarray(weight.numpy()) for name, weight in named_variables(network).items()}


def assert_equal(names, a, b):
    for name in names:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("model", ["two_branch", "tsn", "lstm", "convlstm", "transformer"])
def test_temporal_from_spatial_adapts_only_first_kernel(model):
    spatial, temporal = values(build(model, 1)), build(model, 2, channels=20)
    state = {**spatial, "optimizer/0000": np.int64(7)}
    result = initialize_from(temporal, state, PATH, same_model=True)
    after = values(temporal)
    assert result.adapted == [FIRST]
    assert result.new == []
    assert set(result.copied) == set(spatial) - {FIRST} == set(after) - {FIRST}
    assert_equal(result.copied, after, spatial)
    np.testing.assert_array_equal(after[FIRST], cross_modality(spatial[FIRST], 20))


@pytest.mark.parametrize("channels", [3, 20])
def test_rlstm_from_tsn_copies_trunk(channels):
    tsn = values(build("tsn", 1, channels=channels))
    network = build("rlstm", 2, channels=channels)
    before = values(network)
    result = initialize_from(network, tsn, PATH, same_model=False)
    after = values(network)
    assert set(result.copied) == {name for name in after if name.startswith("model/trunk/")}
    assert result.adapted == []
    assert_equal(result.copied, after, tsn)
    assert_equal(result.new, after, before)
    assert set(result.copied) | set(result.new) == set(after)
    assert result.new_layers()[:3] == ["non_local_bn", "relational_lstm", "restore"]
    assert {"non_local_tail/post_bn", "logits"} <= set(result.new_layers())


def test_two_branch_from_tsn_copies_trunk_and_pretrained_tail():
    tsn, network = values(build("tsn", 1)), build("two_branch", 2)
    result = initialize_from(network, tsn, PATH, same_model=False)
    assert set(result.copied) == {
        name for name in tsn if name.startswith(("model/trunk/", "model/tail/"))
    }
    assert_equal(result.copied, values(network), tsn)
    assert "model/logits/kernel" in result.new


def test_backbone_weights_match_across_cuts():
    tsn = build("tsn", 1, cut="conv5_block1_out")
    network = build("local", 2, cut="conv5_block3_out")
    initialize_from(network, values(tsn), PATH, same_model=False)
    for layer in ("conv5_block2_1_conv", "conv5_block3_2_bn"):
        for a, b in zip(
            tsn.get_layer("tail").get_layer(layer).get_weights(),
            network.get_layer("trunk").get_layer(layer).get_weights(),
        ):
            np.testing.assert_array_equal(a, b)


def test_other_classes_keep_classifier_new():
    source, network = values(build("rlstm", 1)), build("rlstm", 2, num_classes=7)
    before = values(network)
    result = initialize_from(network, source, PATH, same_model=True)
    assert result.new == ["model/logits/kernel", "model/logits/bias"]
    assert result.new_layers() == ["logits"]
    assert_equal(result.new, values(network), before)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            {"backbone": "mobilenet_v2"},
            r"best.npz is from another backbone: model/trunk/conv1_conv/kernel is missing, "
            r"expected \(7, 7, 3, 16\)",
        ),
        # The standalone R-LSTM has no tail, which the paper takes pretrained.
        ({"model": "rlstm"}, r"model/tail/conv5_block3_\w+/\w+ is missing"),
        ({"channels": 20}, r"conv1_conv/kernel is \(7, 7, 20, 16\), expected \(7, 7, 3, 16\)"),
    ],
)
def test_another_backbone_is_refused_before_assigning(source, message):
    state = values(build(**{"model": "tsn", "seed": 1, **source}))
    network = build("tsn", 2)
    before = values(network)
    with pytest.raises(DataError, match=message):
        initialize_from(network, state, PATH, same_model=True)
    assert_equal(before, values(network), before)

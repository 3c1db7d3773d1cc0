"""Every network: size, sensitivity to the order of snippets, mixed precision, refusals."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from rlstm_tf import choices
from rlstm_tf.compat import KERAS_3, unrolled_conv_lstm
from rlstm_tf.errors import UsageError
from rlstm_tf.layers import RelationalLSTM
from rlstm_tf.layers.relation import TERMS
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import MODELS, baselines, build_model
from rlstm_tf.models.backbone import build_backbone
from rlstm_tf.models.branches import relational_lstm
from rlstm_tf.models.transformer import encoder_width, transformer_encoder
from rlstm_tf.runs.checkpoints import named_weights

# Parameters for 101 classes at the default cut of tiny_resnetv2 and of resnet101v2.
PARAMETERS = {
    "two_branch": (92_761, 91_594_341),
    "rlstm": (81_241, 86_908_517),
    "local": (37_145, 42_833_509),
    "tsn": (37_145, 42_833_509),
    "lstm": (46_329, 55_317_093),
    "convlstm": (161_753, 162_877_029),
    "transformer": (94_105, 92_694_029),
}
# Networks that the order of the snippets matters to.
ORDERED = {"two_branch", "rlstm", "lstm", "convlstm", "transformer"}


TINY = {"backbone": "tiny_resnetv2", "weights": "none", "image_size": 32, "num_segments": 3}


def build(model, num_classes=5, **options):
    keras.utils.set_random_seed(0)
    return build_model(ModelConfig(model, **{**TINY, "dropout": 0.0, **options}), num_classes)


@functools.cache
def built(model):
    """A network that tests only read."""
    return build(model)


def snippets(batch=2, channels=3, size=32, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(1, 256, (batch, 3, size, size, channels), dtype="uint8")


def test_every_model_is_pinned():
    assert set(PARAMETERS) == set(MODELS)
    assert tuple(MODELS) == choices.MODELS


@pytest.fixture(scope="module")
def resnet101v2():
    return build_backbone("resnet101v2", weights="none", image_size=32)


@pytest.mark.parametrize("model", MODELS)
def test_parameters(model, resnet101v2):
    """A flow stem adds 17 channels to the first kernel."""
    tiny, large = PARAMETERS[model]
    assert build(model, 101).count_params() == tiny
    assert build(model, 101, channels=20).count_params() == tiny + 7 * 7 * 17 * 16
    assert MODELS[model](resnet101v2, ModelConfig(), 101).count_params() == large


def test_parameters_by_hand():
    """From the equations, for maps of C = 64, a state of S = 32 and a tail 64 -> 64."""
    trunk, tail, C, S = 25_524, 5_056, 64, 32
    dense = C * 101 + 101
    relational = 24 * S  # biases
    relational += 4 * (3 * C + C) * S + 4 * 2 * S * S  # theta, phi, g of X and theta_h; phi, g of H
    restored = 4 * C + relational + (S * C + C) + tail
    assert PARAMETERS["rlstm"][0] == trunk + restored + dense
    assert PARAMETERS["two_branch"][0] == trunk + tail + restored + 2 * C * 101 + 101
    assert PARAMETERS["tsn"][0] == PARAMETERS["local"][0] == trunk + tail + dense
    lstm = 4 * (S * (C + S) + S)
    assert PARAMETERS["lstm"][0] == trunk + tail + lstm + S * 101 + 101
    conv_lstm = 4 * (9 * S * (C + S) + S)
    two_branch = PARAMETERS["two_branch"][0]
    assert PARAMETERS["convlstm"][0] == two_branch - relational + conv_lstm


@pytest.mark.parametrize("model", MODELS)
def test_order_of_the_snippets(model):
    network = built(model)
    logits, reverse = (np.asarray(network(x)) for x in (snippets(), snippets()[:, ::-1]))
    assert logits.shape == (2, 5)
    assert logits.dtype == np.float32
    differ = np.abs(logits - reverse).max()
    assert differ > 1e-4 if model in ORDERED else differ < 1e-5


def test_tsn_averages_the_scores_of_snippets():
    """Without dropout, that equals the dense layer on averaged features: `local`."""
    tsn, local = built("tsn"), build("local")
    local.set_weights(tsn.get_weights())
    np.testing.assert_allclose(tsn(snippets()), local(snippets()), atol=1e-5)
    scores = keras.Model(tsn.input, tsn.get_layer("logits").output)(snippets())
    means = np.asarray(scores).reshape(2, 3, 5).mean(axis=1)
    np.testing.assert_allclose(tsn(snippets()), means, atol=1e-6)
    # Dropout comes before the average.
    assert tuple(tsn.get_layer("dropout").output.shape) == (None, 64)


def test_lstm_takes_pooled_features():
    network = built("lstm")
    layer = network.get_layer("lstm")
    assert tuple(network.get_layer("local_segments").output.shape) == (None, 3, 64)
    assert tuple(layer.output.shape) == (None, 32)
    assert tuple(build("lstm", units=7).get_layer("lstm").output.shape) == (None, 7)


def test_convlstm_replaces_the_relational_lstm():
    relational, convolutional = built("two_branch"), built("convlstm")
    names = [[layer.name for layer in model.layers] for model in (relational, convolutional)]
    assert sorted(names[0]) == sorted(
        "relational_lstm" if name == "conv_lstm" else name for name in names[1]
    )
    shapes = [
        tuple(model.get_layer(name).output.shape)
        for model, name in ((relational, "relational_lstm"), (convolutional, "conv_lstm"))
    ]
    assert shapes[0] == shapes[1] == (None, 4, 4, 32)
    assert convolutional.get_layer("conv_lstm").kernel_size == (3, 3)


@pytest.mark.parametrize(("channels", "units"), [(64, 32), (2048, 1024), (2048, 256)])
def test_the_encoder_is_as_large_as_a_relational_lstm(channels, units):
    """Within a tenth, by the formula and by Keras's count."""
    maps = keras.Input((8, 7, 7, channels))
    encoded = transformer_encoder(encoder_width(channels, units))(maps)
    relational = RelationalLSTM(units)
    relational.build(maps.shape)
    ratio = keras.Model(maps, encoded).count_params() / relational.count_params()
    assert 0.9 < ratio < 1.1
    if units == channels // 2:
        assert encoded.shape[-1] == pytest.approx(1.5 * units, rel=0.02)


def test_parameters_of_the_transformer_by_hand():
    """Maps of 64 channels, 4 x 4 places of 3 snippets; two layers of width 48."""
    C, d, conv_lstm = 64, 48, 4 * (9 * 32 * (64 + 32) + 32)
    layer = 4 * (d * d + d) + (d * 2 * d + 2 * d) + (2 * d * d + d) + 2 * 2 * d
    encoder = C * d + d + (3 + 4 * 4) * d + 2 * layer + 2 * d
    restore = (d - 32) * C
    expected = PARAMETERS["convlstm"][0] - conv_lstm + encoder + restore
    assert PARAMETERS["transformer"][0] == expected


def test_the_transformer_takes_the_place_of_the_relational_lstm():
    network = built("transformer")
    for name in ("local_time", "non_local_bn", "restore", "features"):
        assert network.get_layer(name) is not None
    assert tuple(network.get_layer("encoder_map").output.shape) == (None, 4, 4, 48)
    assert build("transformer", units=7).get_layer("encoder_map").output.shape[-1] == 20


def test_options_reach_the_relational_lstm():
    options = {"pairwise": "dot_product", "attention_scale": 0.5, "units": 6}
    options |= dict.fromkeys((*TERMS, "unit_forget_bias"), True)
    config = relational_lstm(ModelConfig(**options), 8).get_config()
    assert {name: config[name] for name in options} == options


@pytest.mark.parametrize(
    ("model", "name"), [("two_branch", "relational_lstm"), ("convlstm", "conv_lstm")]
)
def test_both_directions(model, name):
    """Half of the units each; the second layer is the first one on the reversed snippets."""
    network = build(model, units=6, bidirectional=True)
    forward, backward = network.get_layer(name), network.get_layer(f"{name}_back")
    X = np.random.default_rng(0).normal(size=(2, 3, 4, 4, 64)).astype("float32")
    backward.set_weights(forward.get_weights())
    assert forward(X).shape == (2, 4, 4, 3)
    np.testing.assert_allclose(backward(X), forward(X[:, ::-1]), atol=1e-6)
    assert np.abs(np.asarray(backward(X)) - np.asarray(forward(X))).max() > 1e-3


def test_unrolled_convlstm_equals_keras():
    X = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 6)).astype("float32")
    ours = unrolled_conv_lstm(7, kernel_size=3, padding="same")
    theirs = keras.layers.ConvLSTM2D(7, 3, padding="same")
    expected = theirs(X)
    assert ours(X).shape == (2, 4, 5, 7)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours(X), expected, atol=1e-6)


@pytest.mark.parametrize("model", ["lstm", "convlstm", "transformer"])
def test_save_and_load(model, tmp_path):
    network = built(model)
    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(snippets()), network(snippets()), atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_names_of_weights(model):
    """Unique, and the same on both stacks, which load each other's checkpoints."""
    names = [name for name, _ in named_weights(built(model))]
    assert len(names) == len(set(names))
    layer = {"lstm": "lstm", "convlstm": "conv_lstm"}.get(model)
    if layer:
        own = {name for name in names if name.startswith(layer)}
        assert own == {f"{layer}/{weight}" for weight in ("kernel", "recurrent_kernel", "bias")}


@pytest.mark.skipif(not KERAS_3, reason="Keras 2.15 has no paths")
def test_paths_of_weights_differ(tmp_path):
    """Those of both tails too, and loaded again: under torch, Keras finds gradients by them."""
    network = built("two_branch")
    network.save(tmp_path / "model.keras")
    for model in (network, keras.models.load_model(tmp_path / "model.keras")):
        paths = [weight.path for weight in model.weights]
        assert len(set(paths)) == len(paths)


@pytest.mark.parametrize(
    ("model", "policy"),
    [
        # The parts of `two_branch` need no test of their own.
        *((model, "mixed_bfloat16") for model in ("two_branch", "tsn", "lstm", "convlstm")),
        *((model, "mixed_float16") for model in ("two_branch", "transformer")),
    ],
)
def test_mixed_precision(model, policy):
    """Weights and logits stay float32; gradients are finite."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        network = build(model)
    finally:
        keras.mixed_precision.set_global_policy(before)
    with tf.GradientTape() as tape:
        logits = network(snippets(), training=True)
        loss = tf.reduce_mean(tf.square(logits))
    gradients = tape.gradient(loss, network.trainable_variables)
    assert logits.dtype == tf.float32
    assert {str(np.asarray(weight).dtype) for weight in network.get_weights()} == {"float32"}
    assert all(np.isfinite(np.asarray(gradient)).all() for gradient in gradients)
    # Initialized alike, and not trained since.
    np.testing.assert_allclose(network(snippets()), built(model)(snippets()), atol=0.1)


# Pooled features, and both branches on maps. The middle cut is the default.
@pytest.mark.parametrize("cut", ["conv5_block1_out", "conv5_block3_out"])
@pytest.mark.parametrize("model", ["lstm", "two_branch"])
def test_every_cut_of_the_ablation(model, cut):
    assert build(model, cut=cut)(snippets()).shape == (2, 5)


@pytest.mark.parametrize(
    ("backbone", "cut"),
    [
        ("tiny_resnetv2", "post_relu"),  # the last layer
        ("vgg16", "block5_pool"),
        ("mobilenet_v2", "block_16_project_BN"),
    ],
)
@pytest.mark.parametrize("model", ["lstm", "two_branch"])
def test_other_cuts(model, backbone, cut):
    size = 64
    network = build(model, backbone=backbone, cut=cut, image_size=size, units=8)
    assert network(snippets(size=size)).shape == (2, 5)


def test_unknown_model():
    with pytest.raises(UsageError, match=r"model='trn' must be one of two_branch, rlstm, local"):
        build("trn")


def test_networks_have_their_earlier_import_path():
    for name in ("rlstm", "local", "tsn", "lstm", "convlstm"):
        assert getattr(baselines, name) is MODELS[name]


def test_separate_arguments_build_the_same_network():
    """The signature before `ModelConfig`."""
    with pytest.deprecated_call():
        keras.utils.set_random_seed(0)
        old = build_model(
            *(5, "tiny_resnetv2", None, "none", 32, "batch", 0.9),
            **{"model": "rlstm", "num_segments": 3, "units": 7, "channels": 4, "dropout": 0.0},
        )
    options = {"batch_norm": "batch", "batch_norm_momentum": 0.9, "units": 7, "channels": 4}
    new = build("rlstm", **options)
    x = snippets(channels=4)
    np.testing.assert_array_equal(old(x, training=True), new(x, training=True))
    for a, b in zip(old.get_weights(), new.get_weights()):
        np.testing.assert_array_equal(a, b)
    with pytest.deprecated_call(), pytest.raises(UsageError, match="was removed"):
        build_model(
            *(5, "tiny_resnetv2", None, "none", 32, "batch", 0.9),
            **{"num_segments": 3, "embeddings": "shared"},
        )

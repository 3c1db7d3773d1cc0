"""A Keras application cut in two at a named layer: the trunk below it, the tail above it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.layers import BatchNormalization
from rlstm_tf.models.dropout import Dropout
from rlstm_tf.models.flow_stem import flow_stem
from rlstm_tf.models.rematerialization import Trunk
from rlstm_tf.models.tiny_resnet import tiny_resnet_v2


@dataclass(frozen=True)
class Application:
    """A network that can be cut.

    Attributes:
        build: called with `input_shape`, `include_top=False` and `weights`.
        scaling: what its pixels are scaled to (`PixelScaling`).
        cut: where it is cut if nothing else is said: one block before the end.
        pretrained: whether Keras has ImageNet weights of it.
    """

    build: Callable[..., keras.Model]
    scaling: str
    cut: str
    pretrained: bool = True


def _tiny(input_shape: tuple, **_: Any) -> keras.Model:
    return tiny_resnet_v2(input_shape)


APPLICATIONS = {
    "densenet121": Application(keras.applications.DenseNet121, "torch", "pool4_pool"),
    "efficientnet_b0": Application(keras.applications.EfficientNetB0, "torch", "block6d_add"),
    "inception_v3": Application(keras.applications.InceptionV3, "tf", "mixed9"),
    "mobilenet": Application(keras.applications.MobileNet, "tf", "conv_pw_12_relu"),
    "mobilenet_v2": Application(keras.applications.MobileNetV2, "tf", "block_15_add"),
    "resnet50": Application(keras.applications.ResNet50, "caffe", "conv5_block2_out"),
    "resnet101": Application(keras.applications.ResNet101, "caffe", "conv5_block2_out"),
    "resnet50v2": Application(keras.applications.ResNet50V2, "tf", "conv5_block2_out"),
    "resnet101v2": Application(keras.applications.ResNet101V2, "tf", "conv5_block2_out"),
    "resnet152v2": Application(keras.applications.ResNet152V2, "tf", "conv5_block2_out"),
    "tiny_resnetv2": Application(_tiny, "tf", "conv5_block2_out", pretrained=False),
    "vgg16": Application(keras.applications.VGG16, "caffe", "block4_pool"),
    "vgg19": Application(keras.applications.VGG19, "caffe", "block4_pool"),
}


@dataclass(frozen=True)
class Backbone:
    """The two parts of a network; `tail(trunk(x))` is the whole, bit for bit.

    Attributes:
        trunk: scaled images `[batch, S, S, channels]` -> maps `[batch, H, W, C]`.
        tail: those maps -> the network's last maps, before pooling.
        scaling: what the pixels are scaled to (`PixelScaling`).
    """

    trunk: keras.Model
    tail: keras.Model
    scaling: str


def build_backbone(
    name: str = "resnet101v2",
    cut: str | None = None,
    weights: str = "imagenet",
    image_size: int = 224,
    statistics: str = "population",
    momentum: float = 0.999,
    channels: int = 3,
) -> Backbone:
    """Builds an application, gives it its weights, and cuts it.

    Args:
        name: one of `APPLICATIONS`.
        cut: layer whose output ends the trunk; the application's own choice if None
            (`conv5_block2_out` for ResNetV2, the paper's conv5_2).
        weights: `"imagenet"` (fetched by Keras), `"none"`, or the path of a file of weights that
            Keras wrote for the application without its top.
        image_size: S, the side of the square images, pixels.
        statistics: mode of every batch normalization (`rlstm_tf.layers.BatchNormalization`).
        momentum: of their moving statistics.
        channels: of the images: 3 for RGB; any other number is stacked flow, and the first
            convolution is adapted to it (`flow_stem`).

    Raises:
        UsageError: unknown name, or a cut that is no layer or no single map.
        DataError: weights that cannot be read or do not fit.
    """
    if name not in APPLICATIONS:
        raise UsageError(f"backbone {name!r} is none of {', '.join(sorted(APPLICATIONS))}")
    application = APPLICATIONS[name]
    whole = _with_weights(application, name, weights, (image_size, image_size, 3))
    whole, scaling = adapt(whole, statistics, momentum), application.scaling
    if channels != 3:
        whole, scaling = flow_stem(whole, channels, weights != "none"), f"flow_{scaling}"
    trunk, tail = cut_model(whole, cut or application.cut)
    return Backbone(trunk, tail, scaling)


def _with_weights(
    application: Application, name: str, weights: str, input_shape: tuple
) -> keras.Model:
    if weights == "imagenet" and not application.pretrained:
        raise UsageError(f"there are no ImageNet weights of {name}: --weights=none or a path")
    try:
        whole = application.build(
            input_shape=input_shape,
            include_top=False,
            weights="imagenet" if weights == "imagenet" else None,
        )
    except Exception as error:
        # What get_file raises on a failed download is a bare Exception.
        if weights == "imagenet" and "fetch" in str(error):
            raise DataError(
                f"the ImageNet weights of {name} could not be fetched: {error}"
            ) from error
        raise
    if weights not in ("imagenet", "none"):
        if not Path(weights).is_file():
            raise DataError(f"weights {weights!r}: neither imagenet, none nor a file that is there")
        try:
            whole.load_weights(weights)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{weights} does not hold weights of {name}: {error}") from error
    return whole


def adapt(model: keras.Model, statistics: str, momentum: float) -> keras.Model:
    """A copy of a functional model, weights included, as the networks here need it.

    Its batch normalizations and dropouts are ours. Layers that scale pixels do nothing in it:
    `PixelScaling` has done it, and EfficientNet has one such layer more with ImageNet weights than
    without. Layers that Keras numbers through a process are numbered from 0, as in a new process:
    weights in a checkpoint are found by these names.
    """
    names, copies = _numbered(model), {}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        name = names.get(layer.name, layer.name)
        if isinstance(layer, keras.layers.BatchNormalization):
            copy = BatchNormalization(
                statistics,
                momentum=momentum,
                epsilon=layer.epsilon,
                center=layer.center,
                scale=layer.scale,
                name=name,
            )
        elif isinstance(layer, (keras.layers.Rescaling, keras.layers.Normalization)):
            return keras.layers.Activation("linear", name=name)
        else:
            kind = Dropout if isinstance(layer, keras.layers.Dropout) else type(layer)
            copy = kind.from_config({**layer.get_config(), "name": name})
        copies[layer.name] = copy
        return copy

    result = keras.models.clone_model(model, clone_function=clone)
    for layer in model.layers:
        if layer.name in copies:
            copies[layer.name].set_weights(layer.get_weights())
    return result


def _numbered(model: keras.Model) -> dict[str, str]:
    """Name of each layer that has its class's name and a number -> the same, numbered from 0."""
    groups: dict[str, list[tuple[int, str]]] = {}
    for layer in model.layers:
        base, _, number = layer.name.rpartition("_")
        base, number = (base, number) if number.isdigit() else (layer.name, "0")
        if base == re.sub("(?<!^)(?=[A-Z][a-z])", "_", type(layer).__name__).lower():
            groups.setdefault(base, []).append((int(number), layer.name))
    return {
        name: f"{base}_{k}" if k else base
        for base, numbers in groups.items()
        for k, (_, name) in enumerate(sorted(numbers))
    }


def cut_model(model: keras.Model, layer: str) -> tuple[keras.Model, keras.Model]:
    """Cuts a functional model at the output of a layer.

    Args:
        model: images -> maps.
        layer: name of the layer whose output ends the trunk.

    Returns:
        trunk and tail, which share the model's layers. The tail after the last layer does nothing.

    Raises:
        UsageError: no such layer, its output is no map, or a path leads around it.
    """
    names = [candidate.name for candidate in model.layers]
    if layer not in names:
        raise UsageError(
            f"cut {layer!r} is no layer of {model.name}; the last are {', '.join(names[-12:])}"
        )
    maps = model.get_layer(layer).output
    if isinstance(maps, (list, tuple)) or len(maps.shape) != 4:
        raise UsageError(f"cut {layer!r} of {model.name} does not give one map [H, W, C]")
    if maps is model.output:
        same = keras.Input(tuple(maps.shape[1:]))
        tail = keras.Model(same, keras.layers.Activation("linear")(same), name="tail")
        return Trunk(model.input, maps, name="trunk"), tail
    try:
        tail = keras.Model(maps, model.output, name="tail")
    except ValueError as error:
        raise UsageError(
            f"cut {layer!r} of {model.name} is no single map: a path leads around it"
        ) from error
    return Trunk(model.input, maps, name="trunk"), tail

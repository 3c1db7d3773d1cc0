"""A Keras application cut in two at a named layer: the trunk below it, the tail above it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras

from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.layers import BatchNormalization
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models.dropout import Dropout
from rlstm_tf.models.efficientnet_lite import (
    efficientnet_lite0,
    efficientnet_lite1,
    efficientnet_lite2,
)
from rlstm_tf.models.flow_stem import flow_stem
from rlstm_tf.models.rematerialization import Trunk
from rlstm_tf.models.tiny_resnet import tiny_resnet_v2


@dataclass(frozen=True)
class Application:
    """A Keras application that can be cut.

    Attributes:
        build: takes `input_shape`, `include_top=False` and `weights`: imagenet, None or a path.
        scaling: range of its input pixels, a name of `PixelScaling`.
        cut: default layer to cut at, one block before the end.
        pretrained: there are ImageNet weights for it.
        min_size: smallest side of its images, pixels.
    """

    build: Callable[..., keras.Model]
    scaling: str
    cut: str
    pretrained: bool = True
    min_size: int = 32


def _tiny(input_shape: tuple, include_top: bool, weights: str | None) -> keras.Model:
    model = tiny_resnet_v2(input_shape)
    if weights:
        model.load_weights(weights)
    return model


APPLICATIONS = {
    "densenet121": Application(keras.applications.DenseNet121, "torch", "pool4_pool"),
    "efficientnet_b0": Application(keras.applications.EfficientNetB0, "torch", "block6d_add"),
    "efficientnet_lite0": Application(efficientnet_lite0, "lite", "block6d_add"),
    "efficientnet_lite1": Application(efficientnet_lite1, "lite", "block6e_add"),
    "efficientnet_lite2": Application(efficientnet_lite2, "lite", "block6e_add"),
    "inception_v3": Application(keras.applications.InceptionV3, "tf", "mixed9", min_size=75),
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
    """An application cut in two; `tail(trunk(x))` equals the application bit for bit.

    Attributes:
        trunk: scaled images `[batch, S, S, channels]` -> maps `[batch, H, W, C]`.
        tail: those maps -> the application's last maps, before pooling.
        scaling: range of the trunk's input pixels, a name of `PixelScaling`.
    """

    trunk: keras.Model
    tail: keras.Model
    scaling: str


def build_backbone(
    name: str = ModelConfig.backbone,
    cut: str | None = ModelConfig.cut,
    weights: str = ModelConfig.weights,
    image_size: int = ModelConfig.image_size,
    statistics: str = ModelConfig.batch_norm,
    momentum: float = ModelConfig.batch_norm_momentum,
    channels: int = ModelConfig.channels,
) -> Backbone:
    """Builds an application, loads its weights, and cuts it.

    Args:
        name: one of `APPLICATIONS`.
        cut: layer whose output ends the trunk; None = the application's default
            (`conv5_block2_out` for ResNetV2, the paper's conv5_2).
        weights: `"imagenet"` (fetched by Keras; from an installed package for EfficientNet-Lite),
            `"none"` (random), or the path of a weights file that Keras wrote for the application
            without its top; EfficientNet-Lite also takes one of torch.
        image_size: S, side of the square images, pixels.
        statistics: mode of every batch normalization (`rlstm_tf.layers.BatchNormalization`).
        momentum: momentum of their moving statistics.
        channels: channels of the images: 3 = RGB; any other number = stacked flow, which the
            first convolution is adapted to (`flow_stem`).

    Raises:
        UsageError: unknown name, images that are too small for it, a cut that is not a layer with
            a single map, or ImageNet weights that are not installed.
        DataError: weights cannot be read or do not fit.
    """
    check_image_size(name, image_size)
    application = APPLICATIONS[name]
    model = _build_application(application, name, weights, (image_size, image_size, 3))
    model, scaling = adapt(model, statistics, momentum), application.scaling
    if channels != 3:
        model, scaling = flow_stem(model, channels, weights != "none"), f"flow_{scaling}"
    trunk, tail = cut_model(model, cut or application.cut)
    return Backbone(trunk, tail, scaling)


def check_image_size(name: str, image_size: int) -> None:
    """Raises UsageError if a backbone is unknown, or takes larger images only.

    Args:
        name: one of `APPLICATIONS`.
        image_size: side of the square images, pixels.
    """
    if name not in APPLICATIONS:
        raise UsageError(f"backbone {name!r} must be one of {', '.join(sorted(APPLICATIONS))}")
    smallest = APPLICATIONS[name].min_size
    if image_size < smallest:
        raise UsageError(f"--image_size={image_size}: {name} takes {smallest} pixels or more")


def _build_application(
    application: Application, name: str, weights: str, input_shape: tuple
) -> keras.Model:
    if weights == "imagenet" and not application.pretrained:
        raise UsageError(f"{name} has no ImageNet weights: give --weights=none or a path")
    is_path = weights not in ("imagenet", "none")
    if is_path and not Path(weights).is_file():
        raise DataError(f"weights {weights!r} must be imagenet, none or an existing file")
    try:
        return application.build(
            input_shape=input_shape,
            include_top=False,
            weights=None if weights == "none" else weights,
        )
    except Exception as error:
        # keras.utils.get_file raises a bare Exception if a download fails.
        if weights == "imagenet" and "fetch" in str(error):
            raise DataError(
                f"the ImageNet weights of {name} could not be fetched: {error}"
            ) from error
        if is_path and isinstance(error, (OSError, ValueError, KeyError)):
            raise DataError(f"{weights} does not hold weights of {name}: {error}") from error
        raise


def adapt(model: keras.Model, statistics: str, momentum: float) -> keras.Model:
    """Copies a functional model, weights included, with this package's layers in it.

    Batch normalizations and dropouts are replaced by ours. Layers that scale pixels become
    identities, because `PixelScaling` does that; EfficientNet has one more of them with ImageNet
    weights than without. Layers that Keras numbers across a process are numbered from 0, because
    checkpoints store weights by these names.

    Args:
        model: functional model; not changed.
        statistics: mode of every batch normalization.
        momentum: momentum of their moving statistics.
    """
    names, copies = _renumbered_names(model), {}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        name = names.get(layer.name, layer.name)
        if isinstance(layer, keras.layers.BatchNormalization):
            copy = BatchNormalization(
                training_statistics=statistics,
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


def _renumbered_names(model: keras.Model) -> dict[str, str]:
    """Maps each name that Keras made of class and number to the same name, numbered from 0."""
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
        model: images `[batch, S, S, channels]` -> maps.
        layer: name of the layer whose output ends the trunk.

    Returns:
        Trunk and tail, which share the model's layers. After the last layer the tail is an
        identity.

    Raises:
        UsageError: there is no such layer, its output is not a map, or a path leads around it.
    """
    names = [candidate.name for candidate in model.layers]
    if layer not in names:
        raise UsageError(
            f"cut {layer!r} is not a layer of {model.name}; the last are {', '.join(names[-12:])}"
        )
    maps = model.get_layer(layer).output
    if isinstance(maps, (list, tuple)) or len(maps.shape) != 4:
        raise UsageError(f"cut {layer!r} of {model.name} does not give one map [H, W, C]")
    if maps is model.output:
        identity = keras.Input(tuple(maps.shape[1:]))
        tail = keras.Model(identity, keras.layers.Activation("linear")(identity), name="tail")
        return Trunk(model.input, maps, name="trunk"), tail
    try:
        tail = keras.Model(maps, model.output, name="tail")
    except ValueError as error:
        raise UsageError(
            f"cut {layer!r} of {model.name} is not a single map: a path leads around it"
        ) from error
    return Trunk(model.input, maps, name="trunk"), tail

"""The signature that `build_model` had before `ModelConfig`."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import keras

from rlstm_tf.errors import UsageError
from rlstm_tf.model_config import ModelConfig


def accept_separate_arguments(build: Callable[..., keras.Model]) -> Callable[..., keras.Model]:
    """Lets `build(config, num_classes)` take the earlier arguments too, with a warning."""

    @functools.wraps(build)
    def wrapper(*args: Any, **kwargs: Any) -> keras.Model:
        if "config" in kwargs or (args and isinstance(args[0], ModelConfig)):
            return build(*args, **kwargs)
        warnings.warn(
            "build_model(num_classes, backbone, ...) is deprecated: "
            "use build_model(ModelConfig(...), num_classes)",
            DeprecationWarning,
            stacklevel=2,
        )
        return build(*_from_separate_arguments(*args, **kwargs))

    return wrapper


def _from_separate_arguments(
    num_classes: int,
    backbone: str,
    cut: str | None,
    weights: str,
    image_size: int,
    statistics: str,
    momentum: float,
    model: str = "two_branch",
    embeddings: str = "separate",
    **options: Any,
) -> tuple[ModelConfig, int]:
    if embeddings != "separate":
        raise UsageError(f"embeddings={embeddings!r} was removed: each gate has its own")
    if model != "lstm":
        options.pop("lstm_cell", None)  # had no effect on other networks
    config = ModelConfig(
        model=model,
        backbone=backbone,
        cut=cut,
        weights=weights,
        image_size=image_size,
        batch_norm=statistics,
        batch_norm_momentum=momentum,
        **options,
    )
    return config, num_classes

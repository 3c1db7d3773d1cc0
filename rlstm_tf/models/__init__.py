"""Networks made of the layers: a backbone cut in two, and what the paper builds around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from rlstm_tf.errors import UsageError
from rlstm_tf.models import baselines
from rlstm_tf.models.backbone import build_backbone
from rlstm_tf.models.branches import Recurrence
from rlstm_tf.models.two_branch import two_branch

MODELS: dict[str, Callable[..., keras.Model]] = {
    "two_branch": two_branch,
    "rlstm": baselines.rlstm,
    "local": baselines.local,
    "tsn": baselines.tsn,
    "lstm": baselines.lstm,
    "convlstm": baselines.convlstm,
}


def build_model(
    num_classes: int,
    backbone: str,
    cut: str | None,
    weights: str,
    image_size: int,
    statistics: str,
    momentum: float,
    model: str = "two_branch",
    channels: int = 3,
    num_segments: int = 8,
    dropout: float = 0.8,
    **recurrence: Any,
) -> keras.Model:
    """A network by name on a backbone by name.

    Args:
        num_classes: classes.
        backbone: `name` of `build_backbone`, as are the five arguments after it.
        cut: where the backbone is cut.
        weights: of the backbone.
        image_size: side of the frames, pixels.
        statistics: mode of every batch normalization.
        momentum: of their moving statistics.
        model: one of `MODELS`.
        channels: of a snippet: 3 for an RGB image, 2 for each field of stacked flow.
        num_segments: T, snippets a video.
        dropout: share of the features dropped before the dense layer.
        **recurrence: of `Recurrence`; networks without a recurrent layer have no use for them.

    Returns:
        Model of uint8 snippets `[batch, T, S, S, channels]` -> float32 logits
        `[batch, num_classes]`.

    Raises:
        UsageError: unknown model; unknown backbone, or a cut that is no single map.
        DataError: weights that cannot be read or do not fit.
    """
    if model not in MODELS:
        raise UsageError(f"model {model!r} is none of {', '.join(MODELS)}")
    parts = build_backbone(backbone, cut, weights, image_size, statistics, momentum, channels)
    return MODELS[model](parts, num_classes, num_segments, dropout, Recurrence(**recurrence))

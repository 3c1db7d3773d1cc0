"""Networks made of the layers: a backbone cut in two, and what the paper builds around it."""

from __future__ import annotations

from typing import Any

import keras

from rlstm_tf.models.backbone import build_backbone
from rlstm_tf.models.two_branch import two_branch


def build_model(
    num_classes: int,
    backbone: str,
    cut: str | None,
    weights: str,
    image_size: int,
    statistics: str,
    momentum: float,
    **options: Any,
) -> keras.Model:
    """The paper's network on a backbone by name.

    Args:
        num_classes: classes.
        backbone: `name` of `build_backbone`, as are the five arguments after it.
        cut: where the backbone is cut.
        weights: of the backbone.
        image_size: side of the frames, pixels.
        statistics: mode of every batch normalization.
        momentum: of their moving statistics.
        **options: of `two_branch`.
    """
    parts = build_backbone(backbone, cut, weights, image_size, statistics, momentum)
    return two_branch(parts, num_classes, statistics=statistics, momentum=momentum, **options)

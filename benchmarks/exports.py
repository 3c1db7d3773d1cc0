"""Exports a network like the demo's, untrained."""

from __future__ import annotations

from pathlib import Path

import keras

from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import build_model
from rlstm_tf.serving import exporter
from rlstm_tf.serving.artifact import ModelMetadata


def export_untrained(version: Path) -> tuple[keras.Model, ModelMetadata]:
    """Writes a two-branch network on a tiny ResNetV2, with 8 frames of 64 pixels.

    Args:
        version: directory to write into.

    Returns:
        The network and its metadata.
    """
    keras.utils.set_random_seed(0)
    metadata = ModelMetadata(
        model="two_branch",
        backbone="tiny_resnetv2",
        stream="spatial",
        num_segments=8,
        image_size=64,
        new_length=1,
        classes=[f"class {number}" for number in range(8)],
        multi_label=False,
        short_side=64,
        jpeg_quality=95,
        flow=None,
        checkpoint="none: weights as drawn",
        version="0",
    )
    config = ModelConfig(
        model=metadata.model,
        backbone=metadata.backbone,
        weights="none",
        image_size=metadata.image_size,
        num_segments=metadata.num_segments,
    )
    model = build_model(config, len(metadata.classes))
    exporter.save_version(version, model, metadata, name=None)
    return model, metadata

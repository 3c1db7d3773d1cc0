"""Flags of the frames: how a training samples, augments and batches them."""

from __future__ import annotations

from typing import Any

from absl import flags

from rlstm_tf.choices import AUGMENT_ON, MAX_BATCH, MAX_FIELDS, SAMPLINGS, STREAMS
from rlstm_tf.cli import parsing
from rlstm_tf.cli.paths import define_path
from rlstm_tf.model_config import FLOW_LENGTH, snippet_length


def define(values: flags.FlagValues) -> None:
    """Defines the flags of the frames."""
    own: dict[str, Any] = {"flag_values": values}
    define_path("data", None, "Directory of shards, by tfrecords_tools.build.", **own)
    flags.DEFINE_enum("stream", "spatial", STREAMS, "RGB images or optical flow.", **own)
    flags.DEFINE_integer(
        "new_length",
        None,
        f"Flow fields per snippet, temporal stream only; {FLOW_LENGTH} if unset.",
        1,
        MAX_FIELDS,
        **own,
    )
    help_text = "Videos per step, on all devices."
    flags.DEFINE_integer("batch_size", 24, help_text, 1, MAX_BATCH, **own)
    flags.DEFINE_enum(
        "sampling",
        "uniform",
        SAMPLINGS,
        "Training samples of an epoch: each once, or each class equally often.",
        **own,
    )
    flags.DEFINE_integer("seed", 0, "Seed of everything random.", 0, 2**32 - 1, **own)
    _define_augmentation(values)


def _define_augmentation(values: flags.FlagValues) -> None:
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_list(
        "crop_scales",
        ["1", "0.875", "0.75", "0.66"],
        "Sides of training crops, as shares of the short side.",
        **own,
    )
    flags.DEFINE_boolean(
        "flip",
        True,
        "Mirror half of the training videos; turn off if left and right matter.",
        **own,
    )
    flags.DEFINE_float(
        "color_jitter",
        0.0,
        "Change brightness, contrast and saturation of training videos by factors up to 1 plus or "
        "minus this; 0.4 is usual.",
        0.0,
        1.0,
        **own,
    )
    flags.DEFINE_float(
        "random_erasing",
        0.0,
        "Share of the training videos in which a rectangle is erased; 0.25 is usual.",
        0.0,
        1.0,
        **own,
    )
    flags.DEFINE_float(
        "mixup",
        0.0,
        "Mix training videos and their labels in pairs, by shares from Beta(this, this); 0.2 is "
        "usual.",
        0.0,
        1e3,
        **own,
    )
    flags.DEFINE_enum(
        "augment_on",
        "host",
        AUGMENT_ON,
        "Where training frames are cropped, resized and changed; with device, the host only "
        "decodes.",
        **own,
    )


def arguments(values: flags.FlagValues) -> dict[str, Any]:
    """Returns the arguments of `rlstm_tf.data.input_config.InputConfig`.

    Raises:
        UsageError: a crop scale outside (0, 1], or --new_length without flow.
    """
    names = (
        *("num_segments", "image_size", "batch_size", "flip", "seed", "augment_on", "stream"),
        *("sampling", "color_jitter", "random_erasing", "mixup"),
    )
    found = {name: values[name].value for name in names}
    found["crop_scales"] = parsing.parse_numbers(
        "crop_scales", values.crop_scales, float, 1e-6, 1.0
    )
    found["new_length"] = snippet_length(values.stream, values.new_length)
    return found

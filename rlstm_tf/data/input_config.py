"""Options of batches, and a check that shards fit them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rlstm_tf.choices import (
    MAX_BATCH,
    MAX_FIELDS,
    MAX_SEGMENTS,
    MAX_SIDE,
    MAX_VIDEO_BYTES,
    STREAMS,
)
from rlstm_tf.data import augmentation
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError, UsageError

_LARGEST = {
    "batch_size": MAX_BATCH,
    "num_segments": MAX_SEGMENTS,
    "image_size": MAX_SIDE,
    "new_length": MAX_FIELDS,
}


@dataclass(frozen=True)
class InputConfig:
    """Batch options.

    Attributes:
        batch_size: videos B per batch, over all devices.
        num_segments: snippets T per video.
        image_size: height and width S of the frames, pixels.
        crop_scales: sides of the training crops, as fractions of a frame's shorter side.
        flip: mirror half of the training samples.
        seed: seed of the sample order and of all draws, 0 or more.
        stream: `spatial` (a snippet is one RGB image) or `temporal` (consecutive flow fields).
        new_length: flow fields per snippet; 1 for the spatial stream.
        augment_on: crop and resize training frames on the `host`, or on the `device` at the start
            of the step (`rlstm_tf.data.device_augmentation`).
        sampling: `uniform` or `balanced`, see `rlstm_tf.data.sample_order`.
        color_jitter: largest change of a training clip's brightness, contrast and saturation, each
            a factor from 1 - it to 1 + it; 0 = off.
        random_erasing: share of the training clips in which a rectangle is erased; 0 = off.
        mixup: alpha of the Beta distribution of shares with which training clips are mixed in
            pairs (`rlstm_tf.data.device_augmentation.mix`); 0 = off.

    Raises:
        UsageError: a number is out of range.
    """

    batch_size: int
    num_segments: int = 8
    image_size: int = 224
    crop_scales: Sequence[float] = augmentation.SCALES
    flip: bool = True
    seed: int = 0
    stream: str = "spatial"
    new_length: int = 1
    augment_on: str = "host"
    sampling: str = "uniform"
    color_jitter: float = 0.0
    random_erasing: float = 0.0
    mixup: float = 0.0

    def __post_init__(self):
        for name, most in _LARGEST.items():
            if not 1 <= getattr(self, name) <= most:
                raise UsageError(f"{name}={getattr(self, name)} must be from 1 to {most}")
        if self.stream not in STREAMS:
            raise UsageError(f"stream={self.stream} must be one of {', '.join(STREAMS)}")
        if self.stream == "spatial" and self.new_length != 1:
            raise UsageError(
                f"new_length={self.new_length}: a snippet of the spatial stream is one image"
            )
        for name in ("color_jitter", "random_erasing"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name}={getattr(self, name)} must be from 0 to 1")
        # Beta numbers of far smaller or larger alphas are not finite, or always 1/2.
        if self.mixup and not 1e-3 <= self.mixup <= 1e3:
            raise UsageError(f"mixup={self.mixup} must be 0, or from 0.001 to 1000")
        if self.color_jitter and self.stream == "temporal":
            raise UsageError(
                f"color_jitter={self.color_jitter}: flow has no colors; "
                "it goes with the spatial stream"
            )
        if self.seed < 0:
            raise UsageError(f"seed={self.seed} must be at least 0")
        size = math.prod(self.video_shape)
        if size > MAX_VIDEO_BYTES:
            raise UsageError(
                f"num_segments={self.num_segments}, image_size={self.image_size}: the frames of a "
                f"video are {size / 1e6:.0f} MB, at most {MAX_VIDEO_BYTES / 1e6:.0f} are allowed"
            )
        if not self.crop_scales or not all(0 < scale <= 1 for scale in self.crop_scales):
            raise UsageError(f"crop_scales={self.crop_scales} must be numbers above 0 and up to 1")

    @property
    def channels(self) -> int:
        """Channels C of a snippet: R, G and B, or x and y of each flow field."""
        return 3 if self.stream == "spatial" else 2 * self.new_length

    @property
    def video_shape(self) -> tuple[int, int, int, int]:
        """Shape (T, S, S, C) of one view of a video."""
        return self.num_segments, self.image_size, self.image_size, self.channels


def check_shards(shards: Shards, config: InputConfig) -> None:
    """Checks that shards have the stream of the config and frames of at least its image size.

    Raises:
        DataError: they do not.
    """
    if shards.manifest.stream != config.stream:
        raise DataError(
            f"--stream={config.stream} does not fit shards of the {shards.manifest.stream} stream"
        )
    short_side = int(min(shards.heights.min(), shards.widths.min()))
    if short_side < config.image_size:
        raise DataError(
            f"--image_size={config.image_size} is more than the short side of the shards' frames, "
            f"{short_side} pixels: build them with a larger --short_side"
        )

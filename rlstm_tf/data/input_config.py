"""What batches look like, and whether shards can give them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlstm_tf.data import augmentation
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError, UsageError


@dataclass(frozen=True)
class InputConfig:
    """What a batch looks like.

    Attributes:
        batch_size: videos B of a batch, on all devices together.
        num_segments: snippets T of a video.
        image_size: height and width S of the frames, pixels.
        crop_scales: sides of the training crops, as shares of a frame's shorter side.
        flip: mirror half of the training videos.
        seed: of the order of the samples and of all draws, 0 or more.
        stream: `spatial` (a snippet is one RGB image) or `temporal` (consecutive flow fields).
        new_length: fields of a snippet of the temporal stream; 1 for the spatial stream.
        augment_on: where training crops are cut out and resized: `host`, or `device`, as the first
            part of the step; see `rlstm_tf.data.device_augmentation`.

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

    def __post_init__(self):
        for name in ("batch_size", "num_segments", "image_size", "new_length"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} must be at least 1")
        if self.stream == "spatial" and self.new_length != 1:
            raise UsageError(
                f"new_length={self.new_length}: a snippet of the spatial stream is one image"
            )
        if self.seed < 0:
            raise UsageError(f"seed={self.seed} must be at least 0")
        if not self.crop_scales or not all(0 < scale <= 1 for scale in self.crop_scales):
            raise UsageError(f"crop_scales={self.crop_scales} must be numbers above 0 and up to 1")

    @property
    def channels(self) -> int:
        """C of a snippet: R, G, B, or x and y of each field."""
        return 3 if self.stream == "spatial" else 2 * self.new_length

    @property
    def video_shape(self) -> tuple[int, int, int, int]:
        """(T, S, S, C) of one view of a video."""
        return self.num_segments, self.image_size, self.image_size, self.channels


def check_shards(shards: Shards, config: InputConfig) -> None:
    """Refuses shards of the other stream, or of smaller images than are asked for.

    Raises:
        DataError: they are.
    """
    if shards.manifest.stream != config.stream:
        raise DataError(
            f"the shards are of the {shards.manifest.stream} stream, "
            f"--stream={config.stream} was asked for"
        )
    short_side = int(min(shards.heights.min(), shards.widths.min()))
    if short_side < config.image_size:
        raise DataError(
            f"--image_size={config.image_size} is more than the short side of the shards' images, "
            f"{short_side} pixels: build them with a larger --short_side"
        )

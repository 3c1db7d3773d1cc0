"""Batches as a pure function of position, in NumPy: what `pipeline` runs ahead of the training.

Step i of a run belongs to epoch i // steps_per_epoch. An epoch goes through a permutation of all
videos that depends on (seed, epoch) alone; the crop, the flip and the snippets of the video at
position p of it depend on (seed, epoch, p) alone. So any batch of any run can be made again by
itself, in any order, on any machine, and no buffer has to be filled or saved to go on with a run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np

from rlstm_tf.data import augmentation, sampling
from rlstm_tf.data.augmentation import Box
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError, UsageError

Batch = dict[str, Any]

# TensorFlow takes over an array that begins at a multiple of this, and copies any other.
_ALIGNMENT = 64


@dataclass(frozen=True)
class InputConfig:
    """What a batch looks like.

    Attributes:
        batch_size: videos B of a batch, on all devices together.
        num_segments: snippets T of a video.
        image_size: height and width S of the frames, pixels.
        crop_scales: sides of the training crops, as shares of a frame's shorter side.
        flip: mirror half of the training videos.
        seed: of the order of the videos and of all draws, 0 or more.
        new_length: consecutive frames of a snippet; they lie one after the other in the channels.

    Raises:
        UsageError: a number is out of range.
    """

    batch_size: int
    num_segments: int = 8
    image_size: int = 224
    crop_scales: Sequence[float] = augmentation.SCALES
    flip: bool = True
    seed: int = 0
    new_length: int = 1

    def __post_init__(self):
        for name in ("batch_size", "num_segments", "image_size", "new_length"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} must be at least 1")
        if self.seed < 0:
            raise UsageError(f"seed={self.seed} must be at least 0")
        if not self.crop_scales or not all(0 < scale <= 1 for scale in self.crop_scales):
            raise UsageError(f"crop_scales={self.crop_scales} must be numbers above 0 and up to 1")

    @property
    def video_shape(self) -> tuple[int, int, int, int]:
        """(T, S, S, channels) of one view of a video."""
        side = self.image_size
        return self.num_segments, side, side, 3 * self.new_length


def steps_per_epoch(shards: Shards, batch_size: int) -> int:
    """Whole batches in an epoch. The videos that fill none are left out, others every epoch.

    Raises:
        UsageError: there are fewer videos than one batch takes.
    """
    if len(shards) < batch_size:
        raise UsageError(
            f"batch_size={batch_size}, but subset {shards.subset!r} has {len(shards)} videos"
        )
    return len(shards) // batch_size


def training_batch(shards: Shards, config: InputConfig, step: int) -> Batch:
    """The batch of a step, counted from the start of the run.

    Returns:
        `frames` uint8 [B, T, S, S, C], RGB, 0..255; `label` int32 [B]; `video` int64 [B], positions
        in `shards`.

    Raises:
        DataError: a frame is damaged; names it.
    """
    epoch, index = divmod(step, steps_per_epoch(shards, config.batch_size))
    first = index * config.batch_size
    videos = epoch_order(len(shards), config.seed, epoch)[first : first + config.batch_size]
    frames = _aligned_empty((config.batch_size, *config.video_shape))
    for row in range(config.batch_size):
        view = training_view(shards, config, epoch, first + row)
        starts, boxes = view.starts[None], [view.box]
        _write_views(shards, config, view.video, starts, boxes, view.flip, frames[row, None])
    return {"frames": frames, "label": shards.labels[videos], "video": videos}


def evaluation_example(
    shards: Shards,
    config: InputConfig,
    position: int,
    num_groups: int = 1,
    num_crops: int = 1,
) -> Batch:
    """One video of an evaluation, V = num_groups * num_crops views of it.

    View g * num_crops + k shows group g (`sampling.group_snippets`) through crop k
    (`augmentation.evaluation_crops`).

    Args:
        shards: where from.
        config: see there.
        position: of the video; from the number of videos on, what only fills a batch.
        num_groups: G.
        num_crops: K, 1 or 5.

    Returns:
        `frames` uint8 [V, T, S, S, C], RGB, 0..255; `label` int32 []; `video` int64 []. What only
        fills has zeros, and -1 for its video.

    Raises:
        DataError: a frame is damaged; names it.
        ValueError: `num_crops` is not 1 or 5.
    """
    frames = _aligned_empty((num_groups * num_crops, *config.video_shape))
    if position >= len(shards):
        frames[...] = 0
        return {"frames": frames, "label": np.int32(0), "video": np.int64(-1)}
    size = int(shards.heights[position]), int(shards.widths[position])
    starts = sampling.group_snippets(
        int(shards.num_frames[position]), config.num_segments, num_groups, config.new_length
    )
    boxes = augmentation.evaluation_crops(*size, config.image_size, num_crops)
    _write_views(shards, config, position, starts, boxes, False, frames)
    return {"frames": frames, "label": shards.labels[position], "video": np.int64(position)}


@lru_cache(maxsize=4)
def epoch_order(num_videos: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch goes through the videos: int64 [V], read-only."""
    order = _generator(seed, epoch, 0, purpose=0).permutation(num_videos)
    order.flags.writeable = False
    return order


class View(NamedTuple):
    """What is drawn for a training video.

    Attributes:
        video: position in the shards.
        box: crop of all its frames.
        flip: whether they are mirrored.
        starts: int64 [T], of the snippets.
    """

    video: int
    box: Box
    flip: bool
    starts: np.ndarray


def training_view(shards: Shards, config: InputConfig, epoch: int, position: int) -> View:
    """What position 0 ... V - 1 of an epoch shows."""
    video = int(epoch_order(len(shards), config.seed, epoch)[position])
    generator = _generator(config.seed, epoch, position, purpose=1)
    size = int(shards.heights[video]), int(shards.widths[video])
    box = augmentation.random_crop(*size, generator, config.crop_scales)
    # Drawn in any case, so that the snippets are the same with and without flips.
    flip = bool(generator.integers(2)) and config.flip
    starts = sampling.random_snippets(
        int(shards.num_frames[video]), config.num_segments, generator, config.new_length
    )
    return View(video, box, flip, starts)


def _generator(seed: int, epoch: int, position: int, purpose: int) -> np.random.Generator:
    # Philox is a function of a key and a counter: nothing is hashed, so nothing can collide, and
    # every position has 2**64 blocks of numbers to itself.
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, position, epoch, purpose]))


def _write_views(
    shards: Shards,
    config: InputConfig,
    video: int,
    starts: np.ndarray,
    boxes: Sequence[Box],
    flip: bool,
    out: np.ndarray,
) -> None:
    """Reads and decodes every frame that is needed once, and writes all its crops.

    Args:
        shards: where from.
        config: see there.
        video: position in `shards`.
        starts: int64 [G, T], of snippets.
        boxes: K crops of the frames.
        flip: mirror all of them.
        out: uint8 [G * K, T, S, S, C].
    """
    length = config.new_length
    numbers = sampling.snippet_frames(starts, int(shards.num_frames[video]), length)
    uses: dict[int, list[int]] = {}
    for use, number in enumerate(numbers.ravel().tolist()):
        uses.setdefault(number, []).append(use)
    # In order, so that neighbours are read at once.
    distinct = sorted(uses)
    jpegs = shards.read_frames(video, distinct)
    for number, image in zip(distinct, _decode(shards, video, distinct, jpegs)):
        for use in uses[number]:
            snippet, part = divmod(use, length)
            group, segment = divmod(snippet, config.num_segments)
            for k, box in enumerate(boxes):
                target = out[group * len(boxes) + k, segment]
                if length == 1:
                    augmentation.crop_and_resize(image, box, config.image_size, flip, target)
                else:
                    target[..., 3 * part : 3 * part + 3] = augmentation.crop_and_resize(
                        image, box, config.image_size, flip
                    )


def _decode(
    shards: Shards, video: int, frames: Sequence[int], jpegs: Sequence[bytes]
) -> Iterator[np.ndarray]:
    """Each uint8 [H, W, 3], RGB, of the size that the index says."""
    size = int(shards.heights[video]), int(shards.widths[video])
    for frame, jpeg in zip(frames, jpegs):
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
        if image is None or image.shape[:2] != size:
            found = "no image" if image is None else f"{image.shape[0]}x{image.shape[1]} pixels"
            raise DataError(
                f"{shards.name_of(video, frame)}: {found}, the index says {size[0]}x{size[1]}"
            )
        yield image


def _aligned_empty(shape: tuple[int, ...]) -> np.ndarray:
    size = math.prod(shape)
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    skip = -memory.ctypes.data % _ALIGNMENT
    return memory[skip : skip + size].reshape(shape)

"""The random choices of a training sample, as a function of seed, epoch and position."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rlstm_tf.data import augmentation, sampling
from rlstm_tf.data.augmentation import Box
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.rng import rng_at
from rlstm_tf.data.sample_order import balanced_order, epoch_order
from rlstm_tf.data.shards import Shards


class SampleDraw(NamedTuple):
    """A training sample with its random snippets and augmentation.

    Attributes:
        video: position in the shards.
        label: label of the video or interval.
        box: crop of all frames.
        flip: mirror all frames.
        frames: int64 [T, new_length], frame numbers in the video.
        colors: change of the colors of all frames (`augmentation.color_map`), if any.
        erased: rectangle to erase in all cropped frames, or one without pixels.
        share: share of the sample itself in what mixup makes of it, 0..1.
    """

    video: int
    label: int
    box: Box
    flip: bool
    frames: np.ndarray
    colors: np.ndarray | None
    erased: Box
    share: float


def draw_sample(shards: Shards, config: InputConfig, epoch: int, position: int) -> SampleDraw:
    """Draws the sample at position 0 ... N - 1 of an epoch."""
    if config.sampling == "balanced":
        order = balanced_order(shards.sample_classes, config.seed, epoch)
    else:
        order = epoch_order(len(shards.samples), config.seed, epoch)
    video, label, first, num_frames = shards.samples[order[position]].tolist()
    generator = rng_at(config.seed, epoch, position, purpose=1)
    size = int(shards.heights[video]), int(shards.widths[video])
    box = augmentation.random_crop(*size, generator, config.crop_scales)
    # Drawn even if unused, so that the snippets do not depend on the option.
    flip = bool(generator.integers(2)) and config.flip
    starts = sampling.random_snippets(num_frames, config.num_segments, generator, config.new_length)
    frames = first + sampling.snippet_frames(starts, num_frames, config.new_length)
    colors, erased, share = None, Box(0, 0, 0, 0), 1.0
    # Numbers of their own, so that no option changes what another one draws.
    if config.color_jitter:
        generator = rng_at(config.seed, epoch, position, purpose=3)
        colors = augmentation.random_colors(generator, config.color_jitter)
    if config.random_erasing:
        generator = rng_at(config.seed, epoch, position, purpose=4)
        if generator.random() < config.random_erasing:
            erased = augmentation.random_rectangle(config.image_size, generator)
    if config.mixup:
        generator = rng_at(config.seed, epoch, position, purpose=5)
        share = generator.beta(config.mixup, config.mixup)
    return SampleDraw(video, label, box, flip, frames, colors, erased, share)

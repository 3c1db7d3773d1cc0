"""The part of a page besides the attention maps: pictures, times, classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import softmax

from rlstm_tf.data import flow
from rlstm_tf.data.video_views import VideoViews
from rlstm_tf.serving.predictor import top_classes


class Clip(NamedTuple):
    """One view of a video, ready to show.

    Attributes:
        pictures: uint8 [T, S, S, 3], RGB.
        is_flow: colors encode motion, so that a heat map needs them in gray.
        times: time and frame number of each snippet, in words.
        classes: names and probabilities (0..1) of the top classes, most likely first.
    """

    pictures: np.ndarray
    is_flow: bool
    times: Sequence[str]
    classes: Sequence[tuple[str, float]]


def make_clip(views: VideoViews, is_flow: bool, logits: np.ndarray, names: Sequence[str]) -> Clip:
    """Makes a clip from the first view of a video.

    Args:
        views: views of the video.
        is_flow: frames hold flow levels, not RGB.
        logits: class logits, float [num_classes].
        names: class names.
    """
    frames = views.frames[0]
    probabilities = softmax(logits.astype(np.float64))
    return Clip(
        pictures=render_flow(frames) if is_flow else frames,
        is_flow=is_flow,
        times=[
            _describe_time(number, time, is_flow)
            for number, time in zip(views.numbers[0].tolist(), views.times[0].tolist())
        ],
        classes=top_classes(probabilities, logits, names),
    )


def render_flow(frames: np.ndarray) -> np.ndarray:
    """Draws the mean flow field of each snippet with `flow.to_rgb`.

    Colors saturate at the 99th percentile of the clip's motion.

    Args:
        frames: uint8 [T, S, S, 2L], flow levels x_1, y_1, x_2, y_2 ...

    Returns:
        uint8 [T, S, S, 3], RGB.
    """
    levels = frames.reshape(*frames.shape[:-1], -1, 2).astype(np.float32) - flow.ZERO
    x, y = np.moveaxis(levels.mean(axis=-2), -1, 0)
    return flow.to_rgb(x, y, float(np.percentile(np.hypot(x, y), 99)))


def _describe_time(number: int, time: float, is_flow: bool) -> str:
    place = f"flow from frame {number}" if is_flow else f"video frame {number}"
    return place if math.isnan(time) else f"{time:.2f} s, {place}"

"""What is shown of a clip beside its relations: pictures, times, classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import softmax

from rlstm_tf.data import flow
from rlstm_tf.data.video_views import VideoViews
from rlstm_tf.serving.predictor import top_classes


class Clip(NamedTuple):
    """A view of a video, for people.

    Attributes:
        pictures: uint8 [T, S, S, 3], RGB.
        is_flow: their colours are motion; under a heat map they would only mix with its own.
        times: of each snippet, in words.
        classes: name and probability of the likeliest, the likeliest first.
    """

    pictures: np.ndarray
    is_flow: bool
    times: Sequence[str]
    classes: Sequence[tuple[str, float]]


def clip_of(views: VideoViews, is_flow: bool, logits: np.ndarray, names: Sequence[str]) -> Clip:
    """The first view of a video.

    Args:
        views: of the video.
        is_flow: frames are levels of flow, not RGB.
        logits: of the classes, float [num_classes].
        names: of the classes.
    """
    frames = views.frames[0]
    odds = softmax(logits.astype(np.float64))
    return Clip(
        pictures=flow_pictures(frames) if is_flow else frames,
        is_flow=is_flow,
        times=[_time(int(n), views.fps, is_flow) for n in views.numbers[0]],
        classes=top_classes(odds, logits, names),
    )


def flow_pictures(frames: np.ndarray) -> np.ndarray:
    """Snippets of flow in `flow.to_rgb`: the mean over the fields of a snippet.

    Full colour is the motion that 1 % of the clip's pixels exceed.

    Args:
        frames: uint8 [T, S, S, 2L], levels of x_1, y_1, x_2, y_2 ...

    Returns:
        uint8 [T, S, S, 3], RGB.
    """
    levels = frames.reshape(*frames.shape[:-1], -1, 2).astype(np.float32) - flow.ZERO
    x, y = np.moveaxis(levels.mean(axis=-2), -1, 0)
    return flow.to_rgb(x, y, float(np.percentile(np.hypot(x, y), 99)))


def _time(number: int, fps: float, is_flow: bool) -> str:
    place = f"flow from frame {number}" if is_flow else f"video frame {number}"
    return f"{number / fps:.2f} s, {place}" if fps else place

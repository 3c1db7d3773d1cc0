"""Test-time views of a video, and how their scores are combined.

Source: arXiv 1811.07059, section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rlstm_tf.data import sampling

# Twenty views of flow take 160 MB per video, and a batch is held two or three times.
_BATCH_BYTES = 1 << 29


@dataclass(frozen=True)
class Protocol:
    """Views of a video: groups of snippets (or clips) x crops.

    Attributes:
        name: name in results.
        num_groups: number of snippets from each segment of the video, one per view.
        num_crops: crops of each frame: 1 (center) or 5 (corners and center).
        num_clips: 0, or the number of clips, each divided into segments instead of the video.
        clip_length: frames per clip.
        reduction: how the scores of the views are combined, `mean` or `max`.
    """

    name: str
    num_groups: int = 1
    num_crops: int = 1
    num_clips: int = 0
    clip_length: int = 0
    reduction: str = "mean"

    @property
    def num_views(self) -> int:
        """Number of views V of a video."""
        return (self.num_clips or self.num_groups) * self.num_crops

    def videos_per_batch(self, batch_size: int, video_shape: tuple[int, ...]) -> int:
        """Returns `batch_size`, or fewer if all views of a batch would exceed half a gigabyte.

        Args:
            batch_size: batch size of the training.
            video_shape: (T, S, S, C) of a view, uint8.
        """
        return max(1, min(batch_size, _BATCH_BYTES // (self.num_views * math.prod(video_shape))))

    def starts(self, num_frames: int, num_segments: int, new_length: int) -> np.ndarray:
        """Returns the first frames of the snippets: int64 [groups or clips, T].

        Args:
            num_frames: frames in the video.
            num_segments: T.
            new_length: frames per snippet.
        """
        if self.num_clips:
            return sampling.clip_snippets(
                num_frames, num_segments, self.num_clips, self.clip_length, new_length
            )
        return sampling.group_snippets(num_frames, num_segments, self.num_groups, new_length)


CENTER = Protocol("center")
PAPER = Protocol("paper", num_groups=4, num_crops=5)
CHARADES = Protocol("paper", num_clips=10, clip_length=256, reduction="max")


def get_protocol(name: str, multi_label: bool) -> Protocol:
    """Returns the protocol `center`, or `paper`, which is another one for multi-label data."""
    if name == "center":
        return CENTER
    return CHARADES if multi_label else PAPER

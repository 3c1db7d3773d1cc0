"""What of a video is shown to a network that is tested, and how its scores become one.

Source: arXiv 1811.07059, section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rlstm_tf.data import sampling

# Twenty views of flow are 160 MB a video; a batch is held two or three times.
_BATCH_BYTES = 1 << 29


@dataclass(frozen=True)
class Protocol:
    """Views of a video: places in time x crops.

    Attributes:
        name: as the results say it.
        num_groups: snippets from so many places in every segment.
        num_crops: 1 (centre) or 5 (the corners too) of each frame.
        num_clips: 0 = segments of the whole video; else of each of so many clips.
        clip_length: frames of a clip.
        reduction: `mean` or `max` of the views' scores.
    """

    name: str
    num_groups: int = 1
    num_crops: int = 1
    num_clips: int = 0
    clip_length: int = 0
    reduction: str = "mean"

    @property
    def num_views(self) -> int:
        """V, views of a video."""
        return (self.num_clips or self.num_groups) * self.num_crops

    def videos_per_batch(self, batch_size: int, video_shape: tuple[int, ...]) -> int:
        """Videos of a batch: `batch_size`, or as many as all their views fit in half a gigabyte.

        Args:
            batch_size: that the network was trained with.
            video_shape: (T, S, S, C) of a view, uint8.
        """
        return max(1, min(batch_size, _BATCH_BYTES // (self.num_views * math.prod(video_shape))))

    def starts(self, num_frames: int, num_segments: int, new_length: int) -> np.ndarray:
        """First frames of the snippets: int64 [places in time, T]."""
        if self.num_clips:
            return sampling.clip_snippets(
                num_frames, num_segments, self.num_clips, self.clip_length, new_length
            )
        return sampling.group_snippets(num_frames, num_segments, self.num_groups, new_length)


CENTER = Protocol("center")
PAPER = Protocol("paper", num_groups=4, num_crops=5)
CHARADES = Protocol("paper", num_clips=10, clip_length=256, reduction="max")


def protocol(name: str, multi_label: bool) -> Protocol:
    """A protocol by name: `center`, or `paper`, which for Charades is another than elsewhere."""
    if name == "center":
        return CENTER
    return CHARADES if multi_label else PAPER

"""Reads frames of test videos for figure 4 from the shards of the evaluations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from rlstm_tf.data import sampling
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError
from rlstm_tf.reporting.published import SPATIAL
from rlstm_tf.reporting.results import Result
from rlstm_tf.reporting.selection import TEST


class Frames:
    """Frames of a test set.

    Args:
        results: results on it; the first spatial one whose shards exist gives the frames.

    Attributes:
        error: why there are no frames; empty if there are.
    """

    def __init__(self, results: Iterable[Result]) -> None:
        self._shards: Shards | None = None
        parts = [part for result in results for part in result.parts if part.stream == SPATIAL]
        directories = dict.fromkeys(part.data for part in parts if part.data)
        reasons = []
        for directory in directories:
            try:
                self._shards = Shards.open(directory, TEST)
                break
            except DataError as error:
                reasons.append(str(error))
        self.error = ""
        if self._shards is None:
            self.error = reasons[0] if reasons else "no result names shards of the spatial stream"
        self._position = {
            name: k for k, name in enumerate(self._shards.ids if self._shards else ())
        }

    def read(self, video: str, count: int) -> Sequence[np.ndarray]:
        """Reads equally spaced frames, the middle one of each segment.

        Args:
            video: id of the video.
            count: number of segments.

        Returns:
            Images, uint8 [H, W, 3], RGB.

        Raises:
            DataError: the shards do not hold the video, or a frame is damaged.
        """
        if self._shards is None:
            raise DataError(self.error)
        if video not in self._position:
            raise DataError(f"the shards hold no video {video!r}")
        position = self._position[video]
        (numbers,) = sampling.group_snippets(int(self._shards.num_frames[position]), count)
        images = []
        for number, jpeg in zip(numbers, self._shards.read_frames(position, numbers.tolist())):
            image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
            if image is None:
                name = self._shards.name_of(position, int(number))
                raise DataError(f"{name}: cannot be decoded")
            images.append(image)
        return images

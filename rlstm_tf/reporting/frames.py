"""Reads frames of test videos for figure 4 from the shards of the evaluations."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from rlstm_tf.data import sampling
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError
from rlstm_tf.reporting.published import SPATIAL
from rlstm_tf.reporting.results import Result
from rlstm_tf.reporting.selection import TEST


def open_shards(results: Iterable[Result]) -> Shards:
    """Opens the shards of the first spatial result whose shards exist.

    Raises:
        DataError: there are none; gives the first reason.
    """
    parts = [part for result in results for part in result.parts if part.stream == SPATIAL]
    errors = []
    for directory in dict.fromkeys(part.data for part in parts if part.data):
        try:
            return Shards.open(directory, TEST)
        except DataError as error:
            errors.append(error)
    raise errors[0] if errors else DataError("no result names shards of the spatial stream")


def read_frames(shards: Shards, video: str, count: int) -> list[np.ndarray]:
    """Reads equally spaced frames, the middle one of each segment.

    Args:
        shards: from `open_shards`.
        video: id of the video.
        count: number of segments.

    Returns:
        Images, uint8 [H, W, 3], RGB.

    Raises:
        DataError: the shards do not hold the video, or a frame is damaged.
    """
    if video not in shards.ids:
        raise DataError(f"the shards hold no video {video!r}")
    position = shards.ids.index(video)
    (numbers,) = sampling.group_snippets(int(shards.num_frames[position]), count)
    images = []
    for number, jpeg in zip(numbers, shards.read_frames(position, numbers.tolist())):
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
        if image is None:
            raise DataError(f"{shards.name_of(position, int(number))}: cannot be decoded")
        images.append(image)
    return images

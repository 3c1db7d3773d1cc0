"""A video file -> views of it, pixel for pixel as if they came from a record of the video."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from rlstm_tf.data import augmentation, sampling
from rlstm_tf.data.batches import write_views
from rlstm_tf.data.flow import ZERO, quantize
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.optical_flow import METHODS, make_flow_function
from rlstm_tf.data.protocols import CENTER, Protocol
from rlstm_tf.data.schema import Manifest
from rlstm_tf.data.video import LONGEST_SIDE, DamagedVideoError, VideoReader, encode_jpeg
from rlstm_tf.errors import DataError
from rlstm_tf.storage.json_values import require_type


@dataclass(frozen=True)
class RecordFormat:
    """How images lie in records, and so how a network has seen them.

    Attributes:
        short_side: pixels.
        jpeg_quality: 1..100.
        flow: one of `optical_flow.METHODS`; None = frames.
    """

    short_side: int
    jpeg_quality: int
    flow: str | None = None

    @classmethod
    def from_manifest(cls, manifest: Manifest) -> RecordFormat:
        """What a manifest says of its shards.

        Raises:
            DataError: it does not say it.
        """
        settings, temporal = manifest.settings, manifest.stream == "temporal"
        names = ("short_side", "jpeg_quality", *(("flow",) if temporal else ()))
        kinds = {"short_side": int, "jpeg_quality": int, "flow": str}
        for name in names:
            require_type(
                settings.get(name), kinds[name], f"the manifest of the shards: settings: {name}"
            )
        found = cls(**{name: settings[name] for name in names})
        good = 1 <= found.short_side <= LONGEST_SIDE and 1 <= found.jpeg_quality <= 100
        if not good or found.flow not in (None, *METHODS):
            raise DataError(
                f"the manifest of the shards says what no shards are made with: {found}"
            )
        return found


class VideoViews(NamedTuple):
    """What a network is shown of a video.

    Attributes:
        frames: uint8 [V, T, S, S, C]: RGB 0..255, or levels of flow.
        numbers: int64 [G, T], the first image of each snippet, by places in time.
        fps: frames per second of the file, 0 = unknown.
    """

    frames: np.ndarray
    numbers: np.ndarray
    fps: float


def video_views(
    path: str, record_format: RecordFormat, config: InputConfig, protocol: Protocol = CENTER
) -> VideoViews:
    """The views of a video file that an evaluation takes of its record.

    The file is decoded twice, to count its frames and to take those that are needed, so that memory
    does not grow with its length and flow is computed only where it is looked at.

    Args:
        path: of a local file.
        record_format: how the network's records were made.
        config: see there; what concerns training is not used.
        protocol: which views.

    Raises:
        DamagedVideoError: it is no video, or not all of it decodes, or it changed meanwhile.
        DataError: it cannot be read; or its images are smaller than the network's.
    """
    with VideoReader(path, record_format.short_side) as reader:
        num_images = reader.count()
    if record_format.flow:
        num_images = max(num_images - 1, 1)
    with VideoReader(path, record_format.short_side) as reader:
        size = reader.height, reader.width
        if min(size) < config.image_size:
            raise DataError(f"{path}: {size[1]}x{size[0]} is less than {config.image_size} pixels")
        starts = protocol.starts(num_images, config.num_segments, config.new_length)
        numbers = sampling.snippet_frames(starts, num_images, config.new_length)
        boxes = augmentation.evaluation_crops(*size, config.image_size, protocol.num_crops)
        frames = np.empty((protocol.num_views, *config.video_shape), np.uint8)
        out = frames.reshape(len(starts), len(boxes), *config.video_shape)
        image = make_image_reader(reader, record_format)
        write_views(image, config, numbers, boxes, False, out.swapaxes(1, 2))
        return VideoViews(frames, starts, reader.fps)


def make_image_reader(
    reader: VideoReader, record_format: RecordFormat
) -> Callable[[int], np.ndarray]:
    """A function from a number to that image of a video as a record gives it back.

    Args:
        reader: just opened.
        record_format: how the record would be made.

    Returns:
        It takes numbers that rise, below the video's number of images, and returns uint8 [H, W, 3],
        RGB, or of flow uint8 [2H, W]. It raises DamagedVideoError where the video ends before.
    """
    frames = enumerate(reader.lazy_frames())
    # One frame is read ahead for flow: from it to the next.
    latest: list[tuple[int, np.ndarray]] = []

    def frame(number: int) -> np.ndarray | None:
        for found, image in latest:
            if found == number:
                return image
        for found, take in frames:
            if found == number:
                latest[:] = [*latest[-1:], (found, take())]
                return latest[-1][1]
        return None

    flow = make_flow_function(record_format.flow) if record_format.flow else None

    def image(number: int) -> np.ndarray:
        before = frame(number)
        if before is None:
            raise DamagedVideoError(f"ends before frame {number}, which it had a moment ago")
        if flow is None:
            return _through_jpeg(before, record_format.jpeg_quality, cv2.IMREAD_COLOR_RGB)
        after = frame(number + 1)
        if after is None:
            # A record of one frame has one field without motion.
            levels = np.full((2 * reader.height, reader.width), ZERO, np.uint8)
        else:
            pair = (cv2.cvtColor(one, cv2.COLOR_BGR2GRAY) for one in (before, after))
            levels = quantize(flow(*pair))
        return _through_jpeg(levels, record_format.jpeg_quality, cv2.IMREAD_GRAYSCALE)

    return image


def _through_jpeg(image: np.ndarray, quality: int, mode: int) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(encode_jpeg(image, quality), np.uint8), mode)

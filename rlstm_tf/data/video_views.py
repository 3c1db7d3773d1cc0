"""Makes views of a video file, with the same pixels as views of its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from rlstm_tf.choices import MAX_SIDE
from rlstm_tf.data import augmentation, sampling
from rlstm_tf.data.batches import write_views
from rlstm_tf.data.flow import ZERO, quantize
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.optical_flow import METHODS, SHORTEST_SIDE, make_flow_function
from rlstm_tf.data.picture_reader import PictureReader, open_video
from rlstm_tf.data.protocols import CENTER, Protocol
from rlstm_tf.data.video import DamagedVideoError, VideoReader, encode_jpeg
from rlstm_tf.errors import DataError
from rlstm_tf.storage.json_values import require_type


@dataclass(frozen=True)
class RecordFormat:
    """Settings of the images in records.

    Attributes:
        short_side: short side of the images, pixels.
        jpeg_quality: 1..100.
        flow: method of the optical flow, one of `optical_flow.METHODS`; None: RGB frames.
    """

    short_side: int
    jpeg_quality: int
    flow: str | None = None

    @classmethod
    def from_manifest(cls, manifest: Manifest) -> RecordFormat:
        """Returns the settings in a manifest.

        Raises:
            DataError: a setting is missing or invalid.
        """
        settings, temporal = manifest.settings, manifest.stream == "temporal"
        names = ("short_side", "jpeg_quality", *(("flow",) if temporal else ()))
        kinds = {"short_side": int, "jpeg_quality": int, "flow": str}
        for name in names:
            require_type(
                settings.get(name), kinds[name], f"the manifest of the shards: settings: {name}"
            )
        found = cls(**{name: settings[name] for name in names})
        found.check("the manifest of the shards")
        return found

    def check(self, where: str) -> None:
        """Raises DataError, which names the file `where`, if a setting is out of range."""
        # Optical flow crashes on smaller images.
        low = SHORTEST_SIDE if self.flow else 1
        valid = low <= self.short_side <= MAX_SIDE and 1 <= self.jpeg_quality <= 100
        if not valid or self.flow not in (None, *METHODS):
            raise DataError(f"{where} has invalid settings: {self}")


class VideoViews(NamedTuple):
    """Views of a video.

    Attributes:
        frames: uint8 [V, T, S, S, C], RGB 0..255 or flow levels.
        numbers: int64 [G, T], first image of each snippet in each of G groups or clips.
        times: float64 [G, T], when these images are shown, seconds from the first; NaN: unknown.
    """

    frames: np.ndarray
    numbers: np.ndarray
    times: np.ndarray


def video_views(
    path: str,
    record_format: RecordFormat,
    config: InputConfig,
    protocol: Protocol = CENTER,
    video_stream: int | None = None,
) -> VideoViews:
    """Makes the same views of a video as `batches.evaluation_example` of its record.

    Decodes the file twice, first to count its frames, so that memory does not grow with its length
    and flow is computed only where needed.

    Args:
        path: local file, or folder of pictures.
        record_format: settings of the records that the network was trained on.
        config: batch options; those of training are ignored.
        protocol: the views to make.
        video_stream: number of the video stream, from 0; None: the reader's choice.

    Raises:
        DamagedVideoError: the file is not a video, does not decode completely, or changed between
            the two passes.
        DataError: the file cannot be read, or its images are smaller than `config.image_size`.
    """
    with open_video(path, record_format.short_side, video_stream=video_stream) as reader:
        num_images = reader.count()
        try:
            times = reader.frame_times().starts
        except DamagedVideoError:
            times = np.full(num_images, np.nan)
    if record_format.flow:
        num_images = max(num_images - 1, 1)
    with open_video(path, record_format.short_side, video_stream=video_stream) as reader:
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
        return VideoViews(frames, starts, times[np.minimum(starts, num_images - 1)])


def make_image_reader(
    reader: VideoReader | PictureReader, record_format: RecordFormat
) -> Callable[[int], np.ndarray]:
    """Returns a function that reads images of a video as they would be in a record.

    Args:
        reader: reader that was just opened.
        record_format: settings of the record.

    Returns:
        A function from an image's number, called in ascending order, to the image: uint8 [H, W, 3],
        RGB, or for flow uint8 [2H, W]. It raises DamagedVideoError if the video ends earlier.
    """
    frames = enumerate(reader.lazy_frames())
    # The two latest frames, between which flow is computed.
    latest: list[tuple[int, np.ndarray]] = []

    def read_frame(number: int) -> np.ndarray | None:
        for found, image in latest:
            if found == number:
                return image
        for found, take in frames:
            if found == number:
                latest[:] = [*latest[-1:], (found, take())]
                return latest[-1][1]
        return None

    flow = make_flow_function(record_format.flow) if record_format.flow else None

    def read_image(number: int) -> np.ndarray:
        before = read_frame(number)
        if before is None:
            raise DamagedVideoError(f"ends before frame {number}: it changed while it was read")
        if flow is None:
            return compress(before, record_format.jpeg_quality, cv2.IMREAD_COLOR_RGB)
        after = read_frame(number + 1)
        if after is None:
            # A record of a single frame has one field without motion.
            levels = np.full((2 * reader.height, reader.width), ZERO, np.uint8)
        else:
            pair = (cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in (before, after))
            levels = quantize(flow(*pair))
        return compress(levels, record_format.jpeg_quality, cv2.IMREAD_GRAYSCALE)

    return read_image


def compress(image: np.ndarray, quality: int, mode: int) -> np.ndarray:
    """Returns an image as JPEG compression changes it.

    Args:
        image: uint8 [H, W, 3], BGR, or [H, W], gray.
        quality: 1..100.
        mode: OpenCV's flag for decoding, which decides on the order of the channels.
    """
    return cv2.imdecode(np.frombuffer(encode_jpeg(image, quality), np.uint8), mode)

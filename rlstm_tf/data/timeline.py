"""Divides a long video into windows in time, and makes a view of each.

    |---- window 0 ----|               of equal length, one stride apart; the last one ends with
             |---- window 1 ----|      the video. A shorter video is a single window.
                |---- window 2 ----|
    |piece 0 |piece 1 |piece 2 | 3 |   one stride long, without gap or overlap

Decodes a file twice, like `video_views`: first for the times of its frames, which decide which
frames are needed, then to read these. So only these are resized, and flow is only computed for
them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from rlstm_tf.data import augmentation, sampling
from rlstm_tf.data.batches import in_frame_order, write_crop
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.picture_reader import open_video
from rlstm_tf.data.stream_times import FrameTimes
from rlstm_tf.data.video_views import RecordFormat, make_image_reader
from rlstm_tf.errors import DataError, UsageError

# At most this number of windows overlap; their views are in memory together.
_MAX_OVERLAP = 16
# Seconds: more than a sum's rounding error, less than a frame's duration.
_TOLERANCE = 1e-6
# 111 hours with a stride of two seconds. A window takes 8 bytes per image that it shows.
MOST_WINDOWS = 200_000


def check_windows(window: float, stride: float) -> None:
    """Checks a window and a stride, in seconds.

    Raises:
        UsageError: the windows leave gaps, overlap too much, or have an invalid length.
    """
    if not 0.01 <= window <= 86_400:
        raise UsageError(f"--window={window:g} must be 0.01 to 86400 seconds")
    if not window / _MAX_OVERLAP <= stride <= window:
        raise UsageError(
            f"--stride={stride:g} must be at most --window={window:g}, to leave no gaps, and at "
            f"least {window / _MAX_OVERLAP:g}, a {_MAX_OVERLAP}th of it"
        )


def frame_times(
    path: str,
    short_side: int,
    track: Callable[..., Iterable[Any]] = lambda items, total: items,
    video_stream: int | None = None,
    fps: float = 0.0,
) -> FrameTimes:
    """Decodes a video for the times of its frames. Memory grows by 8 bytes per frame.

    Args:
        path: local file, or folder of pictures.
        short_side: short side of the frames, pixels.
        track: takes an iterable and the expected number of items (0: unknown) and returns the
            iterable, to show progress.
        video_stream: number of the video stream, from 0; None: the reader's choice.
        fps: frames per second of a folder of pictures.

    Raises:
        DamagedVideoError: the file does not decode completely, or lacks times.
        DataError: the file cannot be read.
    """
    with open_video(path, short_side, fps, video_stream) as reader:
        for _ in track(reader.lazy_frames(), reader.num_expected):
            pass
        return reader.frame_times()


def check_num_windows(end: float, stride: float) -> None:
    """Limits the number of windows: a file may claim that its frames last for years.

    Raises:
        DataError: there are more than `MOST_WINDOWS`.
    """
    count = math.ceil(end / stride)
    if count > MOST_WINDOWS:
        raise DataError(
            f"{end:.0f} s are {count} windows, at most {MOST_WINDOWS} are possible: "
            "give a longer --stride"
        )


def windows(end: float, window: float, stride: float) -> np.ndarray:
    """Returns the start and end of each window: float64 [W, 2], seconds, ascending.

    Args:
        end: length of the video, above 0.
        window: length of a window.
        stride: time between the starts of two windows.
    """
    count = math.floor((end - window + _TOLERANCE) / stride) + 1
    if count < 1:
        return np.array([[0.0, end]])
    starts = np.arange(count) * stride
    if starts[-1] + window < end - _TOLERANCE:
        starts = np.append(starts, end - window)
    return np.stack([starts, np.minimum(starts + window, end)], axis=1)


def pieces(end: float, stride: float) -> np.ndarray:
    """Returns the start and end of each piece: float64 [P, 2], seconds, without gap or overlap."""
    inner = np.arange(1, math.ceil((end - _TOLERANCE) / stride)) * stride
    edges = np.concatenate([[0.0], inner, [end]])
    return np.stack([edges[:-1], edges[1:]], axis=1)


def covering_windows(bounds: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Finds the windows that contain each piece: int64 [P, 2], the first and the last.

    Args:
        bounds: result of `windows`.
        parts: result of `pieces` for the same video and stride.
    """
    # Starts and ends of windows ascend, so these windows are consecutive.
    first = np.searchsorted(bounds[:, 1], parts[:, 1] - _TOLERANCE)
    last = np.searchsorted(bounds[:, 0], parts[:, 0] + _TOLERANCE) - 1
    return np.stack([first, last], axis=1)


def window_snippets(times: FrameTimes, bounds: np.ndarray, config: InputConfig) -> np.ndarray:
    """Returns the images of each window's snippets, one from the middle of each of T segments.

    A window has the images that start in it, or if there are none, the one shown at its start. It
    is sampled like a video by `protocols.CENTER`, except that a snippet longer than the window
    continues past its end.

    Args:
        times: times of all frames.
        bounds: result of `windows`.
        config: batch options.

    Returns:
        int64 [W, T, new_length], numbers of frames or flow fields.
    """
    # The last frame has no flow, unless it is the only one.
    temporal = config.stream == "temporal"
    starts = times.starts[: max(len(times.starts) - 1, 1)] if temporal else times.starts
    first, end = np.searchsorted(starts, bounds - _TOLERANCE).T
    first = np.minimum(first, np.maximum(end, 1) - 1)
    snippets = [
        low
        + sampling.group_snippets(max(high - low, 1), config.num_segments, 1, config.new_length)[0]
        for low, high in zip(first.tolist(), end.tolist())
    ]
    return sampling.snippet_frames(np.array(snippets), len(starts), config.new_length)


def window_views(
    path: str,
    record_format: RecordFormat,
    config: InputConfig,
    numbers: np.ndarray,
    video_stream: int | None = None,
) -> Iterator[np.ndarray]:
    """Yields the view of each window.

    Args:
        path: local file.
        record_format: settings of the records that the network was trained on.
        config: batch options.
        numbers: result of `window_snippets`.
        video_stream: number of the video stream, from 0; None: the reader's choice.

    Yields:
        uint8 [T, S, S, C], RGB 0..255 or flow levels.

    Raises:
        DamagedVideoError: the file decodes less far than before.
        DataError: the file cannot be read, or its images are smaller than `config.image_size`.
    """
    with open_video(path, record_format.short_side, video_stream=video_stream) as reader:
        size = reader.height, reader.width
        if min(size) < config.image_size:
            raise DataError(f"{path}: {size[1]}x{size[0]} is less than {config.image_size} pixels")
        [box] = augmentation.evaluation_crops(*size, config.image_size)
        image = make_image_reader(reader, record_format)
        open_windows: dict[int, np.ndarray] = {}
        for position, images in in_frame_order(image, numbers.reshape(-1, config.new_length)):
            window, segment = divmod(position, config.num_segments)
            if window not in open_windows:
                open_windows[window] = np.empty(config.video_shape, np.uint8)
            write_crop(images, config, box, False, open_windows[window][segment])
            # Segments, and the ends of windows, come in order.
            if segment == config.num_segments - 1:
                yield open_windows.pop(window)

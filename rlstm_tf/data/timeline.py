"""A long video as windows in time: which there are, and what a network is shown of each.

    |---- window 0 ----|               of one length, a stride apart, and a last one that ends with
             |---- window 1 ----|      the video; a video shorter than a window is one window
                |---- window 2 ----|
    |piece 0 |piece 1 |piece 2 | 3 |   a stride long: they cover the video without gap or overlap

As in `video_views` a file is decoded twice: for the times of its frames, on which it depends which
of them are needed, and then to take those. To turn every frame into pixels, and to hold all that
might be needed, would cost more; and flow is computed only where it is looked at.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from rlstm_tf.data import augmentation, sampling
from rlstm_tf.data.batches import in_frame_order, write_crop
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.video import DamagedVideoError, VideoReader
from rlstm_tf.data.video_views import RecordFormat, make_image_reader
from rlstm_tf.errors import DataError, UsageError

# What is shown of so many windows is held in memory.
_AT_ONCE = 16
# Seconds: more than the rounding of sums, less than a frame lasts.
_ROUNDING = 1e-6
# 111 hours, at one every two seconds. Each takes 8 bytes for every image that it shows.
MOST_WINDOWS = 200_000


class FrameTimes(NamedTuple):
    """When the frames of a video are shown, in seconds since the first.

    Attributes:
        starts: float64 [F], rising or level.
        end: of the last frame.
    """

    starts: np.ndarray
    end: float


def check_windows(window: float, stride: float) -> None:
    """Refuses lengths, in seconds, that leave gaps or ask for no end of memory.

    Raises:
        UsageError: they do.
    """
    if not 0.01 <= window <= 86_400:
        raise UsageError(f"--window={window:g} must be 0.01 to 86400 seconds")
    if not window / _AT_ONCE <= stride <= window:
        raise UsageError(
            f"--stride={stride:g} must be at most --window={window:g}, so that no moment is left "
            f"out, and at least {window / _AT_ONCE:g}, a {_AT_ONCE}th of it"
        )


def frame_times(
    path: str, short_side: int, track: Callable[..., Iterable[Any]] = lambda items, total: items
) -> FrameTimes:
    """Decodes a video for the times of its frames. Memory grows by 8 bytes a frame.

    Args:
        path: of a local file.
        short_side: see `VideoReader`.
        track: takes an iterable and how many items it seems to have, 0 = unknown, and gives the
            iterable back, for showing how far it is.

    Raises:
        DamagedVideoError: not all of it decodes, or the times of its frames are not known.
        DataError: it cannot be read.
    """
    starts, lasts = array("d"), 0.0
    with VideoReader(path, short_side) as reader:
        for time, duration in track(reader.times(), reader.num_expected):
            if time is None:
                raise DamagedVideoError(f"does not say when frame {len(starts)} is shown")
            if starts and time < starts[-1]:
                raise DamagedVideoError(
                    f"frame {len(starts)} is shown at {time:.3f} s, "
                    f"the one before it at {starts[-1]:.3f} s"
                )
            lasts = duration or (time - starts[-1] if starts else 0.0)
            starts.append(time)
        lasts = lasts or (1 / reader.fps if reader.fps else 0.0)
    if not lasts:
        raise DamagedVideoError("does not say how long its last frame is shown")
    times = np.frombuffer(starts) - starts[0]
    return FrameTimes(times, float(times[-1]) + lasts)


def check_num_windows(end: float, stride: float) -> None:
    """Refuses more windows than memory and patience hold.

    A few frames may say that they are shown for years.

    Raises:
        DataError: there are more than `MOST_WINDOWS`.
    """
    count = math.ceil(end / stride)
    if count > MOST_WINDOWS:
        raise DataError(
            f"{end:.0f} s are {count} windows, at most {MOST_WINDOWS} are looked at: "
            "give a longer --stride"
        )


def windows(end: float, window: float, stride: float) -> np.ndarray:
    """Start and end of each window: float64 [W, 2], seconds, rising.

    Args:
        end: of the video, above 0.
        window, stride: lengths.
    """
    count = math.floor((end - window + _ROUNDING) / stride) + 1
    if count < 1:
        return np.array([[0.0, end]])
    starts = np.arange(count) * stride
    if starts[-1] + window < end - _ROUNDING:
        starts = np.append(starts, end - window)
    return np.stack([starts, np.minimum(starts + window, end)], axis=1)


def pieces(end: float, stride: float) -> np.ndarray:
    """Start and end of each piece: float64 [P, 2], seconds; each starts where one ended."""
    inner = np.arange(1, math.ceil((end - _ROUNDING) / stride)) * stride
    edges = np.concatenate([[0.0], inner, [end]])
    return np.stack([edges[:-1], edges[1:]], axis=1)


def covering_windows(bounds: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """The windows that show all of a piece, at least one: int64 [P, 2], the first and the last.

    Args:
        bounds: of `windows`.
        parts: of `pieces`, made with the same lengths.
    """
    # Both their starts and their ends rise, so they are neighbours.
    first = np.searchsorted(bounds[:, 1], parts[:, 1] - _ROUNDING)
    last = np.searchsorted(bounds[:, 0], parts[:, 0] + _ROUNDING) - 1
    return np.stack([first, last], axis=1)


def window_snippets(times: FrameTimes, bounds: np.ndarray, config: InputConfig) -> np.ndarray:
    """The images that a network is shown of each window: the middle of each of its T segments.

    A window has the images whose frames begin to be shown in it; where none does, the one that is
    shown already. It is treated as a whole video is by `protocols.CENTER`, but that a snippet
    longer than the window goes on behind it.

    Args:
        times: of all frames.
        bounds: of `windows`.
        config: of the network.

    Returns:
        int64 [W, T, new_length], numbers of frames, or of flow fields.
    """
    # The last frame has no flow to a next one, unless it is the only one.
    temporal = config.stream == "temporal"
    starts = times.starts[: max(len(times.starts) - 1, 1)] if temporal else times.starts
    first, after = np.searchsorted(starts, bounds - _ROUNDING).T
    first = np.minimum(first, np.maximum(after, 1) - 1)
    shown = [
        low
        + sampling.group_snippets(max(high - low, 1), config.num_segments, 1, config.new_length)[0]
        for low, high in zip(first.tolist(), after.tolist())
    ]
    return sampling.snippet_frames(np.array(shown), len(starts), config.new_length)


def window_views(
    path: str, record_format: RecordFormat, config: InputConfig, numbers: np.ndarray
) -> Iterator[np.ndarray]:
    """What a network is shown of each window, made as it is asked for.

    Args:
        path: of a local file.
        record_format: how the network's records were made.
        config: of the network.
        numbers: of `window_snippets`.

    Yields:
        uint8 [T, S, S, C]: RGB 0..255, or levels of flow.

    Raises:
        DamagedVideoError: it does not decode as far as it did.
        DataError: it cannot be read; or its images are smaller than the network's.
    """
    with VideoReader(path, record_format.short_side) as reader:
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
            # No earlier segment of it comes later, and no earlier window ends later.
            if segment == config.num_segments - 1:
                yield open_windows.pop(window)

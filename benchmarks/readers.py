"""Peers of the input pipeline: bare loops over the same JPEGs, and video readers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.pool import ThreadPool
from typing import Any

import av
import cv2
import numpy as np

Decode = Callable[[bytes], np.ndarray]


def opencv(stream: str) -> Decode:
    """Returns a function that decodes a JPEG of a stream with OpenCV."""
    mode = cv2.IMREAD_GRAYSCALE if stream == "temporal" else cv2.IMREAD_COLOR_RGB
    return lambda jpeg: cv2.imdecode(np.frombuffer(jpeg, np.uint8), mode)


def simplejpeg(stream: str) -> Decode:
    """Returns a function that decodes a JPEG of a stream with simplejpeg.

    Raises:
        ImportError: it is not installed.
    """
    decode = importlib.import_module("simplejpeg").decode_jpeg
    space = "GRAY" if stream == "temporal" else "RGB"
    return lambda jpeg: decode(jpeg, space)


def bare_loop(
    decode: Decode, jpegs: list[list[bytes]], views: list[Any], batch: np.ndarray, threads: int = 1
) -> None:
    """Decodes the JPEGs of each view and resizes its box into `batch`, without checks.

    Args:
        decode: from `opencv` or `simplejpeg`.
        jpegs: JPEGs by view, in the order of its frames, each once.
        views: from `rlstm_tf.data.sample_draw.draw_sample`.
        batch: uint8 [B, T, S, S, C], overwritten.
        threads: number of threads.
    """

    def make(row: int) -> None:
        images = [np.squeeze(decode(jpeg)) for jpeg in jpegs[row]]
        _resize(images, views[row].box, views[row].frames.shape[1], batch[row % len(batch)])

    if threads == 1:
        for row in range(len(views)):
            make(row)
        return
    with ThreadPool(threads) as pool:
        pool.map(make, range(len(views)))


def _resize(images: list[np.ndarray], box: Any, length: int, out: np.ndarray) -> None:
    size, (x, y, width, height) = out.shape[1:3], box
    for segment, target in enumerate(out):
        # Short videos share frames between snippets.
        snippet = images[segment * length : (segment + 1) * length] or images[-length:]
        if out.shape[-1] == 3:
            cv2.resize(snippet[0][y : y + height, x : x + width], size, dst=target)
            continue
        tops = [(field, top) for field in snippet for top in (0, field.shape[0] // 2)]
        planes = [
            cv2.resize(field[top + y : top + y + height, x : x + width], size)
            for field, top in tops
        ]
        planes += planes[-2:] * (length - len(snippet))
        cv2.merge(planes, target)


def decode_all(decode: Decode, jpegs: list[list[bytes]]) -> None:
    """Decodes all JPEGs and discards the images."""
    for frames in jpegs:
        for jpeg in frames:
            decode(jpeg)


def read_videos(
    read: Callable[[str, list[int]], Iterator[np.ndarray]],
    paths: Sequence[str],
    views: list[Any],
    image_size: int,
) -> None:
    """Reads the frames of each view from its video file, and resizes a box of each frame."""
    for path, view in zip(paths, views):
        # Boxes belong to the shards' frames, which may differ in size: clips them to the frame.
        for image in read(path, sorted(set(view.frames.ravel().tolist()))):
            width = min(view.box.width, image.shape[1])
            height = min(view.box.height, image.shape[0])
            cv2.resize(image[:height, :width], (image_size, image_size))


def decord() -> Callable[[str, list[int]], Iterator[np.ndarray]]:
    """Returns a function that reads frames of a file, RGB, with decord.

    Raises:
        ImportError: it is not installed.
    """
    library = importlib.import_module("decord")
    return lambda path, numbers: iter(
        library.VideoReader(path, num_threads=1).get_batch(numbers).asnumpy()
    )


def pyav(path: str, numbers: list[int], always_seek: bool = True) -> Iterator[np.ndarray]:
    """Yields frames of a file, RGB, with PyAV."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        keys = [place for place, entry in enumerate(stream.index_entries) if entry.is_keyframe]
        ticks = 1 / (stream.average_rate * stream.time_base)
        start = stream.start_time or 0
        decoded, frames = -1, container.decode(stream)
        for number in numbers:
            # A seek goes to the last key frame before `number`; useless if already decoded.
            if always_seek or any(decoded < key <= number for key in keys[1:]):
                container.seek(int(start + number * ticks), stream=stream)
                frames = container.decode(stream)
            for frame in frames:
                decoded = round((frame.pts - start) / ticks) if frame.pts is not None else number
                if decoded >= number:
                    yield frame.to_ndarray(format="rgb24")
                    break

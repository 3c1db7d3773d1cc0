"""Videos of the embedded data set: the clips that they are made of, drawn and encoded."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import av
import numpy as np

from rlstm_tf.cli.terminal import progress_bar

FPS = 8
# Clips of a group share their background. UCF-101 has 4 to 7.
CLIPS_PER_GROUP = 4


@dataclass(frozen=True)
class Clip:
    """One clip of one class: all that its pixels depend on beside the settings."""

    class_name: str
    group: int
    number: int


@dataclass(frozen=True)
class Video:
    """One file.

    Attributes:
        path: below the directory of the data set; the ending names the container.
        clips: shown one after the other.
    """

    path: str
    clips: tuple[Clip, ...]


def plan(classes: Sequence[str], clips_per_class: int) -> list[Clip]:
    """The clips of a data set, class after class. Of two sets, one begins like the other."""
    return [
        Clip(name, index // CLIPS_PER_GROUP + 1, index % CLIPS_PER_GROUP + 1)
        for name in classes
        for index in range(clips_per_class)
    ]


def write_videos(
    directory: str, videos: Sequence[Video], draw: Callable[..., np.ndarray], workers: int
) -> None:
    """Draws and encodes all videos, with a progress bar.

    Args:
        directory: of the data set.
        videos: what to write.
        draw: `scene` of `scenes` or `relations` with all but the first three arguments given.
        workers: number of processes.

    Raises:
        OSError: a file cannot be written.
    """
    for folder in {os.path.dirname(video.path) for video in videos}:
        os.makedirs(os.path.join(directory, folder), exist_ok=True)
    write = functools.partial(_write, directory, draw)
    with progress_bar(len(videos), "demo", "videos") as progress:
        if workers == 1:
            for video in videos:
                write(video)
                progress.update()
            return
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for _ in pool.map(write, videos, chunksize=16):
                progress.update()


def _write(directory: str, draw: Callable[..., np.ndarray], video: Video) -> None:
    frames = [draw(clip.class_name, clip.group, clip.number) for clip in video.clips]
    container = os.path.splitext(video.path)[1][1:]
    with open(os.path.join(directory, video.path), "wb") as file:
        file.write(encode(np.concatenate(frames), container))


def encode(frames: np.ndarray, container: str) -> bytes:
    """A file in MPEG-4 of RGB frames; the same frames, the same bytes.

    Args:
        frames: uint8 [F, H, W, 3].
        container: `avi` or `mp4`.
    """
    file = io.BytesIO()
    # Not bit-exact, the header names the library's version.
    with av.open(file, "w", format=container, options={"fflags": "+bitexact"}) as output:
        stream = output.add_stream("mpeg4", rate=FPS, options={"flags": "+bitexact"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        # More than it needs: at the finest quantizer the shapes keep their edges.
        stream.bit_rate = 100 * FPS * stream.height * stream.width
        stream.codec_context.qmin = 2
        # Slices, and so the bytes, depend on the number of threads.
        stream.codec_context.thread_count = 1
        for image in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(stream.encode())
    return file.getvalue()

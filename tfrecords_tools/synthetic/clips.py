"""Draws clips and encodes them as the videos of a synthetic data set."""

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
from rlstm_tf.storage.creation import write_new

FPS = 8
# Clips of a group share their background. UCF-101 has 4 to 7 per group.
CLIPS_PER_GROUP = 4


@dataclass(frozen=True)
class Clip:
    """Identifies a clip; its pixels depend on this and on the settings."""

    class_name: str
    group: int
    number: int


@dataclass(frozen=True)
class Video:
    """A video file.

    Attributes:
        path: relative to the directory of the data set; the suffix names the container.
        clips: shown one after the other.
    """

    path: str
    clips: tuple[Clip, ...]


def list_clips(classes: Sequence[str], clips_per_class: int) -> list[Clip]:
    """Lists the clips of a data set, class by class."""
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
        directory: root of the data set.
        videos: videos to write.
        draw: returns a clip's frames from its class name, group and number.
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
    write_new(os.path.join(directory, video.path), encode(np.concatenate(frames), container))


def encode(frames: np.ndarray, container: str) -> bytes:
    """Encodes RGB frames as MPEG-4; the same frames give the same bytes.

    Args:
        frames: uint8 [F, H, W, 3].
        container: `avi` or `mp4`.
    """
    file = io.BytesIO()
    # Without bitexact, the header contains the library's version.
    with av.open(file, "w", format=container, options={"fflags": "+bitexact"}) as output:
        stream = output.add_stream("mpeg4", rate=FPS, options={"flags": "+bitexact"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        # Generous: the finest quantizer keeps the edges of the shapes.
        stream.bit_rate = 100 * FPS * stream.height * stream.width
        stream.codec_context.qmin = 2
        # The bytes depend on the number of threads.
        stream.codec_context.thread_count = 1
        for image in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        output.mux(stream.encode())
    return file.getvalue()

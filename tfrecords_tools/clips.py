"""Files of the embedded data set: which clips there are, their lists, and the clips encoded."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import av
import numpy as np

from rlstm_tf.progress import bar
from tfrecords_tools.scenes import CLASSES, scene

FPS = 8
# Clips of a group share their background. UCF-101 has 4 to 7.
_CLIPS_PER_GROUP = 4
# One group in five is for testing: the second, the seventh and so on.
_TEST_EVERY = 5
_TEST_GROUP = 2


@dataclass(frozen=True)
class Clip:
    """One clip: what it is called, and all that its pixels depend on beside the settings."""

    class_name: str
    group: int
    number: int

    @property
    def path(self) -> str:
        """`<Class>/v_<Class>_gNN_cNN.avi`, as the split files have it."""
        return f"{self.class_name}/v_{self.class_name}_g{self.group:02d}_c{self.number:02d}.avi"

    @property
    def is_training(self) -> bool:
        """Whether its group is in the training list; else it is in the test list."""
        return self.group % _TEST_EVERY != _TEST_GROUP


def plan(videos_per_class: int) -> list[Clip]:
    """The clips of a data set, class after class. Of two sets, one begins like the other."""
    return [
        Clip(name, index // _CLIPS_PER_GROUP + 1, index % _CLIPS_PER_GROUP + 1)
        for name in CLASSES
        for index in range(videos_per_class)
    ]


def write_lists(directory: str, clips: Sequence[Clip]) -> None:
    """Writes UCF-101's three files: classes from 1 on; training clips with, test ones without."""
    os.makedirs(directory, exist_ok=True)
    number = {name: place for place, name in enumerate(CLASSES, start=1)}
    lists = {
        "classInd.txt": [f"{place} {name}" for name, place in number.items()],
        "trainlist01.txt": [
            f"{clip.path} {number[clip.class_name]}" for clip in clips if clip.is_training
        ],
        "testlist01.txt": [clip.path for clip in clips if not clip.is_training],
    }
    for name, lines in lists.items():
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)


def write_videos(
    directory: str, clips: Sequence[Clip], num_frames: int, size: int, seed: int, workers: int
) -> None:
    """Draws and encodes all clips, with a progress bar.

    Args:
        directory: where the folders of the classes go.
        clips: what to write.
        num_frames: of each clip.
        size: width and height, pixels.
        seed: of the whole data set.
        workers: number of processes.

    Raises:
        OSError: a file cannot be written.
    """
    for name in CLASSES:
        os.makedirs(os.path.join(directory, name), exist_ok=True)
    write = functools.partial(_write, directory, num_frames, size, seed)
    with bar(len(clips), "demo", "clips") as progress:
        if workers == 1:
            for clip in clips:
                write(clip)
                progress.update()
            return
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for _ in pool.map(write, clips, chunksize=16):
                progress.update()


def _write(directory: str, num_frames: int, size: int, seed: int, clip: Clip) -> None:
    frames = scene(clip.class_name, clip.group, clip.number, num_frames, size, seed)
    with open(os.path.join(directory, clip.path), "wb") as file:
        file.write(encode(frames))


def encode(frames: np.ndarray) -> bytes:
    """An .avi file in MPEG-4 of RGB frames, uint8 [F, H, W, 3]; the same frames, the same bytes."""
    file = io.BytesIO()
    # Not bit-exact, the header names the library's version.
    with av.open(file, "w", format="avi", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("mpeg4", rate=FPS, options={"flags": "+bitexact"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        # More than it needs: at the finest quantizer the shapes keep their edges.
        stream.bit_rate = 100 * FPS * stream.height * stream.width
        stream.codec_context.qmin = 2
        # Slices, and so the bytes, depend on the number of threads.
        stream.codec_context.thread_count = 1
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()

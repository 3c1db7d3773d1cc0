"""One shard from its videos: workers decode them into pieces, then it is put together from those.

What a build does with all shards, a repair with the damaged ones and a Beam worker with one.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from rlstm_tf.data import schema
from rlstm_tf.errors import DataError
from rlstm_tf.storage.atomic import writing
from tfrecords_tools.builder import decoded_video
from tfrecords_tools.builder.download import discard, fetched
from tfrecords_tools.builder.plan import Plan
from tfrecords_tools.builder.reuse import Place
from tfrecords_tools.builder.shard_writer import Context, Sample, write_shard
from tfrecords_tools.builder.worker_pool import Died, results
from tfrecords_tools.datasets.dataset import Action, Video

Result = TypeVar("Result")
# What a decoder that crashes ends its process by. Any other end is not of its making: SIGKILL is
# the kernel's, short of memory, or someone's who is impatient.
_CRASHES = {
    *(-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGFPE, -signal.SIGILL),
    *(-signal.SIGTRAP, -signal.SIGSYS),
}
LEFT_OUT = "left out by --leave_out"


@dataclass(frozen=True)
class Made:
    """A shard that was put together.

    Attributes:
        shard: its line of the manifest.
        damaged: `id`, `path` and `reason` of each of its videos that was left out.
        labels_without_sample: labels of its videos that have no frames to train on.
    """

    shard: schema.Shard
    damaged: tuple[dict[str, str], ...]
    labels_without_sample: int


class ShardWork:
    """The videos of one shard on their way into it.

    Args:
        name: of the shard.
        videos: that go into it, in order.
        classes: names; a label is the position in them.
        settings: of the plan.
        directory: for the pieces; there, and on the same disk as the shard will be.
        first: number of the first video's piece.
        stored: where finished shards hold images of a video, by its id.

    Attributes:
        name: of the shard.
        waiting: how many of its videos no run has tried yet.
    """

    def __init__(
        self,
        name: str,
        videos: Sequence[Video],
        classes: Sequence[str],
        settings: Mapping[str, Any],
        directory: str,
        first: int = 0,
        stored: Mapping[str, Place] = MappingProxyType({}),
    ):
        self.name = name
        self._videos = videos
        self._classes = classes
        self._settings = settings
        self._directory = directory
        self._stored = stored
        self._pieces = [
            os.path.join(directory, f"{first + number:07d}") for number in range(len(videos))
        ]
        self.waiting = sum(not decoded_video.is_made(piece) for piece in self._pieces)

    def tasks(self) -> Iterator[decoded_video.Task]:
        """The videos that no run has tried yet."""
        settings = self._settings
        for video, piece in zip(self._videos, self._pieces):
            if not decoded_video.is_made(piece):
                yield decoded_video.Task(
                    *(piece, video.path, settings["short_side"], settings["jpeg_quality"]),
                    flow=settings.get("flow"),
                    timed=any(action.end is not None for action in video.actions),
                    stored=self._stored.get(video.id),
                )

    def leave_out(self, reasons: Mapping[str, str]) -> None:
        """Takes videos for damaged without a try.

        Args:
            reasons: why, by id; ids of other shards may be among them.
        """
        for video, piece in zip(self._videos, self._pieces):
            if video.id in reasons and not decoded_video.is_made(piece):
                decoded_video.mark_damaged(piece, reasons[video.id])
                self.waiting -= 1

    def video_of(self, piece: str) -> Video:
        """The video whose piece has this path."""
        return self._videos[self._pieces.index(piece)]

    def damaged(self) -> tuple[dict[str, str], ...]:
        """Of the videos tried so far, those that did not decode, as in `Made`."""
        return tuple(
            {"id": video.id, "path": video.path, "reason": reason}
            for video, piece in zip(self._videos, self._pieces)
            if (reason := decoded_video.damage(piece)) is not None
        )

    def write(self, directory: str) -> Made:
        """Puts the shard together in a directory; all its videos have been tried.

        Raises:
            DataError: it cannot be written, or a piece is damaged.
        """
        with writing(schema.tfrecord_path(directory, self.name)):
            shard = write_shard(
                directory,
                self.name,
                self._decoded(),
                self._settings["frames_per_record"],
                scratch=self._directory,
            )
        samples = np.load(schema.samples_path(directory, self.name))
        without = int((samples["num_frames"] == 0).sum())
        return Made(shard, self.damaged(), without)

    def discard(self) -> None:
        """Deletes the pieces."""
        for piece in self._pieces:
            decoded_video.remove(piece)

    def _decoded(self) -> Iterator[tuple[Context, Iterator[bytes]]]:
        for video, path in zip(self._videos, self._pieces):
            if decoded_video.damage(path) is None:
                piece = decoded_video.load(path)
                context = Context(
                    id=video.id,
                    samples=tuple(
                        Sample(action.label, self._classes[action.label], *frames)
                        for action in video.actions
                        for frames in [frames_of(action, piece.fps, len(piece.sizes))]
                    ),
                    fps=piece.fps,
                    height=piece.height,
                    width=piece.width,
                    num_frames=len(piece.sizes),
                )
                yield context, piece.jpegs()


def works_of(
    plan: Plan, directory: str, stored: Mapping[str, Place] = MappingProxyType({})
) -> dict[str, ShardWork]:
    """All shards of a plan by name; a video's piece has its number in the plan."""
    works: dict[str, ShardWork] = {}
    first = 0
    for name, videos in plan.shards.items():
        works[name] = ShardWork(
            name, videos, plan.dataset.classes, plan.settings, directory, first, stored
        )
        first += len(videos)
    return works


def put_together(
    works: Sequence[ShardWork],
    workers: int,
    finish: Callable[[ShardWork], Result],
    progress: Callable[[], object],
) -> dict[str, Result]:
    """Decodes what is left of shards, and finishes each as soon as all its videos were tried.

    Args:
        works: the shards; their videos are decoded in this order.
        workers: number of processes that decode.
        finish: writes a shard. Called in one other thread, one shard at a time.
        progress: called after each video.

    Returns:
        What `finish` returned, by the name of the shard.

    Raises:
        DataError: something cannot be written, a video not be read or copied, or a process that
            decoded one was ended by something else than a crash.
    """
    # All of them now: finishing a shard deletes its pieces, which then look as if never made.
    tasks = [(task, work) for work in works for task in work.tasks()]
    of_piece = {task.piece: work for task, work in tasks}
    # Finishing is mostly hashing and writing, which run beside the loop that feeds workers.
    thread = ThreadPoolExecutor(1)
    try:
        finished = {work.name: thread.submit(finish, work) for work in works if not work.waiting}
        pending = set(finished.values())
        there = fetched((task for task, _ in tasks), workers)
        made = results(decoded_video.make, there, workers)
        with contextlib.closing(there), contextlib.closing(made):
            for task, result in made:
                work = of_piece[task.piece]
                if isinstance(result, Died):
                    decoded_video.mark_damaged(
                        task.piece, _death(result, work.video_of(task.piece))
                    )
                discard(task)
                progress()
                work.waiting -= 1
                if not work.waiting:
                    finished[work.name] = thread.submit(finish, work)
                    pending.add(finished[work.name])
                _raise_failures(pending)
        return {name: future.result() for name, future in finished.items()}
    finally:
        # Where one failed, or after Ctrl-C, those that wait their turn are not written first.
        thread.shutdown(cancel_futures=True)


def frames_of(action: Action, fps: float, num_frames: int) -> tuple[int, int]:
    """First frame, and number of frames, of an action: every frame it touches.

    Args:
        action: in seconds.
        fps: frames a second; only asked for if the action has an end.
        num_frames: stored frames; the action is cut to them.

    Returns:
        (0, 0) if no frame is left.
    """
    if action.end is None:
        return 0, num_frames
    # Rounded, so that 0.1 s at 30 frames a second is frame 3 and not what floats make of it.
    first, end = round(action.start * fps, 6), round(action.end * fps, 6)
    first, end = math.floor(first), min(math.ceil(end), num_frames)
    return (first, end - first) if action.end > action.start and end > first else (0, 0)


def _death(died: Died, video: Video) -> str:
    """Why a video is damaged, if that is what ended the process."""
    if died.exit_code in _CRASHES:
        return f"the process that decoded it died twice, {died}"
    raise DataError(
        f"the process that decoded {video.path} was ended twice, {died} (is there memory for it?): "
        f"run the same command again; a build goes on without it with --leave_out={video.id}"
    )


def _raise_failures(pending: set[Future[Result]]) -> None:
    """Ends it at once when a shard cannot be written, not hours later; drops what has ended."""
    for future in [future for future in pending if future.done()]:
        pending.remove(future)
        future.result()

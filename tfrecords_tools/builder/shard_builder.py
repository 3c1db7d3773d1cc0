"""Builds shards: workers decode the videos, then each shard is written from the decoded frames.

Serves local builds (all shards), repairs (the damaged ones) and Beam workers (one).
"""

from __future__ import annotations

import bisect
import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from rlstm_tf.data import schema
from rlstm_tf.errors import DataError
from rlstm_tf.storage.atomic import writing
from rlstm_tf.storage.checksums import FileDigest
from rlstm_tf.worker_pool import Crash, run_tasks
from tfrecords_tools.builder import decoded_video
from tfrecords_tools.builder.built_shard import BuiltShard
from tfrecords_tools.builder.decoded_video import DecodeTask
from tfrecords_tools.builder.download import delete_download, download_ahead
from tfrecords_tools.builder.plan import Plan
from tfrecords_tools.builder.reuse import StoredVideo
from tfrecords_tools.builder.shard_writer import Context, Sample, write_shard
from tfrecords_tools.datasets.dataset import Action, Video
from tfrecords_tools.datasets.source_files import digest_source

Result = TypeVar("Result")
# Signals of a crashing decoder. Any other end has another cause: SIGKILL comes from the kernel, out
# of memory, or from a user.
_CRASH_SIGNALS = {
    *(signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL),
    *(signal.SIGTRAP, signal.SIGSYS),
}
# Seconds: more than a sum's rounding error, less than a frame's duration.
_ROUNDING = 1e-6
LEFT_OUT = "left out by --leave_out"


class ShardBuilder:
    """Decodes the videos of one shard and writes the shard.

    Args:
        name: name of the shard.
        videos: its videos, in order.
        classes: class names in label order.
        settings: settings of the plan.
        directory: for decoded videos; exists, on the same disk as the shard.
        first: number of the first video, for file names.
        stored: locations of images in finished shards, by id of the video.

    Attributes:
        name: name of the shard.
        num_pending: number of its videos that were not tried yet.
    """

    def __init__(
        self,
        name: str,
        videos: Sequence[Video],
        classes: Sequence[str],
        settings: Mapping[str, Any],
        directory: str,
        first: int = 0,
        stored: Mapping[str, StoredVideo] = MappingProxyType({}),
    ):
        self.name = name
        self._classes = classes
        self._settings = settings
        self._directory = directory
        self._stored = stored
        # Path of the decoded video -> video.
        self._videos = {
            os.path.join(directory, f"{number:07d}"): video
            for number, video in enumerate(videos, first)
        }
        self.num_pending = sum(not decoded_video.is_tried(target) for target in self._videos)

    def decode_tasks(self) -> Iterator[DecodeTask]:
        """Yields a task for each video that was not tried yet."""
        settings = self._settings
        for target, video in self._videos.items():
            if not decoded_video.is_tried(target):
                yield DecodeTask(
                    *(target, video.path, settings["short_side"], settings["jpeg_quality"]),
                    flow=settings.get("flow"),
                    timed=any(action.end is not None for action in video.actions),
                    stored=self._stored.get(video.id),
                    fps=settings.get("fps", 0.0),
                    video_stream=settings.get("video_stream"),
                    keep_partial=settings.get("keep_partial"),
                )

    def leave_out(
        self,
        reasons: Mapping[str, str],
        digests: Mapping[str, FileDigest] = MappingProxyType({}),
    ) -> None:
        """Marks videos as damaged without trying them.

        Args:
            reasons: why, by id; ids of other shards' videos are ignored.
            digests: of their files, where known.
        """
        for target, video in self._videos.items():
            if video.id in reasons and not decoded_video.is_tried(target):
                decoded_video.mark_damaged(target, reasons[video.id], digests.get(video.id))
                self.num_pending -= 1

    def end_task(self, task: DecodeTask, result: str | Crash | None) -> None:
        """Counts a task as done; a crash of the decoder marks its video as damaged.

        Raises:
            DataError: the process was killed, which says nothing about the video.
        """
        if isinstance(result, Crash):
            video = self._videos[task.target]
            if result.exit_code is None or -result.exit_code not in _CRASH_SIGNALS:
                raise DataError(
                    f"the process that decoded {video.path} was killed twice, {result} "
                    "(out of memory?): run the same command again; "
                    f"--leave_out={video.id} builds without it"
                )
            reason = f"the process that decoded it died twice, {result}"
            decoded_video.mark_damaged(task.target, reason, digest_source(task.video))
        self.num_pending -= 1

    def write(self, directory: str) -> BuiltShard:
        """Writes the shard into a directory; all its videos have been tried.

        Raises:
            DataError: it cannot be written, or a decoded video was changed.
        """
        with writing(schema.tfrecord_path(directory, self.name)):
            shard = write_shard(
                directory,
                self.name,
                self._read_decoded(),
                self._settings["frames_per_record"],
                scratch=self._directory,
            )
        samples = np.load(schema.samples_path(directory, self.name))
        without_sample = int((samples["num_frames"] == 0).sum())
        damaged, partial, num_choices = [], [], 0
        for target, video in self._videos.items():
            reason = decoded_video.read_damage(target)
            if reason is not None:
                damaged.append({"id": video.id, "path": video.path, "reason": reason})
                continue
            decoded = decoded_video.load(target)
            num_choices += bool(decoded.streams)
            if decoded.damage:
                entry = {"id": video.id, "path": video.path, "reason": decoded.damage}
                partial.append({**entry, "share": decoded.share})
        sources = {
            video.id: source
            for target, video in self._videos.items()
            if (source := decoded_video.read_source(target)) is not None
        }
        found = tuple(damaged), without_sample, sources
        return BuiltShard(shard, *found, tuple(partial), num_choices)

    def delete_decoded(self) -> None:
        """Deletes the decoded videos."""
        for target in self._videos:
            decoded_video.remove(target)

    def _read_decoded(self) -> Iterator[tuple[Context, Iterator[bytes]]]:
        for target, video in self._videos.items():
            if decoded_video.read_damage(target) is not None:
                continue
            decoded = decoded_video.load(target)
            num_frames = len(decoded.sizes)
            # Of a build that was begun by version 0.1.0, only the rate is known.
            times = decoded.times or [n / (decoded.fps or 1.0) for n in range(num_frames + 1)]
            samples = tuple(
                Sample(
                    *(action.label, self._classes[action.label]),
                    *action_frames(action, times, num_frames),
                )
                for action in video.actions
            )
            size = decoded.height, decoded.width
            yield Context(video.id, samples, decoded.fps, *size, num_frames), decoded.read_jpegs()


def make_shard_builders(
    plan: Plan, directory: str, stored: Mapping[str, StoredVideo] = MappingProxyType({})
) -> list[ShardBuilder]:
    """Makes a builder for each shard of a plan; decoded videos are numbered across the shards."""
    builders: list[ShardBuilder] = []
    first = 0
    for name, videos in plan.shards.items():
        content = videos, plan.dataset.classes, plan.settings
        builders.append(ShardBuilder(name, *content, directory, first, stored))
        first += len(videos)
    return builders


def build_shards(
    builders: Sequence[ShardBuilder],
    workers: int,
    finish: Callable[[ShardBuilder], Result],
    progress: Callable[[], object],
) -> dict[str, Result]:
    """Decodes the videos of shards, and finishes each shard once all its videos were tried.

    Args:
        builders: the shards; their videos are decoded in this order.
        workers: number of decoding processes.
        finish: writes a shard. Called in another thread, for one shard at a time.
        progress: called after each video.

    Returns:
        Results of `finish`, by name of the shard.

    Raises:
        DataError: a file cannot be written, a video cannot be read or copied, or a decoding process
            was killed.
    """
    # All of them now: a finished shard's decoded videos are deleted, and would look as if untried.
    tasks = [(task, builder) for builder in builders for task in builder.decode_tasks()]
    owners = {task.target: builder for task, builder in tasks}
    # Finishing is mostly hashing and writing, which run beside the loop that feeds the workers.
    thread = ThreadPoolExecutor(1)
    try:
        finished = {b.name: thread.submit(finish, b) for b in builders if not b.num_pending}
        pending = set(finished.values())
        downloaded = download_ahead((task for task, _ in tasks), workers)
        results = run_tasks(decoded_video.decode, downloaded, workers)
        with contextlib.closing(downloaded), contextlib.closing(results):
            for task, result in results:
                builder = owners[task.target]
                builder.end_task(task, result)
                delete_download(task)
                progress()
                if not builder.num_pending:
                    finished[builder.name] = thread.submit(finish, builder)
                    pending.add(finished[builder.name])
                # Raises the error of a shard that cannot be written at once.
                done, pending = wait(pending, timeout=0)
                for future in done:
                    future.result()
        return {name: future.result() for name, future in finished.items()}
    finally:
        # After a failure or Ctrl-C, do not write the shards that are still queued.
        thread.shutdown(cancel_futures=True)


def action_frames(action: Action, times: Sequence[float], num_frames: int) -> tuple[int, int]:
    """Converts an action's interval from seconds to frames: every frame that is shown in it.

    Args:
        action: start and end in seconds.
        times: start of each frame, and the end of the last one, seconds; used only if the action
            has an end.
        num_frames: number of stored frames, or flow fields; clips the interval.

    Returns:
        First frame and number of frames; (0, 0) if no frame is left.
    """
    if action.end is None:
        return 0, num_frames
    # A frame that starts at 0.1 s by its timestamp is not shown before, whatever 3 / 30 is.
    first = max(bisect.bisect_right(times, action.start + _ROUNDING) - 1, 0)
    end = min(bisect.bisect_left(times, action.end - _ROUNDING), num_frames)
    return (first, end - first) if action.end > action.start and end > first else (0, 0)

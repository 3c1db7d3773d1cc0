"""The build: workers decode videos into pieces, whole shards are put together from them."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from types import MappingProxyType

import numpy as np

from rlstm_tf.data import schema
from rlstm_tf.data.datasets import Action
from rlstm_tf.errors import DataError
from rlstm_tf.progress import bar
from tfrecords_tools import pieces
from tfrecords_tools.output import BUILD, write_whole, writing
from tfrecords_tools.plan import Plan
from tfrecords_tools.record import Context, Sample, write_shard
from tfrecords_tools.stored import Place
from tfrecords_tools.workers import Died, results

_MISSING_LISTED = 20


def build(
    plan: Plan, output: str, workers: int, stored: Mapping[str, Place] = MappingProxyType({})
) -> schema.Manifest:
    """Does what is left to do of a plan.

    Args:
        plan: see there.
        output: directory, claimed for this plan.
        workers: number of processes that decode.
        stored: where finished shards hold images of a video, by its id.

    Returns:
        The manifest, which has been written.

    Raises:
        DataError: something cannot be written, or no video at all decodes.
    """
    assembly = _Assembly(plan, output, stored)
    total = sum(map(len, plan.shards.values()))
    tasks = list(assembly.tasks())
    progress = bar(total, "build", "videos", initial=total - len(tasks))
    # Putting together is mostly hashing and writing, which run beside the loop that feeds workers.
    with progress, ThreadPoolExecutor(1) as putter:
        shards = {
            name: putter.submit(assembly.shard, name)
            for name in plan.shards
            if assembly.is_ready(name)
        }
        with contextlib.closing(results(pieces.make, tasks, workers)) as made:
            for task, result in made:
                if isinstance(result, Died):
                    pieces.mark_damaged(task.piece, _death(result))
                progress.update()
                name = assembly.count(task)
                if assembly.is_ready(name):
                    shards[name] = putter.submit(assembly.shard, name)
                _raise_failures(shards)
        manifest = assembly.manifest({name: future.result() for name, future in shards.items()})
    with writing(schema.join(output, schema.MANIFEST)):
        manifest.save(output)
    return manifest


class _Assembly:
    def __init__(self, plan: Plan, output: str, stored: Mapping[str, Place]):
        self._plan = plan
        self._stored = stored
        self._output = output
        # A video's piece has its number in the plan.
        self._pieces: dict[str, list[str]] = {}
        self._shard_of: dict[str, str] = {}
        for name, videos in plan.shards.items():
            first = len(self._shard_of)
            self._pieces[name] = [
                os.path.join(output, BUILD, f"{first + number:07d}")
                for number in range(len(videos))
            ]
            self._shard_of.update(dict.fromkeys(self._pieces[name], name))
        self._waiting = {
            name: 0 if self._finished(name) else sum(not pieces.is_made(piece) for piece in made)
            for name, made in self._pieces.items()
        }

    def tasks(self) -> Iterator[pieces.Task]:
        """The videos that no earlier run has tried, shard by shard."""
        settings = self._plan.settings
        for name, videos in self._plan.shards.items():
            if self._waiting[name]:
                for video, piece in zip(videos, self._pieces[name]):
                    if not pieces.is_made(piece):
                        yield pieces.Task(
                            *(piece, video.path, settings["short_side"], settings["jpeg_quality"]),
                            flow=settings.get("flow"),
                            timed=any(action.end is not None for action in video.actions),
                            stored=self._stored.get(video.id),
                        )

    def count(self, task: pieces.Task) -> str:
        """Notes that a task is done; returns its shard."""
        name = self._shard_of[task.piece]
        self._waiting[name] -= 1
        return name

    def is_ready(self, name: str) -> bool:
        """Whether all videos of a shard have been tried."""
        return not self._waiting[name]

    def shard(self, name: str) -> schema.Shard:
        """Puts a shard together, unless an earlier run did, and deletes its pieces.

        Raises:
            DataError: it cannot be written, or a piece is damaged.
        """
        shard = self._finished(name)
        if shard is None:
            with writing(schema.tfrecord_path(self._output, name)):
                shard = write_shard(
                    self._output,
                    name,
                    self._videos(name),
                    self._plan.settings["frames_per_record"],
                    scratch=os.path.join(self._output, BUILD),
                )
                write_whole(self._note(name), json.dumps(asdict(shard)).encode())
        for piece in self._pieces[name]:
            pieces.remove(piece)
        return shard

    def manifest(self, shards: dict[str, schema.Shard]) -> schema.Manifest:
        """The manifest of shards that are all there.

        Raises:
            DataError: there is no video in them.
        """
        dataset = self._plan.dataset
        damaged = [
            {"id": video.id, "path": video.path, "reason": reason}
            for name, videos in self._plan.shards.items()
            for video, piece in zip(videos, self._pieces[name])
            if (reason := pieces.damage(piece)) is not None
        ]
        subsets = {}
        for subset in schema.SUBSETS:
            own = tuple(
                shards[name]
                for name, videos in self._plan.shards.items()
                if videos[0].subset == subset
            )
            if any(shard.videos for shard in own):
                subsets[subset] = schema.Subset(
                    sum(shard.videos for shard in own),
                    sum(shard.frames for shard in own),
                    sum(shard.samples for shard in own),
                    own,
                )
        if not subsets:
            first = "{id}: {reason}".format(**damaged[0])
            raise DataError(f"none of the {len(damaged)} videos decodes; the first, {first}")
        return schema.Manifest(
            dataset=dataset.name,
            split=dataset.split,
            stream=self._plan.stream,
            classes=dataset.classes,
            settings=self._plan.settings,
            subsets=subsets,
            damaged=tuple(damaged),
            missing={
                "count": len(dataset.missing),
                "first": list(dataset.missing[:_MISSING_LISTED]),
            },
            multi_label=dataset.multi_label,
            notes={**dataset.notes, **self._untrained(shards)},
        )

    def _untrained(self, shards: dict[str, schema.Shard]) -> dict[str, int]:
        """How many labels have no frames to train on, where that can be."""
        if not self._plan.dataset.multi_label:
            return {}
        indexes = [np.load(schema.samples_path(self._output, name)) for name in shards]
        return {"labels_without_sample": sum(int((i["num_frames"] == 0).sum()) for i in indexes)}

    def _videos(self, name: str) -> Iterator[tuple[Context, Iterator[bytes]]]:
        classes = self._plan.dataset.classes
        for video, path in zip(self._plan.shards[name], self._pieces[name]):
            if pieces.damage(path) is None:
                piece = pieces.load(path)
                context = Context(
                    id=video.id,
                    samples=tuple(
                        Sample(action.label, classes[action.label], *frames)
                        for action in video.actions
                        for frames in [frames_of(action, piece.fps, len(piece.sizes))]
                    ),
                    fps=piece.fps,
                    height=piece.height,
                    width=piece.width,
                    num_frames=len(piece.sizes),
                )
                yield context, piece.jpegs()

    def _finished(self, name: str) -> schema.Shard | None:
        """What an earlier run wrote down about a shard, if the shard is still there."""
        try:
            with open(self._note(name), encoding="utf-8") as file:
                shard = schema.Shard(**json.load(file))
            size = os.path.getsize(schema.tfrecord_path(self._output, name))
        except FileNotFoundError:
            return None
        paths = schema.records_path, schema.frames_path, schema.samples_path
        there = all(os.path.exists(path(self._output, name)) for path in paths)
        return shard if size == shard.bytes and there else None

    def _note(self, name: str) -> str:
        return os.path.join(self._output, BUILD, name + ".json")


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


def _death(died: Died) -> str:
    cause = f"exit status {died.exit_code}"
    if died.exit_code is not None and died.exit_code < 0:
        cause = f"signal {-died.exit_code}"
    return f"the process that decoded it died twice, {cause}"


def _raise_failures(shards: dict[str, Future[schema.Shard]]) -> None:
    """Ends the build at once when a shard cannot be written, not hours later."""
    for future in shards.values():
        if future.done():
            future.result()

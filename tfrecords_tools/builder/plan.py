"""Assigns videos to shards, and identifies a build."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

from rlstm_tf.choices import SUBSETS
from rlstm_tf.data.schema import shard_name
from rlstm_tf.errors import DataError
from tfrecords_tools.datasets.dataset import Dataset, Video
from tfrecords_tools.datasets.source_files import source_sizes


@dataclass(frozen=True)
class Plan:
    """The shards to build, and what goes into them.

    Attributes:
        dataset: the videos.
        stream: `spatial` or `temporal`.
        settings: for the manifest. `plan` is a checksum of everything that the bytes of the shards
            depend on, including the sizes of the videos.
        shards: videos of each shard, by its name, in order.
    """

    dataset: Dataset
    stream: str
    settings: dict[str, Any]
    shards: dict[str, tuple[Video, ...]]

    @property
    def identity(self) -> dict[str, Any]:
        """Values that must not change when a build is resumed."""
        return {
            "dataset": self.dataset.name,
            "split": self.dataset.split,
            "stream": self.stream,
            **self.settings,
        }


def make_plan(dataset: Dataset, stream: str, settings: dict[str, Any], shards: int) -> Plan:
    """Assigns the videos to shards.

    Args:
        dataset: every video has a file.
        stream: `spatial` or `temporal`.
        settings: how frames are made, and how the subsets were chosen.
        shards: number of shards of the training set. The other subsets get a proportional number,
            at least one. No shard is empty.

    Raises:
        DataError: a video is missing, or has a label outside the class list.
    """
    _check_labels(dataset)
    assigned: dict[str, tuple[Video, ...]] = {}
    training = sum(video.subset == "train" for video in dataset.videos)
    for subset in SUBSETS:
        videos = hash_order(video for video in dataset.videos if video.subset == subset)
        wanted = round(shards * len(videos) / training) if training else shards
        count = min(max(wanted, 1), len(videos))
        for index in range(count):
            first, end = (len(videos) * edge // count for edge in (index, index + 1))
            assigned[shard_name(subset, index, count)] = tuple(videos[first:end])
    described = _describe_videos(dataset)
    content = {name: [described[one.id] for one in videos] for name, videos in assigned.items()}
    return _identify(Plan(dataset, stream, {**settings, "shards": shards}, assigned), content)


def make_added_plan(
    dataset: Dataset,
    stream: str,
    settings: dict[str, Any],
    assigned: Mapping[str, Sequence[Video]],
) -> Plan:
    """Makes the plan of shards to which videos were added; it does not follow from the videos.

    Args:
        dataset: every video has a file.
        stream: `spatial` or `temporal`.
        settings: those of the first build.
        assigned: videos of each shard, by its name, in order.

    Raises:
        DataError: a video is missing, or has a label outside the class list.
    """
    _check_labels(dataset)
    settings = {**settings, "added": True}
    described = _describe_videos(dataset)
    # Without the shards: which of them a damaged video belongs to is nowhere recorded.
    content = sorted((*described[video.id], video.subset) for video in dataset.videos)
    shards = {name: tuple(videos) for name, videos in assigned.items()}
    return _identify(Plan(dataset, stream, settings, shards), content)


def hash_order(videos: Iterable[Video]) -> list[Video]:
    """Orders videos by a hash, so that reading shards in order does not give class after class."""
    return sorted(videos, key=lambda video: hashlib.sha256(video.id.encode()).digest())


def _describe_videos(dataset: Dataset) -> dict[str, tuple[Any, ...]]:
    """Returns what identifies each video, by id."""
    paths = [video.path for video in dataset.videos]
    described = {}
    for video, size in zip(dataset.videos, source_sizes(paths)):
        if size is None:
            raise DataError(f"{video.path} no longer exists")
        described[video.id] = video.id, [*map(astuple, video.actions)], size
    return described


def _identify(plan: Plan, videos: Any) -> Plan:
    """Adds the checksum of everything that the bytes of the shards depend on."""
    content = {
        "dataset": [plan.dataset.name, plan.dataset.split, plan.dataset.classes],
        "stream": plan.stream,
        "settings": plan.settings,
        "missing": plan.dataset.missing,
        "shards": videos,
    }
    checksum = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return replace(plan, settings={**plan.settings, "plan": checksum})


def _check_labels(dataset: Dataset) -> None:
    for video in dataset.videos:
        for action in video.actions:
            if not 0 <= action.label < len(dataset.classes):
                raise DataError(
                    f"video {video.id!r} has label {action.label}, "
                    f"the class list allows 0 to {len(dataset.classes) - 1}"
                )

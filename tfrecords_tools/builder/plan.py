"""Assigns videos to shards, and identifies a build."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass
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
        # Ordered by a hash, so that reading the shards in order does not give one class at a time.
        videos = sorted(
            (video for video in dataset.videos if video.subset == subset),
            key=lambda video: hashlib.sha256(video.id.encode()).digest(),
        )
        wanted = round(shards * len(videos) / training) if training else shards
        count = min(max(wanted, 1), len(videos))
        for index in range(count):
            first, end = (len(videos) * edge // count for edge in (index, index + 1))
            assigned[shard_name(subset, index, count)] = tuple(videos[first:end])
    paths = [video.path for video in dataset.videos]
    size_of = dict(zip(paths, source_sizes(paths)))
    for path, size in size_of.items():
        if size is None:
            raise DataError(f"{path} no longer exists")
    settings = {**settings, "shards": shards}
    content = {
        "dataset": [dataset.name, dataset.split, dataset.classes],
        "stream": stream,
        "settings": settings,
        "missing": dataset.missing,
        "shards": {
            name: [
                (video.id, [*map(astuple, video.actions)], size_of[video.path]) for video in videos
            ]
            for name, videos in assigned.items()
        },
    }
    checksum = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return Plan(dataset, stream, {**settings, "plan": checksum}, assigned)


def _check_labels(dataset: Dataset) -> None:
    for video in dataset.videos:
        for action in video.actions:
            if not 0 <= action.label < len(dataset.classes):
                raise DataError(
                    f"video {video.id!r} has label {action.label}, "
                    f"the class list allows 0 to {len(dataset.classes) - 1}"
                )

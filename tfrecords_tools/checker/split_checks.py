"""Warns of what makes the scores of intact shards worthless, or too high."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from rlstm_tf.data import schema
from rlstm_tf.data.manifest import Manifest, Shard
from rlstm_tf.data.shard_index import load_index
from tfrecords_tools.builder.sources import load_sources
from tfrecords_tools.datasets.dataset import Action, Video
from tfrecords_tools.datasets.split_warnings import (
    count_labels,
    list_some,
    warn_of_both_sides,
    warn_of_groups,
    warn_of_untested_classes,
)

_FEW_VIDEOS = 5


def find_warnings(directory: str, manifest: Manifest) -> list[str]:
    """Finds equal files, classes of few videos or without a test, and split groups.

    Groups are those that the build was given. If it was given none, they are guessed from the names
    of the videos. The splits of published data sets are taken as they are.

    Args:
        directory: the shards, local or remote; `find_problems` found none.
        manifest: their manifest.

    Returns:
        One line for each warning.

    Raises:
        DataError: a file cannot be read.
    """
    sources = {source.id: source for source in load_sources(directory, manifest)}
    videos = []
    for subset, entry in manifest.subsets.items():
        for shard in entry.shards:
            for name, actions in _read_labels(directory, shard):
                group = sources[name].group if name in sources else name
                videos.append(Video(name, "", actions, subset, group))
    files: defaultdict[str, list[str]] = defaultdict(list)
    for video in videos:
        source = sources.get(video.id)
        if source and source.digest:
            files[source.digest.sha256].append(video.id)
    subsets = {video.id: video.subset for video in videos}
    return [
        *warn_of_both_sides(subsets, files, "equal files"),
        *_warn_of_other_labels(manifest.classes, videos, files),
        *warn_of_untested_classes(manifest.classes, videos),
        *_warn_of_few(manifest.classes, videos),
        *(warn_of_groups(videos) if manifest.dataset == "folder" else []),
    ]


def _read_labels(directory: str, shard: Shard) -> Iterator[tuple[str, tuple[Action, ...]]]:
    records = load_index(schema.records_path(directory, shard.name), shard.records_sha256)
    samples = load_index(schema.samples_path(directory, shard.name), shard.samples_sha256)
    labels: defaultdict[int, list[int]] = defaultdict(list)
    for video, label in zip(samples["video"].tolist(), samples["label"].tolist()):
        labels[video].append(label)
    for number, name in enumerate(records["id"][records["first_frame"] == 0].tolist()):
        yield name.decode(), tuple(map(Action, labels[number]))


def _warn_of_other_labels(
    classes: tuple[str, ...], videos: list[Video], files: Mapping[str, Sequence[str]]
) -> list[str]:
    """Warns of equal files with different labels."""
    labels = {video.id: sorted({action.label for action in video.actions}) for video in videos}
    found = []
    for names in files.values():
        first = {tuple(labels[name]): name for name in sorted(names, reverse=True)}
        if len(first) > 1:
            pair = sorted((name, "; ".join(classes[n] for n in own)) for own, name in first.items())
            found.append(" and ".join(f"{name} ({own})" for name, own in pair))
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return [f"equal files with different labels: {min(found)}{more}"] if found else []


def _warn_of_few(classes: tuple[str, ...], videos: list[Video]) -> list[str]:
    counts = count_labels(video for video in videos if video.subset == "train")
    few = [f"{name}: {counts[n]}" for n, name in enumerate(classes) if counts[n] < _FEW_VIDEOS]
    if not few or not any(video.subset == "train" for video in videos):
        return []
    what = f"classes with fewer than {_FEW_VIDEOS} training videos"
    return [f"{what}: {len(few)} of {len(classes)}{list_some(few)}"]

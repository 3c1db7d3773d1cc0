"""Adds videos to finished shards: only new and changed files are decoded.

A shard whose videos are all unchanged stays as it is. The others are replaced by shards with new
names, into which images of unchanged videos are copied, so that the shards of before are complete
until the new manifest is written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from rlstm_tf.choices import SUBSETS
from rlstm_tf.cli.terminal import progress_bar
from rlstm_tf.data import schema
from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.shard_index import load_index
from rlstm_tf.errors import DataError
from rlstm_tf.storage.checksums import FileDigest
from tfrecords_tools.builder.built_shard import BuiltShard
from tfrecords_tools.builder.plan import Plan, hash_order, make_added_plan
from tfrecords_tools.builder.reuse import StoredVideo, find_stored_videos
from tfrecords_tools.builder.sources import (
    Source,
    assign_sources,
    load_sources,
    named_actions,
)
from tfrecords_tools.datasets.dataset import Dataset, Video
from tfrecords_tools.datasets.source_files import digest_source, source_sizes
from tfrecords_tools.datasets.subsets import pin_subsets

# Settings that may differ from those of the shards.
_OF_SHARDS = ("plan", "shards", "added")
_NAMED = 3


@dataclass(frozen=True)
class Addition:
    """Plan of a build beside finished shards.

    Attributes:
        plan: all shards, those that stay included.
        kept: shards that stay as they are, by name.
        stored: locations of the images to copy, by id of the video.
        damaged: why unchanged videos are known to be damaged, by id.
        digests: of the files of `damaged`.
        removed: ids of videos that are no longer listed.
    """

    plan: Plan
    kept: Mapping[str, BuiltShard]
    stored: Mapping[str, StoredVideo]
    damaged: Mapping[str, str]
    digests: Mapping[str, FileDigest]
    removed: Sequence[str]

    def describe(self) -> str:
        """Returns a line with the numbers of videos and shards."""
        pending = [
            v for n, videos in self.plan.shards.items() if n not in self.kept for v in videos
        ]
        decoded = len(pending) - len(self.stored) - len(self.damaged)
        removed = f", {_count(self.removed)} to remove" if self.removed else ""
        return (
            f"videos: {decoded} to decode, {len(self.stored)} to copy{removed}; "
            f"{len(self.kept)} shards stay as they are"
        )


def plan_addition(
    output: str, manifest: Manifest, listed: Plan, allow_missing: bool, workers: int
) -> Addition | None:
    """Compares the videos with those that finished shards were built from.

    Args:
        output: local directory of the shards.
        manifest: their manifest.
        listed: plan of a build of all videos that there are now.
        allow_missing: videos of the shards may be gone.
        workers: number of files to read at once.

    Returns:
        None if the shards hold these videos already.

    Raises:
        DataError: the shards were built with other settings, have no record of their videos or are
            damaged, or videos are gone.
    """
    _require_same_settings(output, manifest, listed)
    sources = load_sources(output, manifest)
    if not sources:
        raise DataError(
            f"{output} was built by version 0.1.0, which did not record the video files: "
            "build it again to add videos"
        )
    ids = {video.id for video in listed.dataset.videos}
    removed = [source.id for source in sources if source.id not in ids]
    if removed and not allow_missing:
        raise DataError(
            f"videos in {output} are no longer listed or no longer there: {_count(removed)}; "
            "--allow_missing removes them from the shards"
        )
    unchanged = _find_unchanged(listed.dataset.videos, sources, workers)
    dataset = _pin_moved(listed, sources, unchanged)
    kept, assigned = _keep_shards(output, manifest, dataset, sources, unchanged)
    _assign_new_shards(dataset, manifest, assigned, listed.settings["shards"])
    plan = make_added_plan(
        dataset,
        listed.stream,
        {**_without(listed.settings, _OF_SHARDS), "shards": manifest.settings["shards"]},
        # In the order of all manifests.
        {
            name: assigned[name]
            for subset in SUBSETS
            for name in assigned
            if name.startswith(f"{subset}-")
        },
    )
    if len(kept) == len(manifest.shards) == len(assigned) and len(sources) == len(ids):
        return None
    pending = [v for name, videos in assigned.items() if name not in kept for v in videos]
    known = {video.id: unchanged[video.id] for video in pending if video.id in unchanged}
    reasons = {video["id"]: video["reason"] for video in manifest.damaged}
    located = find_stored_videos([output], listed)
    # The times of frames, which intervals need, are not in the shards.
    timed = {v.id for v in pending if any(action.end is not None for action in v.actions)}
    damaged = {name: reasons[source.id] for name, source in known.items() if source.id in reasons}
    return Addition(
        plan,
        kept,
        {
            name: located[source.id]
            for name, source in known.items()
            if source.id in located and name not in timed
        },
        damaged,
        {name: digest for name in damaged if (digest := known[name].digest)},
        removed,
    )


def recover_added_plan(
    manifest: Manifest, dataset: Dataset, sources: Iterable[Source], settings: dict[str, Any]
) -> Plan:
    """Recovers the plan of shards to which videos were added.

    Args:
        manifest: of the shards.
        dataset: the videos as they are listed now.
        sources: record of the video files.
        settings: of the manifest.

    Raises:
        DataError: a video is missing.
    """
    sources = list(sources)
    dataset = _pin(dataset, sources, settings["val_share"])
    videos = {video.id: video for video in dataset.videos}
    assigned = {
        name: [videos[source.id] for source in members if source.id in videos]
        for name, members in assign_sources(manifest, sources).items()
    }
    return make_added_plan(dataset, manifest.stream, _without(settings, ("plan",)), assigned)


def _require_same_settings(output: str, manifest: Manifest, listed: Plan) -> None:
    ours = _without(listed.identity, _OF_SHARDS)
    found = {name: getattr(manifest, name) for name in ("dataset", "split", "stream")}
    theirs = {**found, **_without(manifest.settings, _OF_SHARDS)}
    for name in {**ours, **theirs}:
        if ours.get(name) != theirs.get(name):
            raise DataError(
                f"{output} was built with {name} {theirs.get(name)!r}, not {ours.get(name)!r}: "
                "give --add the flags of the first build"
            )


def _find_unchanged(
    videos: Sequence[Video], sources: Sequence[Source], workers: int
) -> dict[str, Source]:
    """Returns the record of each video whose file is known, by id; it may have had another name."""
    by_id = {source.id: source for source in sources}
    by_digest = {source.digest: source for source in sources if source.digest}
    known_sizes = {digest.size for digest in by_digest}
    sizes = source_sizes([video.path for video in videos])
    candidates = [video for video, size in zip(videos, sizes) if size in known_sizes]
    with (
        progress_bar(len(candidates), "compare", "videos") as progress,
        ThreadPoolExecutor(workers) as threads,
    ):
        unchanged = {}
        digests = threads.map(digest_source, [video.path for video in candidates])
        for video, digest in zip(candidates, digests):
            progress.update()
            same = by_id.get(video.id)
            found = same if same and same.digest == digest else by_digest.get(digest)
            if found:
                unchanged[video.id] = found
    return unchanged


def _pin_moved(listed: Plan, sources: Sequence[Source], unchanged: Mapping[str, Source]) -> Dataset:
    """Keeps the subsets of before, also of files that have other names now."""
    known = {source.id for source in sources}
    moved = [
        replace(unchanged[video.id], id=video.id, group=video.group)
        for video in listed.dataset.videos
        if video.id in unchanged and video.id not in known
    ]
    return _pin(listed.dataset, [*moved, *sources], listed.settings["val_share"])


def _pin(dataset: Dataset, sources: Sequence[Source], val_share: float) -> Dataset:
    by_id = {source.id: source.subset for source in sources}
    by_group = {source.group: source.subset for source in sources}
    return pin_subsets(dataset, by_id, by_group, val_share)


def _keep_shards(
    output: str,
    manifest: Manifest,
    dataset: Dataset,
    sources: Sequence[Source],
    unchanged: Mapping[str, Source],
) -> tuple[dict[str, BuiltShard], dict[str, list[Video]]]:
    """Returns the shards that stay, and their videos, by name."""
    kept: dict[str, BuiltShard] = {}
    assigned: dict[str, list[Video]] = {}
    # Records hold the numbers of the classes.
    if (manifest.classes, manifest.multi_label) != (dataset.classes, dataset.multi_label):
        return kept, assigned
    videos = {video.id: video for video in dataset.videos}
    damaged = {video["id"]: video for video in manifest.damaged}
    partial = {video["id"]: video for video in manifest.partial}
    entries = {shard.name: shard for shard in manifest.shards}

    def stays(source: Source) -> bool:
        video = videos.get(source.id)
        return (
            video is not None
            and unchanged.get(source.id) is source
            and video.subset == source.subset
            and named_actions(video, dataset.classes) == source.actions
        )

    for name, members in assign_sources(manifest, sources).items():
        if not all(stays(source) for source in members if source.id not in damaged):
            continue
        staying = [source for source in members if stays(source)]
        samples = load_index(schema.samples_path(output, name), entries[name].samples_sha256)
        kept[name] = BuiltShard(
            entries[name],
            tuple(damaged[source.id] for source in staying if source.id in damaged),
            int((samples["num_frames"] == 0).sum()),
            {source.id: source.digest for source in staying if source.digest},
            tuple(partial[source.id] for source in staying if source.id in partial),
        )
        assigned[name] = [videos[source.id] for source in staying]
    return kept, assigned


def _assign_new_shards(
    dataset: Dataset,
    manifest: Manifest,
    assigned: dict[str, list[Video]],
    shards: int,
) -> None:
    """Assigns the videos of no shard that stays to new ones, of about the size of the others."""
    taken = {video.id for videos in assigned.values() for video in videos}
    used = {shard.name for shard in manifest.shards}
    pending: defaultdict[str, list[Video]] = defaultdict(list)
    for video in hash_order(dataset.videos):
        if video.id not in taken:
            pending[video.subset].append(video)
    training = sum(video.subset == "train" for video in dataset.videos) or len(dataset.videos)
    for subset, videos in pending.items():
        count = min(max(round(shards * len(videos) / training), 1), len(videos))
        # The shards of before must not be overwritten.
        first = 0
        while used & {schema.shard_name(subset, first + n, first + count) for n in range(count)}:
            first += 1
        for index in range(count):
            begin, end = (len(videos) * edge // count for edge in (index, index + 1))
            name = schema.shard_name(subset, first + index, first + count)
            assigned[name] = videos[begin:end]


def _count(ids: Sequence[str]) -> str:
    return f"{len(ids)} ({', '.join(ids[:_NAMED])}{', ...' if len(ids) > _NAMED else ''})"


def _without(settings: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}

"""Records each finished shard in a file, and assembles the manifest from these."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rlstm_tf.choices import SUBSETS
from rlstm_tf.data import schema
from rlstm_tf.data.manifest import Manifest, Shard, Subset
from rlstm_tf.errors import DataError
from rlstm_tf.storage.atomic import writing
from rlstm_tf.storage.checksums import FileDigest, verify_checksum, with_checksum
from rlstm_tf.storage.files import file_sizes, write_text
from rlstm_tf.storage.json_values import read_json, require_fields
from tfrecords_tools.builder.output_directory import BUILD
from tfrecords_tools.builder.plan import Plan
from tfrecords_tools.builder.sources import format_sources, text_sha256

_MISSING_LISTED = 20


@dataclass(frozen=True)
class BuiltShard:
    """A finished shard.

    Attributes:
        shard: its entry in the manifest.
        damaged: `id`, `path` and `reason` of each of its videos that was left out.
        labels_without_sample: number of labels of its videos without frames to train on.
        sources: digests of the video files, by id of the video.
        partial: `id`, `path`, `reason` and `share` of each of its videos that decodes in part.
        num_choices: number of its videos of whose video streams one was chosen.
    """

    shard: Shard
    damaged: tuple[dict[str, str], ...]
    labels_without_sample: int
    sources: dict[str, FileDigest]
    partial: tuple[dict[str, Any], ...] = ()
    num_choices: int = 0

    def to_json(self, plan: str) -> str:
        """Returns the text of the shard's record; `plan` is the checksum of the plan."""
        return json.dumps(with_checksum({**asdict(self), "plan": plan}))


def record_path(output: str, name: str) -> str:
    """Returns the path of a shard's record; the file marks the shard as finished."""
    return schema.join(schema.join(output, BUILD), name + ".json")


def load_built_shard(output: str, name: str, plan: str) -> BuiltShard | None:
    """Loads a shard's record, if the shard is finished and its files still exist.

    A record of another plan does not count: a worker that outlived its job may have left it in a
    directory that was deleted and started again.

    Args:
        output: directory, local or remote.
        name: name of the shard.
        plan: checksum of the plan.

    Raises:
        DataError: the record was changed since it was written.
    """
    path = record_path(output, name)
    try:
        values = read_json(path)
        if values is None:
            return None
        values = verify_checksum(values, path)
        if values.pop("plan", None) != plan:
            return None
        # A build that was begun by version 0.1.0 did not record them.
        values = {"sources": {}, "partial": [], "num_choices": 0, **values}
        values = require_fields(BuiltShard, values, path)
        shard = Shard(**require_fields(Shard, values["shard"], path))
    except DataError as error:
        raise DataError(f"{error}: delete it and build again") from None
    found = file_sizes(schema.shard_paths(output, name))
    if found[0] != shard.bytes or None in found:
        return None
    sources = {video: FileDigest(*digest) for video, digest in values["sources"].items()}
    lists = {name: tuple(values[name]) for name in ("damaged", "partial")}
    return BuiltShard(**{**values, **lists, "shard": shard, "sources": sources})


def save_manifest(output: str, plan: Plan, built: Mapping[str, BuiltShard]) -> Manifest:
    """Writes the record of the video files, and then the manifest.

    Args:
        output: directory of the shards, local or remote.
        plan: what was built.
        built: all shards of the plan by name.

    Raises:
        DataError: no video could be decoded, or a file cannot be written.
    """
    digests = {name: one for shard in built.values() for name, one in shard.sources.items()}
    sources = format_sources(plan, digests)
    manifest = _make_manifest(plan, built, text_sha256(sources))
    path = schema.join(output, schema.SOURCES)
    with writing(path):
        write_text(path, sources)
    with writing(schema.join(output, schema.MANIFEST)):
        manifest.save(output)
    return manifest


def _make_manifest(plan: Plan, built: Mapping[str, BuiltShard], sources_sha256: str) -> Manifest:
    dataset = plan.dataset
    damaged = [video for name in plan.shards for video in built[name].damaged]
    partial = [video for name in plan.shards for video in built[name].partial]
    subsets = {}
    for subset in SUBSETS:
        shards = tuple(
            built[name].shard for name, videos in plan.shards.items() if videos[0].subset == subset
        )
        if any(shard.videos for shard in shards):
            subsets[subset] = Subset(
                sum(shard.videos for shard in shards),
                sum(shard.frames for shard in shards),
                sum(shard.samples for shard in shards),
                shards,
            )
    if not subsets:
        first = "{id}: {reason}".format(**damaged[0])
        raise DataError(f"none of the {len(damaged)} videos can be decoded; the first, {first}")
    notes = dict(dataset.notes)
    if dataset.multi_label:
        notes["labels_without_sample"] = sum(one.labels_without_sample for one in built.values())
    num_choices = sum(one.num_choices for one in built.values())
    if num_choices:
        notes["videos_with_several_video_streams"] = num_choices
    return Manifest(
        dataset=dataset.name,
        split=dataset.split,
        stream=plan.stream,
        classes=dataset.classes,
        settings=plan.settings,
        subsets=subsets,
        damaged=tuple(damaged),
        missing={"count": len(dataset.missing), "first": list(dataset.missing[:_MISSING_LISTED])},
        multi_label=dataset.multi_label,
        notes=notes,
        sources_sha256=sources_sha256,
        partial=tuple(partial),
    )

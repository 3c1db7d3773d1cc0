"""Builds all shards of a plan into a local directory, then writes the manifest."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from rlstm_tf.cli.terminal import progress_bar
from rlstm_tf.data import schema
from rlstm_tf.data.manifest import Manifest
from rlstm_tf.storage.atomic import write_atomic, writing
from tfrecords_tools.builder.addition import Addition
from tfrecords_tools.builder.built_shard import (
    BuiltShard,
    load_built_shard,
    record_path,
    save_manifest,
)
from tfrecords_tools.builder.output_directory import BUILD
from tfrecords_tools.builder.plan import Plan
from tfrecords_tools.builder.reuse import StoredVideo
from tfrecords_tools.builder.shard_builder import (
    LEFT_OUT,
    ShardBuilder,
    build_shards,
    make_shard_builders,
)


def build(
    plan: Plan,
    output: str,
    workers: int,
    stored: Mapping[str, StoredVideo],
    left_out: Iterable[str],
    addition: Addition | None = None,
) -> Manifest:
    """Builds the shards that are not finished yet.

    Args:
        plan: what to build.
        output: local directory, reserved for this plan.
        workers: number of decoding processes.
        stored: locations of images in finished shards, by id of the video.
        left_out: ids of videos to treat as damaged, unless already decoded.
        addition: what stays of the finished shards in `output`, if there are any.

    Returns:
        The manifest, already written.

    Raises:
        DataError: a file cannot be read or written, or no video can be decoded.
    """
    checksum = plan.settings["plan"]
    built: dict[str, BuiltShard] = {}
    builders = []
    for builder in make_shard_builders(plan, os.path.join(output, BUILD), stored):
        kept = addition.kept.get(builder.name) if addition else None
        found = kept or load_built_shard(output, builder.name, checksum)
        if found is None:
            if addition:
                builder.leave_out(addition.damaged, addition.digests)
            builder.leave_out(dict.fromkeys(left_out, LEFT_OUT))
            builders.append(builder)
        else:
            built[builder.name] = found
            builder.delete_decoded()

    def finish(builder: ShardBuilder) -> BuiltShard:
        shard = builder.write(output)
        with writing(schema.tfrecord_path(output, builder.name)):
            write_atomic(record_path(output, builder.name), shard.to_json(checksum).encode())
        builder.delete_decoded()
        return shard

    total = sum(map(len, plan.shards.values()))
    done = total - sum(builder.num_pending for builder in builders)
    with progress_bar(total, "build", "videos", initial=done) as progress:
        built.update(build_shards(builders, workers, finish, progress.update))
    return save_manifest(output, plan, built)

"""Rebuilds what is damaged in a directory of shards, from their videos."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterator, Mapping

from rlstm_tf.cli.terminal import progress_bar
from rlstm_tf.data import schema
from rlstm_tf.data.manifest import Manifest, Shard
from rlstm_tf.storage.atomic import writing
from rlstm_tf.storage.creation import make_directory
from rlstm_tf.storage.files import write_text
from rlstm_tf.storage.locks import lock_file
from tfrecords_tools.builder.built_shard import BuiltShard
from tfrecords_tools.builder.plan import Plan
from tfrecords_tools.builder.shard_builder import (
    LEFT_OUT,
    ShardBuilder,
    build_shards,
    make_shard_builders,
)
from tfrecords_tools.builder.sources import format_sources, text_sha256
from tfrecords_tools.datasets.source_files import digest_source

_REPAIR = ".repair"


@contextlib.contextmanager
def reserve_for_repair(directory: str) -> Iterator[str]:
    """Reserves a directory of shards for one repair while the context lasts.

    Yields:
        An empty work directory on the same disk, deleted at the end.

    Raises:
        DataError: another repair is running, or the directory cannot be written.
    """
    own = os.path.join(directory, _REPAIR)
    with writing(own):
        make_directory(own)
        lock = lock_file(os.path.join(own, "lock"), f"{directory} is in use by another repair")
    with lock:
        work = os.path.join(own, "work")
        # Left behind by a repair that was killed. The shards that it finished are in place.
        shutil.rmtree(work, ignore_errors=True)
        with writing(work):
            os.mkdir(work)
        try:
            yield work
        finally:
            # The lock file last: without it another repair would start in a directory that is still
            # being deleted.
            shutil.rmtree(work, ignore_errors=True)
            shutil.rmtree(own, ignore_errors=True)


def repair(
    directory: str,
    manifest: Manifest,
    plan: Plan,
    damaged: Collection[str],
    work: str,
    workers: int,
) -> dict[str, str]:
    """Rebuilds shards and the record of the videos; replaces what then matches the manifest.

    Args:
        directory: the shards.
        manifest: their manifest.
        plan: from `recover_plan`.
        damaged: names from `find_problems`.
        work: from `reserve_for_repair`.
        workers: number of decoding processes.

    Returns:
        Why something was not replaced, by name. Its files are unchanged.

    Raises:
        DataError: a file cannot be written.
    """
    entries = {shard.name: shard for shard in manifest.shards}
    left_out = {video["id"]: video["reason"] for video in manifest.damaged}
    builders = [b for b in make_shard_builders(plan, work) if b.name in damaged]
    for builder in builders:
        builder.leave_out(left_out)

    def finish(builder: ShardBuilder) -> str | None:
        built = builder.write(work)
        builder.delete_decoded()
        difference = _compare(built, entries[builder.name], left_out)
        targets = schema.shard_paths(directory, builder.name)
        for source, target in zip(schema.shard_paths(work, builder.name), targets):
            if difference:
                os.remove(source)
            else:
                with writing(target):
                    os.replace(source, target)
        return difference

    with progress_bar(sum(b.num_pending for b in builders), "repair", "videos") as progress:
        outcomes = build_shards(builders, workers, finish, progress.update)
    if schema.SOURCES in damaged:
        outcomes[schema.SOURCES] = _restore_sources(directory, manifest, plan, left_out)
    return {name: difference for name, difference in outcomes.items() if difference}


def _restore_sources(
    directory: str, manifest: Manifest, plan: Plan, left_out: Mapping[str, str]
) -> str | None:
    text = format_sources(
        plan,
        {
            video.id: digest_source(video.path)
            for video in plan.dataset.videos
            if left_out.get(video.id) != LEFT_OUT
        },
    )
    if text_sha256(text) != manifest.sources_sha256:
        return f"{schema.SOURCES} is unchanged: the content of these videos gives another one"
    path = schema.join(directory, schema.SOURCES)
    with writing(path):
        write_text(path, text)
    return None


def _compare(built: BuiltShard, entry: Shard, left_out: Collection[str]) -> str | None:
    if built.shard == entry:
        return None
    new = [video for video in built.damaged if video["id"] not in left_out]
    why = "; {id}: {reason}".format(**new[0]) if new else ""
    return (
        f"{entry.name} is unchanged: these videos, or this version of the decoder, do not give "
        f"the bytes in the manifest{why}"
    )

"""Rebuilds what is damaged in a directory of shards, from their videos."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterator, Mapping

from rlstm_tf.cli.terminal import progress_bar
from rlstm_tf.data import schema
from rlstm_tf.data.shard_index import load_index
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.storage.atomic import writing
from rlstm_tf.storage.files import write_text
from rlstm_tf.storage.locks import lock_file
from tfrecords_tools.builder.addition import recover_added_plan
from tfrecords_tools.builder.built_shard import BuiltShard
from tfrecords_tools.builder.plan import Plan, make_plan
from tfrecords_tools.builder.shard_builder import (
    LEFT_OUT,
    ShardBuilder,
    build_shards,
    make_shard_builders,
)
from tfrecords_tools.builder.sources import format_sources, load_sources, text_sha256
from tfrecords_tools.datasets.registry import DATASETS, LIST_SETTINGS, read_dataset
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
        os.makedirs(own, exist_ok=True)
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


def recover_plan(
    directory: str, manifest: schema.Manifest, videos: str, splits: str | None
) -> Plan:
    """Recovers the plan of a finished build.

    Args:
        directory: the shards.
        manifest: their manifest.
        videos, splits: as given to the build; they may have moved.

    Raises:
        DataError: `tfrecords_tools.build` did not write the manifest, or the videos and split files
            give another plan.
        UsageError: the data set has split files and `splits` is None.
    """
    settings = dict(manifest.settings)
    if manifest.dataset not in DATASETS:
        raise DataError(f"{directory}: tfrecords_tools knows no data set {manifest.dataset!r}")
    if "splits" in DATASETS[manifest.dataset].required and not splits:
        raise UsageError(f"--splits is required: {directory} was built from {manifest.dataset}")
    lacks = [name for name in ("plan", "shards", *LIST_SETTINGS) if name not in settings]
    if lacks:
        path = schema.join(directory, schema.MANIFEST)
        raise DataError(f"{path} lacks the settings {', '.join(lacks)}: it cannot be repaired")
    checksum, shards = settings.pop("plan"), settings.pop("shards")
    dataset = read_dataset(
        *(manifest.dataset, videos, splits, manifest.split, settings),
        allow_missing=manifest.missing["count"] > 0,
    )
    if settings.get("added"):
        settings["shards"] = shards
        sources = load_sources(directory, manifest)
        plan = recover_added_plan(manifest, dataset, sources, settings)
    else:
        plan = make_plan(dataset, manifest.stream, settings, shards)
    if plan.settings["plan"] != checksum:
        difference = _describe_difference(plan, directory, manifest)
        raise DataError(f"{videos} is not what {directory} was built from: {difference}")
    return plan


def repair(
    directory: str,
    manifest: schema.Manifest,
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
    directory: str, manifest: schema.Manifest, plan: Plan, left_out: Mapping[str, str]
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


def _compare(built: BuiltShard, entry: schema.Shard, left_out: Collection[str]) -> str | None:
    if built.shard == entry:
        return None
    new = [video for video in built.damaged if video["id"] not in left_out]
    why = "; {id}: {reason}".format(**new[0]) if new else ""
    return (
        f"{entry.name} is unchanged: these videos, or this version of the decoder, do not give "
        f"the bytes in the manifest{why}"
    )


def _describe_difference(plan: Plan, directory: str, manifest: schema.Manifest) -> str:
    dataset = plan.dataset
    if dataset.classes != manifest.classes:
        now, built = set(dataset.classes), set(manifest.classes)
        names = ", ".join(map(repr, sorted(now ^ built)[:3])) or "in another order"
        return f"{len(now)} classes, {len(built)} when it was built: {names}"
    if len(dataset.missing) != manifest.missing["count"]:
        count = manifest.missing["count"]
        return f"{len(dataset.missing)} listed videos are missing, {count} when it was built"
    known, complete = _read_ids(directory, manifest)
    found = {video.id for video in dataset.videos}
    if gone := sorted(known - found):
        return f"{len(gone)} videos no longer exist, the first {gone[0]}"
    num_built = sum(shard.videos for shard in manifest.shards) + len(manifest.damaged)
    if len(found) != num_built:
        new = f", {min(found - known)} is new" if complete and found - known else ""
        return f"{len(found)} videos, {num_built} when it was built{new}"
    return "a video has another name, size, label or subset"


def _read_ids(directory: str, manifest: schema.Manifest) -> tuple[set[str], bool]:
    """Reads the ids of the built videos; returns False if a damaged index hides some."""
    ids = {video["id"] for video in manifest.damaged}
    complete = True
    for shard in manifest.shards:
        path = schema.records_path(directory, shard.name)
        try:
            rows = load_index(path, shard.records_sha256)
        except DataError:
            complete = False
        else:
            ids.update(name.decode() for name in rows["id"].tolist())
    return ids, complete

"""Builds on many machines, or into a store: coordination of the job, and the work on each shard.

Independent of Beam. The machines communicate through files in the output directory: the videos of
each shard (`.build/shards.jsonl`) and the record of each finished shard (`.build/NAME.json`), from
which the manifest is made.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from typing import Any, NamedTuple

from rlstm_tf.cli.terminal import counted_progress
from rlstm_tf.data import schema
from rlstm_tf.data.manifest import Manifest
from rlstm_tf.errors import DataError
from rlstm_tf.messages import say
from rlstm_tf.storage.atomic import PARTIAL, cannot_write, sync_file, writing
from rlstm_tf.storage.checksums import FileDigest, verify_checksum, with_checksum
from rlstm_tf.storage.files import (
    copy,
    file_sizes,
    is_remote,
    list_directory,
    move,
    open_file,
    remove,
    write_text,
)
from rlstm_tf.storage.json_values import parse_json
from tfrecords_tools.builder.built_shard import (
    BuiltShard,
    load_built_shard,
    record_path,
    save_manifest,
)
from tfrecords_tools.builder.output_directory import BUILD, require_plan, reserve
from tfrecords_tools.builder.plan import Plan
from tfrecords_tools.builder.reuse import StoredVideo
from tfrecords_tools.builder.shard_builder import LEFT_OUT, ShardBuilder, build_shards
from tfrecords_tools.datasets.dataset import Action, Video

_LIST = "shards.jsonl"
_PARALLEL_READS = 32


class ShardListing(NamedTuple):
    """Position in the list of shards, in bytes, of the videos of one shard."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Job:
    """Values that all shards share.

    Attributes:
        output: directory, local or remote.
        classes: class names in label order.
        settings: settings of the plan.
        workers: number of decoding processes for each shard.
        left_out: ids of videos to treat as damaged.
    """

    output: str
    classes: tuple[str, ...]
    settings: dict[str, Any]
    workers: int
    left_out: tuple[str, ...] = ()


def build(
    plan: Plan,
    output: str,
    workers: int,
    stored: Mapping[str, StoredVideo],
    left_out: Sequence[str],
    run: Callable[[Job, list[ShardListing]], None],
) -> Manifest:
    """Builds the shards that are not finished yet.

    Args:
        plan: what to build.
        output: directory, local or remote.
        workers: number of decoding processes for each shard.
        stored: locations of images in finished shards, by id of the video.
        left_out: ids of videos to treat as damaged.
        run: calls `build_shard` for each shard, on any machines.

    Raises:
        DataError: a file cannot be read or written, the directory is in use, shards were not built,
            or no video can be decoded.
    """
    with reserve(output, plan.identity) as reservation:
        if reservation.manifest is not None:
            say(f"{output} is complete already")
            return reservation.manifest
        listings = _write_shard_list(plan, output, stored)
        job = Job(output, plan.dataset.classes, plan.settings, workers, tuple(left_out))
        with counted_progress(
            lambda: _count_finished(plan, output), len(plan.shards), "build", "shards"
        ):
            run(job, listings)
        built = _load_built_shards(plan, output)
        reservation.check()
        return save_manifest(output, plan, built)


def build_in_sequence(job: Job, listings: list[ShardListing]) -> None:
    """Builds all shards in this process."""
    for listing in listings:
        build_shard(job, listing)


def _write_shard_list(
    plan: Plan, output: str, stored: Mapping[str, StoredVideo]
) -> list[ShardListing]:
    """Writes the videos of each shard to a file; millions of them would not fit into a Beam job."""
    listings: list[ShardListing] = []
    lines: list[str] = []
    offset = 0
    for name, videos in plan.shards.items():
        rows = [
            (*astuple(video), astuple(stored[video.id]) if video.id in stored else None)
            for video in videos
        ]
        lines.append(json.dumps(with_checksum({"videos": rows})) + "\n")
        listings.append(ShardListing(name, offset, len(lines[-1])))
        offset += len(lines[-1])
    path = _list_path(output)
    with writing(path):
        write_text(path, "".join(lines))
    return listings


def build_shard(job: Job, listing: ShardListing) -> None:
    """Builds a shard, unless it is finished: on the local disk, then moved to the output.

    Raises:
        DataError: a file cannot be read or written, or the directory belongs to another plan.
    """
    plan, name = job.settings["plan"], listing.name
    if load_built_shard(job.output, name, plan):
        return
    videos, stored = _read_listing(job.output, listing)
    with _make_scratch_directory() as scratch:
        builder = ShardBuilder(name, videos, job.classes, job.settings, scratch, stored=stored)
        builder.leave_out(dict.fromkeys(job.left_out, LEFT_OUT))
        built = build_shards([builder], job.workers, lambda b: b.write(scratch), lambda: None)
        record = record_path(scratch, name)
        with writing(record):
            os.mkdir(os.path.dirname(record))
            write_text(record, built[name].to_json(plan))
        require_plan(job.output, plan)
        # The record comes last: it marks the shard as finished.
        sources = *schema.shard_paths(scratch, name), record
        targets = *schema.shard_paths(job.output, name), record_path(job.output, name)
        for source, target in zip(sources, targets):
            with writing(target):
                _publish(source, target, schema.join(job.output, BUILD))


def _count_finished(plan: Plan, output: str) -> int:
    records = {os.path.basename(record_path(output, name)) for name in plan.shards}
    return len(records & set(list_directory(schema.join(output, BUILD))))


def _load_built_shards(plan: Plan, output: str) -> dict[str, BuiltShard]:
    with ThreadPoolExecutor(_PARALLEL_READS) as threads:
        found = threads.map(
            lambda name: load_built_shard(output, name, plan.settings["plan"]), plan.shards
        )
        built = {name: shard for name, shard in zip(plan.shards, found) if shard is not None}
    if len(built) < len(plan.shards):
        first = next(name for name in plan.shards if name not in built)
        raise DataError(
            f"{len(plan.shards) - len(built)} of {len(plan.shards)} shards were not built, "
            f"the first {first}: run the same command again"
        )
    return built


def _make_scratch_directory() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory()
    except OSError as error:
        # The error names no file if no directory is usable.
        raise cannot_write(error.filename or "TMPDIR", error) from None


def _read_listing(output: str, listing: ShardListing) -> tuple[list[Video], dict[str, StoredVideo]]:
    path = _list_path(output)
    try:
        text = open_file(path).read(listing.offset, listing.size)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    # With a checksum: nothing else would reveal a changed digit, which is a wrong label.
    where = f"{path}, line of {listing.name},"
    try:
        rows = verify_checksum(parse_json(text, where), where)["videos"]
    except DataError as error:
        raise DataError(f"{error}: run the same command again") from None
    videos, stored = [], {}
    for name, video, actions, subset, group, location in rows:
        videos.append(Video(name, video, tuple(Action(*a) for a in actions), subset, group))
        if location:
            directory, part, number, source, *damage = location
            source = FileDigest(*source) if source else None
            stored[name] = StoredVideo(directory, part, number, source, *damage)
    return videos, stored


def _publish(source: str, target: str, build: str) -> None:
    # A unique name: another machine may build the same shard if a job was started again.
    partial = schema.join(build, f"{os.path.basename(target)}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        copy(source, partial)
        if not is_remote(partial):
            sync_file(partial)
        if file_sizes([partial]) != file_sizes([source]):
            raise OSError(5, f"{partial} has another size than was written")
        move(partial, target)
    except BaseException:
        # It may be what fills the disk.
        with contextlib.suppress(OSError):
            remove(partial)
        raise


def _list_path(output: str) -> str:
    return schema.join(schema.join(output, BUILD), _LIST)

"""Makes the damaged shards of a directory again from their videos, and nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
from collections.abc import Collection, Iterator

import numpy as np

from rlstm_tf.cli.terminal import progress_bar
from rlstm_tf.data import schema
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.storage.atomic import writing
from rlstm_tf.storage.files import open_file
from tfrecords_tools.builder.output_directory import locked
from tfrecords_tools.builder.plan import Plan, make_plan
from tfrecords_tools.builder.shard_builder import Made, ShardWork, put_together, works_of
from tfrecords_tools.datasets.registry import DATASETS, LIST_SETTINGS, read_dataset

_WORK = ".repair"


@contextlib.contextmanager
def claimed(directory: str) -> Iterator[str]:
    """Takes a directory of shards for one repair, so long as the context lasts.

    Yields:
        An empty directory to work in, on the same disk. It is deleted at the end.

    Raises:
        DataError: another repair is under way, or nothing can be written there.
    """
    own = os.path.join(directory, _WORK)
    with writing(own):
        os.makedirs(own, exist_ok=True)
    with locked(own, directory, "repair"):
        work = os.path.join(own, "work")
        # Left behind by one that was killed. What it had finished is in its place.
        shutil.rmtree(work, ignore_errors=True)
        with writing(work):
            os.mkdir(work)
        try:
            yield work
        finally:
            # The lock last: without it another repair would begin in what is still deleted.
            shutil.rmtree(work, ignore_errors=True)
            shutil.rmtree(own, ignore_errors=True)


def plan_again(
    directory: str,
    manifest: schema.Manifest,
    videos: str,
    splits: str | None,
) -> Plan:
    """The plan that a directory was built by.

    Args:
        directory: of the shards.
        manifest: its manifest.
        videos, splits: as the build was given them; they may have moved.

    Raises:
        DataError: the manifest is not of `tfrecords_tools.build`, or videos and split files give
            another plan.
        UsageError: there are split files, and none are given.
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
    identity, shards = settings.pop("plan"), settings.pop("shards")
    dataset = read_dataset(
        *(manifest.dataset, videos, splits, manifest.split, settings),
        allow_missing=manifest.missing["count"] > 0,
    )
    plan = make_plan(dataset, manifest.stream, settings, shards)
    if plan.settings["plan"] != identity:
        raise DataError(
            f"{videos} is not what {directory} was built from: "
            + _difference(plan, directory, manifest)
        )
    return plan


def repair(
    directory: str,
    manifest: schema.Manifest,
    plan: Plan,
    damaged: Collection[str],
    work: str,
    workers: int,
) -> dict[str, str]:
    """Makes shards again; each takes its place when it has the bytes that the manifest says.

    Args:
        directory: of the shards.
        manifest: its manifest.
        plan: of `plan_again`.
        damaged: names of the shards to make again.
        work: of `claimed`.
        workers: number of processes that decode.

    Returns:
        Why shards were not repaired, by name. They are as they were.

    Raises:
        DataError: something cannot be written.
    """
    entries = {s.name: s for subset in manifest.subsets.values() for s in subset.shards}
    left_out = {video["id"]: video["reason"] for video in manifest.damaged}
    works = [made for name, made in works_of(plan, work).items() if name in damaged]
    for shard in works:
        shard.leave_out(left_out)

    def finish(shard: ShardWork) -> str | None:
        made = shard.write(work)
        shard.discard()
        refused = _refused(made, entries[shard.name], left_out)
        places = schema.shard_paths(directory, shard.name)
        for new, place in zip(schema.shard_paths(work, shard.name), places):
            if refused:
                os.remove(new)
            else:
                with writing(place):
                    os.replace(new, place)
        return refused

    with progress_bar(sum(shard.waiting for shard in works), "repair", "videos") as progress:
        outcomes = put_together(works, workers, finish, progress.update)
    return {name: refused for name, refused in outcomes.items() if refused}


def _refused(made: Made, entry: schema.Shard, left_out: Collection[str]) -> str | None:
    if made.shard == entry:
        return None
    news = [video for video in made.damaged if video["id"] not in left_out]
    why = "; {id}: {reason}".format(**news[0]) if news else ""
    return (
        f"{entry.name} is left as it was: these videos, or this version of the decoder, give "
        f"other bytes than the manifest says{why}"
    )


def _difference(plan: Plan, directory: str, manifest: schema.Manifest) -> str:
    """What tells a plan from the one that was built, as far as that can be known."""
    dataset = plan.dataset
    if dataset.classes != manifest.classes:
        here, there = set(dataset.classes), set(manifest.classes)
        names = ", ".join(map(repr, sorted(here ^ there)[:3])) or "in another order"
        return f"{len(here)} classes, {len(there)} when it was built: {names}"
    if len(dataset.missing) != manifest.missing["count"]:
        count = manifest.missing["count"]
        return f"{len(dataset.missing)} listed videos are missing, {count} when it was built"
    ids, all_known = _known_ids(directory, manifest)
    found = {video.id for video in dataset.videos}
    if gone := sorted(ids - found):
        return f"{len(gone)} videos are not there any more, the first {gone[0]}"
    built = sum(subset.videos for subset in manifest.subsets.values()) + len(manifest.damaged)
    if len(found) != built:
        new = f", {min(found - ids)} is new" if all_known and found - ids else ""
        return f"{len(found)} videos, {built} when it was built{new}"
    return "a video has another name, size, label or subset"


def _known_ids(directory: str, manifest: schema.Manifest) -> tuple[set[str], bool]:
    """Ids of the videos that were built, as far as the indexes are whole; whether all are."""
    ids = {video["id"] for video in manifest.damaged}
    whole = True
    for subset in manifest.subsets.values():
        for shard in subset.shards:
            try:
                file = open_file(schema.records_path(directory, shard.name))
                content = file.read(0, file.size)
            except OSError:
                content = b""
            if hashlib.sha256(content).hexdigest() == shard.records_sha256:
                rows = np.load(io.BytesIO(content), allow_pickle=False)
                ids.update(name.decode() for name in rows["id"].tolist())
            else:
                whole = False
    return ids, whole

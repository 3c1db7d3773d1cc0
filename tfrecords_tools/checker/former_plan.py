"""Recovers the plan of a finished build, from its manifest and its videos."""

from __future__ import annotations

from typing import Any

from rlstm_tf.choices import MAX_SIDE
from rlstm_tf.data import schema
from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.shard_index import load_index
from rlstm_tf.errors import DataError, UsageError
from tfrecords_tools.builder.addition import recover_added_plan
from tfrecords_tools.builder.plan import Plan, make_plan
from tfrecords_tools.builder.sources import load_sources
from tfrecords_tools.datasets.registry import DATASETS, LIST_SETTINGS, read_dataset

# Settings in a manifest that numbers of videos, frames and bytes follow from; the flags have the
# same bounds.
_BOUNDS = {
    "shards": (1, 99_999),
    "short_side": (1, MAX_SIDE),
    "jpeg_quality": (1, 100),
    "frames_per_record": (1, 2**31),
    "test_share": (0, 1),
    "val_share": (0, 1),
    "val_seed": (-(2**63), 2**63),
}


def recover_plan(directory: str, manifest: Manifest, videos: str, splits: str | None) -> Plan:
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
    _check_settings(settings, directory)
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


def _check_settings(settings: dict[str, Any], directory: str) -> None:
    """Checks the settings that videos are listed and decoded by; flags have the same bounds."""
    for name, (low, high) in _BOUNDS.items():
        value = settings.get(name)
        if name == "test_share" and value is None:
            continue
        kinds = (int, float) if name.endswith("share") else (int,)
        # NaN compares false.
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
            path = schema.join(directory, schema.MANIFEST)
            raise DataError(f"{path}: settings: {name} is {value!r}, from {low} to {high} allowed")


def _describe_difference(plan: Plan, directory: str, manifest: Manifest) -> str:
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


def _read_ids(directory: str, manifest: Manifest) -> tuple[set[str], bool]:
    """Reads the ids of the built videos; returns False if a damaged index hides some."""
    ids = {video["id"] for video in manifest.damaged}
    complete = True
    for shard in manifest.shards:
        path = schema.records_path(directory, shard.name)
        try:
            rows = load_index(path, shard.records_sha256)
            ids.update(name.decode() for name in rows["id"].tolist())
        # Not ids, or not in UTF-8: the checksum in a manifest may be that of anything.
        except (DataError, ValueError, IndexError, AttributeError):
            complete = False
    return ids, complete

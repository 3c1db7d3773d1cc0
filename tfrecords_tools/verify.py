"""Checks shards against their manifest: sizes, checksums, counts, every frame's bytes.

    python -m tfrecords_tools.verify data/ucf101_split1 --decode
    python -m tfrecords_tools.verify data/ucf101_split1 --repair \\
        --videos=UCF-101 --splits=ucfTrainTestlist

Lists every problem, one line each; the exit status is 1 if there is any. --repair makes the shards
that fail again from the videos, and no others; a shard takes its place only with the very bytes
that the manifest says. The exit status is 0 if all is whole in the end.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from absl import flags

from rlstm_tf.cli import app
from rlstm_tf.errors import UsageError
from rlstm_tf.storage.files import is_remote
from tfrecords_tools.builder import flags as shared

if TYPE_CHECKING:
    from rlstm_tf.data.schema import Manifest


def define_flags(values: flags.FlagValues) -> None:
    """Defines this entry point's flags."""
    flags.DEFINE_string(
        "data", None, "Directory of the shards; may be given without --data=.", flag_values=values
    )
    flags.DEFINE_bool(
        "decode", False, "Decode every JPEG and compare its size too.", flag_values=values
    )
    flags.DEFINE_bool(
        "repair", False, "Make the shards that fail again from --videos.", flag_values=values
    )
    flags.DEFINE_string(
        "videos", None, "repair: what the shards were built from.", flag_values=values
    )
    flags.DEFINE_string(
        "splits", None, "repair: directory of the split files, where there are.", flag_values=values
    )
    shared.define_workers_flag(values)


def main(values: flags.FlagValues) -> int:
    """Verifies, and repairs if asked; the exit status is 1 if anything is wrong in the end."""
    _check(values)
    from rlstm_tf.data.schema import Manifest
    from tfrecords_tools.checker.checks import problems

    if is_remote(values.data):
        app.load_tensorflow()
    manifest = Manifest.load(values.data)
    if values.repair:
        left = _repair(values, manifest)
    else:
        left = problems(values.data, manifest, values.decode)
    for shard in left.values():
        for problem in shard:
            print(f"error: {problem}", file=sys.stderr)
    if left:
        return 1
    shards = [shard for subset in manifest.subsets.values() for shard in subset.shards]
    images = "frames" if manifest.stream == "spatial" else "fields"
    print(
        f"{values.data}: {len(shards)} shards, {sum(shard.videos for shard in shards)} videos, "
        f"{sum(shard.frames for shard in shards)} {images} are as the manifest says"
    )
    return 0


def _check(values: flags.FlagValues) -> None:
    if not values.data:
        raise UsageError("--data is required: the directory of the shards")
    if values.repair and not values.videos:
        raise UsageError("--repair needs --videos: what the shards were built from")
    if values.repair and is_remote(values.data):
        raise UsageError(f"--repair: {values.data} must be a local directory")
    for name in ("videos", "splits"):
        if values[name].value and not values.repair:
            raise UsageError(f"--{name} does nothing without --repair")


def _repair(values: flags.FlagValues, manifest: Manifest) -> dict[str, list[str]]:
    """Repairs; returns what is wrong in the end, by shard."""
    app.load_tensorflow()
    from tfrecords_tools.checker.checks import problems
    from tfrecords_tools.checker.repair import claimed, plan_again, repair

    with claimed(values.data) as work:
        found = problems(values.data, manifest, values.decode)
        if not found:
            return {}
        for shard in found.values():
            for problem in shard:
                print(f"found: {problem}")
        plan = plan_again(values.data, manifest, values.videos, values.splits)
        refused = repair(values.data, manifest, plan, found, work, values.workers)
        left = problems(values.data, manifest, values.decode, found)
    for name in found:
        if name not in left:
            print(f"repaired: {name}")
    return {name: [refused[name]] if name in refused else left[name] for name in left}


if __name__ == "__main__":
    app.leave(app.run(main, define_flags, positional="data"))

"""Checks shards against their manifest: sizes, checksums, counts, every frame's bytes.

    python -m tfrecords_tools.verify data/ucf101_split1 --decode
    python -m tfrecords_tools.verify data/ucf101_split1 --repair \\
        --videos=UCF-101 --splits=ucfTrainTestlist

Lists every problem, one line each; the exit status is 1 if there is any. Of intact shards, warns of
what makes a score worthless: a file in both train and test, a class without a test video or with
fewer than 5 to train on, and clips of one recording on both sides. --repair rebuilds the
damaged shards from the videos; a shard is replaced only if its new bytes match the manifest. The
exit status is then 0 if all shards are intact in the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from rlstm_tf.cli import app
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import UsageError
from rlstm_tf.messages import say
from rlstm_tf.storage.files import is_remote
from tfrecords_tools.builder import flags as shared

if TYPE_CHECKING:
    from rlstm_tf.data.manifest import Manifest


def define_flags(values: flags.FlagValues) -> None:
    """Defines this command's flags."""
    help_text = "Directory of the shards; may be given without --data=."
    define_path("data", None, help_text, flag_values=values)
    help_text = "Decode every JPEG and check its size too."
    flags.DEFINE_bool("decode", False, help_text, flag_values=values)
    help_text = "Rebuild damaged shards from --videos."
    flags.DEFINE_bool("repair", False, help_text, flag_values=values)
    help_text = "repair: the videos that the shards were built from."
    define_path("videos", None, help_text, flag_values=values)
    help_text = "repair: directory of the split files, if there are any."
    define_path("splits", None, help_text, flag_values=values)
    shared.define_workers_flag(values)


def main(values: flags.FlagValues) -> int:
    """Verifies, and repairs if asked; the exit status is 1 if a problem remains."""
    _check_flags(values)
    from rlstm_tf.data.manifest import Manifest
    from tfrecords_tools.checker.checks import find_problems
    from tfrecords_tools.checker.split_checks import find_warnings

    manifest = Manifest.load(values.data)
    if values.repair:
        problems = _repair(values, manifest)
    else:
        problems = find_problems(values.data, manifest, values.decode)
    for lines in problems.values():
        for line in lines:
            say(f"error: {line}", error=True)
    if problems:
        return 1
    for line in shared.describe_partial(manifest):
        say(line)
    videos = sum(shard.videos for shard in manifest.shards)
    frames = sum(shard.frames for shard in manifest.shards)
    images = "frames" if manifest.stream == "spatial" else "fields"
    counts = f"{len(manifest.shards)} shards, {videos} videos, {frames} {images}"
    say(f"{values.data}: {counts} match the manifest")
    for warning in find_warnings(values.data, manifest):
        say(f"warning: {warning}")
    return 0


def _check_flags(values: flags.FlagValues) -> None:
    if not values.data:
        raise UsageError("--data is required: the directory of the shards")
    if values.repair and not values.videos:
        raise UsageError("--repair needs --videos: the videos that the shards were built from")
    if values.repair and is_remote(values.data):
        raise UsageError(f"--repair: {values.data} must be a local directory")
    for name in ("videos", "splits"):
        if values[name].value and not values.repair:
            raise UsageError(f"--{name} does nothing without --repair")


def _repair(values: flags.FlagValues, manifest: Manifest) -> dict[str, list[str]]:
    """Repairs; returns the remaining problems by shard."""
    app.load_tensorflow()
    from tfrecords_tools.checker.checks import find_problems
    from tfrecords_tools.checker.former_plan import recover_plan
    from tfrecords_tools.checker.repair import repair, reserve_for_repair

    with reserve_for_repair(values.data) as work:
        found = find_problems(values.data, manifest, values.decode)
        if not found:
            return {}
        for lines in found.values():
            for line in lines:
                say(f"found: {line}")
        plan = recover_plan(values.data, manifest, values.videos, values.splits)
        unchanged = repair(values.data, manifest, plan, found, work, values.workers)
        left = find_problems(values.data, manifest, values.decode, found)
    for name in found:
        if name not in left:
            say(f"repaired: {name}")
    return {name: [unchanged[name]] if name in unchanged else left[name] for name in left}


if __name__ == "__main__":
    app.leave(app.run(main, define_flags, positional="data"))

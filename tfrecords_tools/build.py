"""Builds shards from videos: TFRecords of JPEG frames or optical flow, with an index.

    python -m tfrecords_tools.build --dataset=ucf101 --videos=UCF-101 \\
        --splits=ucfTrainTestlist --split=1 --output=data/ucf101_split1 --workers=8
    python -m tfrecords_tools.build --dataset=folder --videos=my_videos --output=data/mine
    python -m tfrecords_tools.build --stream=temporal --flow=tvl1 --dataset=charades \\
        --videos=Charades_v1_480 --splits=Charades --output=data/charades_flow

`--dataset=folder` reads one folder per class, or a CSV file with the columns path and label, and
optionally subset, group, start and end (docs/records.md). Run the same command again to resume a
build that was stopped. A video that cannot be decoded is listed and left out, and makes the exit
status 1 unless --max_bad_videos allows it. --add takes the videos that are new or changed into
finished shards, and decodes only those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from rlstm_tf.cli import app
from rlstm_tf.errors import UsageError
from rlstm_tf.messages import say
from rlstm_tf.storage.files import is_remote
from tfrecords_tools.builder import flags as shared
from tfrecords_tools.datasets.registry import print_summary

if TYPE_CHECKING:
    from rlstm_tf.data.manifest import Manifest
    from tfrecords_tools.builder.plan import Plan


def define_flags(values: flags.FlagValues) -> None:
    """Defines this command's flags."""
    shared.define_flags(values)
    shared.define_workers_flag(values)
    help_text = "Add new and changed videos to the finished shards in --output."
    flags.DEFINE_bool("add", False, help_text, flag_values=values)


def main(values: flags.FlagValues) -> int:
    """Builds shards; the exit status is 1 if more videos are damaged than allowed."""
    shared.check_flags(values)
    if values.add:
        _check_add(values)
    plan = shared.plan_build(values)
    if values.add:
        shared.print_result(values, _add(values, plan))
        return 0
    print_summary(plan.dataset)
    from tfrecords_tools.builder.output_directory import reserve
    from tfrecords_tools.builder.reuse import find_stored_videos

    work = plan, values.output, values.workers, find_stored_videos(values.reuse, plan)
    if is_remote(values.output):
        # Shard after shard on the local disk, each then copied to the store.
        app.load_tensorflow()
        from tfrecords_tools.builder import distributed_build

        sequence = distributed_build.build_in_sequence
        manifest = distributed_build.build(*work, values.leave_out, sequence)
    else:
        with reserve(values.output, plan.identity) as reservation:
            if reservation.manifest is not None:
                say(f"{values.output} is complete already")
                manifest = reservation.manifest
            else:
                # Videos of all shards at once; decoded ones wait beside the shards.
                app.load_tensorflow()
                from tfrecords_tools.builder import local_build

                manifest = local_build.build(*work, values.leave_out)
    shared.print_result(values, manifest)
    return 0


def _check_add(values: flags.FlagValues) -> None:
    if values.reuse:
        raise UsageError("--reuse does not go with --add, which takes over the images in --output")
    if is_remote(values.output):
        raise UsageError(f"--add: {values.output} must be a local directory")


def _add(values: flags.FlagValues, listed: Plan) -> Manifest:
    """Adds videos to finished shards; returns the new manifest."""
    app.load_tensorflow()
    from rlstm_tf.data.manifest import Manifest
    from rlstm_tf.data.schema import SOURCES
    from tfrecords_tools.builder import local_build
    from tfrecords_tools.builder.addition import plan_addition
    from tfrecords_tools.builder.output_directory import delete_unlisted, reserve_for_addition
    from tfrecords_tools.builder.sources import read_sources

    manifest = Manifest.load(values.output)
    given = values.output, manifest, listed, values.allow_missing, values.workers
    addition = plan_addition(*given)
    plan = addition.plan if addition else listed
    saved = {SOURCES: read_sources(values.output, manifest)}
    with reserve_for_addition(values.output, manifest, plan.identity, saved):
        if addition is None:
            say(f"{values.output} has these videos already")
        else:
            print_summary(plan.dataset)
            say(addition.describe())
            work = plan, values.output, values.workers, addition.stored, values.leave_out
            manifest = local_build.build(*work, addition)
        delete_unlisted(values.output, manifest)
    return manifest


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

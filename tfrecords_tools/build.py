"""Builds shards from videos: TFRecords of JPEG frames or optical flow, with an index.

    python -m tfrecords_tools.build --dataset=ucf101 --videos=UCF-101 \\
        --splits=ucfTrainTestlist --split=1 --output=data/ucf101_split1 --workers=8
    python -m tfrecords_tools.build --dataset=folder --videos=my_videos --output=data/mine
    python -m tfrecords_tools.build --stream=temporal --flow=tvl1 --dataset=charades \\
        --videos=Charades_v1_480 --splits=Charades --output=data/charades_flow

`--dataset=folder` reads one folder per class, or a CSV file with the columns path and label, and
optionally subset, group, start and end (docs/records.md). Run the same command again to resume a
build that was stopped. A video that cannot be decoded is listed and left out, and makes the exit
status 1 unless --max_bad_videos allows it.
"""

from __future__ import annotations

from absl import flags

from rlstm_tf.cli import app
from rlstm_tf.messages import say
from rlstm_tf.storage.files import is_remote
from tfrecords_tools.builder import flags as shared


def define_flags(values: flags.FlagValues) -> None:
    """Defines this command's flags."""
    shared.define_flags(values)
    shared.define_workers_flag(values)


def main(values: flags.FlagValues) -> int:
    """Builds shards; the exit status is 1 if more videos are damaged than allowed."""
    shared.check_flags(values)
    plan = shared.plan_build(values)
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


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

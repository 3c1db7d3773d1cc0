"""Builds shards from videos: JPEG frames, or optical flow, in TFRecords, and an index of them.

    python -m tfrecords_tools.build --dataset=ucf101 --videos=UCF-101 \\
        --splits=ucfTrainTestlist --split=1 --output=data/ucf101_split1 --workers=8
    python -m tfrecords_tools.build --dataset=folder --videos=my_videos --output=data/mine
    python -m tfrecords_tools.build --stream=temporal --flow=tvl1 --dataset=charades \\
        --videos=Charades_v1_480 --splits=Charades --output=data/charades_flow

`--dataset=folder` is one folder a class, or a CSV file with the header path,label (or
path,label,subset). Run the same command again to continue a build that was stopped. A video that
does not decode is named, left out, and makes the exit status 1, unless --max_bad_videos allows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from absl import flags

from rlstm_tf.cli import app
from rlstm_tf.storage.files import is_remote
from tfrecords_tools.builder import flags as shared

if TYPE_CHECKING:
    from rlstm_tf.data.schema import Manifest
    from tfrecords_tools.builder.plan import Plan
    from tfrecords_tools.builder.reuse import Place


def define_flags(values: flags.FlagValues) -> None:
    """Defines this entry point's flags."""
    shared.define_flags(values)
    shared.define_workers_flag(values)


def main(values: flags.FlagValues) -> int:
    """Builds; the exit status is 1 if there are more damaged videos than allowed."""
    shared.check_flags(values)
    plan = shared.plan_build(values)
    from tfrecords_tools.builder.reuse import places

    stored = places(values.reuse, plan)
    build = _into_store if is_remote(values.output) else _into_directory
    shared.print_result(values, build(values, plan, stored))
    return 0


def _into_directory(values: flags.FlagValues, plan: Plan, stored: Mapping[str, Place]) -> Manifest:
    """Decodes videos of all shards at once; what is decoded waits beside the shards."""
    from tfrecords_tools.builder.output_directory import claimed

    with claimed(values.output, plan.identity) as manifest:
        if manifest is not None:
            print(f"{values.output} is complete already")
            return manifest
        app.load_tensorflow()
        from tfrecords_tools.builder.local_build import build

        return build(plan, values.output, values.workers, stored, values.leave_out)


def _into_store(values: flags.FlagValues, plan: Plan, stored: Mapping[str, Place]) -> Manifest:
    """Makes shard after shard on the local disk, and copies each to its place."""
    app.load_tensorflow()
    from tfrecords_tools.builder import distributed_build

    return distributed_build.build(
        plan,
        values.output,
        values.workers,
        stored,
        values.leave_out,
        distributed_build.one_after_the_other,
    )


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

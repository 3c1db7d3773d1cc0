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

import sys

from absl import flags

from rlstm_tf import cli
from rlstm_tf.data.files import is_remote
from rlstm_tf.errors import UsageError
from tfrecords_tools import flags as shared


def define_flags(values: flags.FlagValues) -> None:
    """Defines this entry point's flags."""
    shared.define(values)
    shared.define_workers(values)


def main(values: flags.FlagValues) -> int:
    """Builds; the exit status is 1 if there are more damaged videos than allowed."""
    if is_remote(values.output or ""):
        raise UsageError(
            f"--output={values.output}: must be a local directory; tfrecords_tools.beam writes "
            "to others"
        )
    shared.check(values)
    plan = shared.planned(values)
    from tfrecords_tools.output import claimed
    from tfrecords_tools.stored import places

    stored = places(values.reuse, plan)
    with claimed(values.output, plan.identity) as manifest:
        if manifest is None:
            cli.load_tensorflow()
            from tfrecords_tools.assembly import build

            manifest = build(plan, values.output, values.workers, stored, values.leave_out)
        else:
            print(f"{values.output} is complete already")
    shared.report(values, manifest)
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main, define_flags))

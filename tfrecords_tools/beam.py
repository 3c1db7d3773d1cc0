"""Builds shards on many machines with Apache Beam: the same bytes as tfrecords_tools.build.

    python -m tfrecords_tools.beam --dataset=ucf101 --videos=gs://bucket/UCF-101 \\
        --splits=gs://bucket/ucfTrainTestlist --split=1 --shards=256 \\
        --output=gs://bucket/ucf101_split1 -- --runner=DataflowRunner --project=... --region=... \\
        --temp_location=gs://bucket/tmp
    python -m tfrecords_tools.beam --dataset=folder --videos=my_videos --output=data/mine \\
        --workers=8

Takes all flags of build and, after `--`, Beam's own options. Paths may be local or remote; every
machine must be able to open them. A machine builds the shards that the runner assigns to it, one or
several at a time, on its local disk (TMPDIR: needs room for twice the shards in progress). Run the
same command again to resume a job that was stopped: finished shards are kept.
"""

from __future__ import annotations

from absl import flags

from rlstm_tf import beam_job
from rlstm_tf.cli import app
from tfrecords_tools.builder import flags as shared
from tfrecords_tools.datasets.registry import print_summary


def define_flags(values: flags.FlagValues) -> None:
    """Defines this command's flags."""
    shared.define_flags(values)
    help_text = "Decoding processes, for each shard in progress."
    flags.DEFINE_integer("workers", 1, help_text, 1, flag_values=values)
    help_text = "Beam's options; it is simpler to give them after --."
    flags.DEFINE_multi_string("pipeline_options", [], help_text, flag_values=values)


def main(values: flags.FlagValues) -> int:
    """Builds shards; the exit status is 1 if more videos are damaged than allowed."""
    shared.check_flags(values)
    app.load_tensorflow()
    pipeline = beam_job.make_pipeline(values.pipeline_options)
    from tfrecords_tools.builder import beam_pipeline, distributed_build
    from tfrecords_tools.builder.reuse import find_stored_videos

    plan = shared.plan_build(values)
    print_summary(plan.dataset)
    manifest = distributed_build.build(
        *(plan, values.output, values.workers, find_stored_videos(values.reuse, plan)),
        left_out=values.leave_out,
        run=lambda job, listings: beam_pipeline.run(pipeline, job, listings),
    )
    shared.print_result(values, manifest)
    return 0


if __name__ == "__main__":
    app.leave(app.run(main, define_flags, rest="pipeline_options"))

"""Builds shards on many machines with Apache Beam: the same bytes as tfrecords_tools.build.

    python -m tfrecords_tools.beam --dataset=ucf101 --videos=gs://bucket/UCF-101 \\
        --splits=gs://bucket/ucfTrainTestlist --split=1 --shards=256 \\
        --output=gs://bucket/ucf101_split1 -- --runner=DataflowRunner --project=... --region=... \\
        --temp_location=gs://bucket/tmp
    python -m tfrecords_tools.beam --dataset=folder --videos=my_videos --output=data/mine \\
        --workers=8

All flags of build, and behind `--` Beam's own options. Paths may be anything that every machine
opens with tf.io.gfile. A machine makes the shards that the runner gives it, one or several at a
time, on its local disk (TMPDIR: room for twice the shards under way). Run the same command again to
go on with a job that was stopped: shards that are there are not made again.
"""

from __future__ import annotations

import logging

from absl import flags

from rlstm_tf.cli import app
from rlstm_tf.errors import UsageError
from tfrecords_tools.builder import flags as shared


def define_flags(values: flags.FlagValues) -> None:
    """Defines this entry point's flags."""
    shared.define_flags(values)
    flags.DEFINE_integer(
        "workers", 1, "Processes that decode, for each shard under way.", 1, flag_values=values
    )
    flags.DEFINE_multi_string(
        "pipeline_options",
        [],
        "Beam's own; simpler: all that stands behind --.",
        flag_values=values,
    )


def main(values: flags.FlagValues) -> int:
    """Builds; the exit status is 1 if there are more damaged videos than allowed."""
    shared.check_flags(values)
    app.load_tensorflow()
    try:
        with app.quiet():
            import apache_beam  # noqa: F401
    except ImportError as error:
        raise UsageError(f"Apache Beam is needed: pip install 'rlstm-tf[beam]' ({error})") from None
    # Its warnings are for those who write pipelines, and what ends a job is raised here again.
    logging.getLogger().setLevel(logging.CRITICAL)
    from tfrecords_tools.builder import beam_pipeline, distributed_build
    from tfrecords_tools.builder.reuse import places

    shards = beam_pipeline.opened(values.pipeline_options)
    if not beam_pipeline.is_direct(shards):
        # Where the job is, which has to be known to cancel it.
        logging.basicConfig()
        logging.getLogger("apache_beam").setLevel(logging.INFO)
    plan = shared.plan_build(values)
    stored = places(values.reuse, plan)
    manifest = distributed_build.build(
        *(plan, values.output, values.workers, stored, values.leave_out),
        make=lambda of_all, lines: beam_pipeline.run(shards, of_all, lines),
    )
    shared.print_result(values, manifest)
    return 0


if __name__ == "__main__":
    app.leave(app.run(main, define_flags, rest="pipeline_options"))

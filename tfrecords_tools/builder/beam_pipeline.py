"""The Beam pipeline of a build, with one element per shard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apache_beam as beam

from rlstm_tf import beam_job
from tfrecords_tools.builder.distributed_build import Job, ShardListing, build_shard


def run(pipeline: beam.Pipeline, job: Job, listings: Sequence[ShardListing]) -> None:
    """Builds the shards and waits until all are finished.

    Args:
        pipeline: from `beam_job.make_pipeline`.
        job: values that the shards share.
        listings: positions of the shards in the list of shards.

    Raises:
        DataError: a shard cannot be built, or the job does not succeed.
    """
    # Reshuffled, so that a runner distributes single shards.
    (
        pipeline
        | "Shards" >> beam.Create([tuple(listing) for listing in listings])
        | "Deal" >> beam.Reshuffle()
        | "Make" >> beam.ParDo(_BuildShard(job))
    )
    beam_job.run(pipeline)


class _BuildShard(beam.DoFn):
    def __init__(self, job: Job):
        self._job = job

    def process(self, element: Any) -> None:
        build_shard(self._job, ShardListing(*element))

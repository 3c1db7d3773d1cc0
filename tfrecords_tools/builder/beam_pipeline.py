"""The Beam pipeline of a build, with one element per shard."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineState

from rlstm_tf.errors import DataError, UsageError
from tfrecords_tools.builder.distributed_build import Job, ShardListing, build_shard

# What Beam's DirectRunner resolves to, after it has tried to fetch another program.
_DIRECT = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def make_pipeline(arguments: Sequence[str]) -> beam.Pipeline:
    """Makes an empty pipeline.

    Args:
        arguments: Beam's options, each `--name` or `--name=value`.

    Raises:
        UsageError: Beam refuses an option, its value, or the runner.
    """
    for argument in arguments:
        if not argument.startswith("--"):
            raise UsageError(f"Beam's options must be --name=value, found {argument!r}")
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            options = PipelineOptions(list(arguments))
            known = options.get_all_options()
            unknown = set(options.get_all_options(retain_unknown_options=True)) - set(known)
    except (SystemExit, argparse.ArgumentError):
        lines = printed.getvalue().strip().splitlines() or ["they cannot be read"]
        raise UsageError(f"Beam's options: {lines[-1]}") from None
    if unknown:
        raise UsageError(f"Beam has no option --{min(unknown)}")
    name = options.view_as(StandardOptions).runner
    try:
        return beam.Pipeline(_DIRECT if name in (None, "DirectRunner") else name, options)
    except (ValueError, ImportError, AttributeError) as error:
        raise UsageError(f"Beam's options: {error}") from None


def runs_locally(pipeline: beam.Pipeline) -> bool:
    """Returns True if Beam's own runner builds the shards on this machine."""
    return isinstance(pipeline.runner, FnApiRunner)


def run(pipeline: beam.Pipeline, job: Job, listings: Sequence[ShardListing]) -> None:
    """Builds the shards and waits until all are finished.

    Args:
        pipeline: from `make_pipeline`.
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
    try:
        state = pipeline.run().wait_until_finish()
    except Exception as error:
        raise _restore_error(error) from error
    if state != PipelineState.DONE:
        raise DataError(f"the Beam job ended as {state}: run the same command again")


class _BuildShard(beam.DoFn):
    def __init__(self, job: Job):
        self._job = job

    def process(self, element: Any) -> None:
        build_shard(self._job, ShardListing(*element))


def _restore_error(error: Exception) -> BaseException:
    """Restores the error of a worker, of which runners pass on only the traceback's text."""
    # Beam's message after Ctrl-C while a worker ran in this process.
    if re.match(r"KeyboardInterrupt\b", str(error)):
        return KeyboardInterrupt()
    text = f"{type(error).__module__}.{type(error).__name__}: {error}"
    ours = re.findall(r"^rlstm_tf\.errors\.\w+: (.*?)(?: \[while running .*)?$", text, re.M)
    return DataError(ours[-1]) if ours else error

"""The Beam pipeline of a build: one element a shard."""

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
from tfrecords_tools.builder.distributed_build import Job, Line, make_shard

# Beam's DirectRunner is this one, once it has found that it cannot fetch another program.
_DIRECT = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def opened(arguments: Sequence[str]) -> beam.Pipeline:
    """A pipeline without content, of Beam's options.

    Args:
        arguments: `--name` or `--name=value` each.

    Raises:
        UsageError: Beam knows no such option or runner, or refuses the value.
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


def is_direct(pipeline: beam.Pipeline) -> bool:
    """Whether the shards are made on this machine, by Beam's own runner."""
    return isinstance(pipeline.runner, FnApiRunner)


def run(pipeline: beam.Pipeline, job: Job, lines: Sequence[Line]) -> None:
    """Makes the shards; returns when all are made.

    Args:
        pipeline: of `opened`.
        job: what the shards have in common.
        lines: of `job.write_list`.

    Raises:
        DataError: a shard cannot be made, or the runner does not end well.
    """
    # Reshuffled, so that a runner deals the shards to machines one by one.
    (
        pipeline
        | "Shards" >> beam.Create([tuple(line) for line in lines])
        | "Deal" >> beam.Reshuffle()
        | "Make" >> beam.ParDo(_MakeShard(job))
    )
    try:
        state = pipeline.run().wait_until_finish()
    except Exception as error:
        raise _of_ours(error) from error
    if state != PipelineState.DONE:
        raise DataError(f"the Beam job ended as {state}: run the same command again")


class _MakeShard(beam.DoFn):
    def __init__(self, job: Job):
        self._job = job

    def process(self, element: Any) -> None:
        make_shard(self._job, Line(*element))


def _of_ours(error: Exception) -> BaseException:
    """The error that a worker raised: runners pass on no more than its traceback's text."""
    # So Beam says that Ctrl-C came while a worker was in this process.
    if re.match(r"KeyboardInterrupt\b", str(error)):
        return KeyboardInterrupt()
    text = f"{type(error).__module__}.{type(error).__name__}: {error}"
    ours = re.findall(r"^rlstm_tf\.errors\.\w+: (.*?)(?: \[while running .*)?$", text, re.M)
    return DataError(ours[-1]) if ours else error

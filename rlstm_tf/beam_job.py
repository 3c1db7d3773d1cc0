"""Jobs on Apache Beam: the runner's options, its messages, and the errors of its workers.

Beam is imported where it is used: it belongs to the extra `beam`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import re
from collections.abc import Sequence
from typing import Any

from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.quiet import quiet

# What Beam's DirectRunner resolves to, after it has tried to fetch another program.
_DIRECT = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def make_pipeline(arguments: Sequence[str]) -> Any:
    """Makes an empty pipeline, and silences Beam unless it runs elsewhere.

    Args:
        arguments: Beam's options, each `--name` or `--name=value`.

    Returns:
        An `apache_beam.Pipeline`.

    Raises:
        UsageError: Beam is not installed, or it refuses an option, its value, or the runner.
    """
    try:
        with quiet():
            import apache_beam  # noqa: F401
    except ImportError as error:
        raise UsageError(f"Apache Beam is needed: pip install 'rlstm-tf[beam]' ({error})") from None
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    # Its warnings are meant for authors of pipelines; the error that ends a job is raised again.
    logging.getLogger().setLevel(logging.CRITICAL)
    pipeline = _parse_pipeline(arguments)
    if not isinstance(pipeline.runner, FnApiRunner):
        # Shows where the job runs, which one needs to know to cancel it.
        logging.basicConfig()
        logging.getLogger("apache_beam").setLevel(logging.INFO)
    return pipeline


def _parse_pipeline(arguments: Sequence[str]) -> Any:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

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


def run(pipeline: Any) -> None:
    """Runs a pipeline and waits until it has ended.

    Args:
        pipeline: from `make_pipeline`, with its steps.

    Raises:
        DataError: a worker raised a user error, or the job does not succeed.
    """
    from apache_beam.runners.runner import PipelineState

    try:
        state = pipeline.run().wait_until_finish()
    except Exception as error:
        raise _restore_error(error) from error
    if state != PipelineState.DONE:
        raise DataError(f"the Beam job ended as {state}: run the same command again")


def _restore_error(error: Exception) -> BaseException:
    """Restores the error of a worker, of which runners pass on only the traceback's text."""
    # Beam's message after Ctrl-C while a worker ran in this process.
    if re.match(r"KeyboardInterrupt\b", str(error)):
        return KeyboardInterrupt()
    text = f"{type(error).__module__}.{type(error).__name__}: {error}"
    ours = re.findall(r"^rlstm_tf\.errors\.\w+: (.*?)(?: \[while running .*)?$", text, re.M)
    return DataError(ours[-1]) if ours else error

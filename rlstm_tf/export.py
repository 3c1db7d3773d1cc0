"""Exports a trained run as a SavedModel that TensorFlow Serving loads.

    python -m rlstm_tf.export --run_dir=runs/demo --output=saved_models/demo

Writes the next numbered version into --output: signatures for frames, JPEG files and streams, class
names and warm-up requests. See docs/serving.md and docs/streaming.md.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags as absl_flags

from rlstm_tf import __version__
from rlstm_tf.choices import MAX_WINDOW
from rlstm_tf.cli import app, flags
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.messages import say
from rlstm_tf.model_config import snippet_length
from rlstm_tf.quiet import quiet
from rlstm_tf.runs.directory import define_run_flags, read_flags
from rlstm_tf.runs.remote import ONLY_FOR_TRAINING, LocalMirror, local_mirror

if TYPE_CHECKING:
    from rlstm_tf.serving.artifact import ModelMetadata


def define_flags(values: absl_flags.FlagValues) -> None:
    """Defines the flags."""
    define_run_flags(values)
    own: dict[str, Any] = {"flag_values": values}
    define_path("output", None, "Directory, for example saved_models/NAME.", **own)
    absl_flags.DEFINE_boolean(
        "warmup", True, "Write requests that a server runs before it serves the network.", **own
    )
    help_text = "A step of a stream answers for the last T snippets; for all of them if unset."
    absl_flags.DEFINE_integer("window", None, help_text, 1, MAX_WINDOW, **own)


def main(values: absl_flags.FlagValues) -> None:
    """Exports a checkpoint as the next version."""
    flags.require(values, "run_dir", "output")
    from rlstm_tf.serving import warmup

    if values.warmup:
        warmup.require_serving_api()
    with (
        local_mirror(values.run_dir, ONLY_FOR_TRAINING) as run,
        local_mirror(values.output, fetch=False) as networks,
    ):
        networks.check_writable()
        signatures, checkpoint, version = _export(values, run, networks)
    say(f"{checkpoint}: exported with signatures {', '.join(signatures)}")
    say(f"version: {version}")
    command = ["python", "-m", "rlstm_tf.predict", "VIDEO", f"--model={values.output}"]
    say(f"try it: {shlex.join(command)}")
    say("serve it: examples/serving/README.md")


def _export(
    values: absl_flags.FlagValues, run: LocalMirror, networks: LocalMirror
) -> tuple[list[str], str, str]:
    """Writes a version; returns its signatures, the checkpoint and its path."""
    settings: Any = read_flags(run.path / "flags.cfg")
    app.load_tensorflow()
    from rlstm_tf.runs.weights import load_model
    from rlstm_tf.serving import exporter, versions
    from rlstm_tf.serving.artifact import GRAPH, list_remote_versions
    from rlstm_tf.storage.files import file_sizes

    if file_sizes([f"{networks.directory}/{GRAPH}"]) != [None]:
        raise UsageError(f"--output={networks.directory} is one version: give its parent directory")
    metadata = _read_metadata(run.path, settings)
    with versions.new_version(networks.path) as partial:
        num_classes = len(metadata.classes)
        model, checkpoint = load_model(run.path, values.checkpoint, settings, num_classes)
        metadata = dataclasses.replace(metadata, checkpoint=run.display_path(checkpoint))
        streaming = _make_streaming(model, values.window)
        name = Path(os.path.abspath(networks.path)).name if values.warmup else None
        with quiet():
            signatures = exporter.save_version(partial, model, metadata, name, streaming)
        version = versions.publish(partial, list_remote_versions(networks.directory))
    if int(version.name) in list_remote_versions(networks.directory):
        raise DataError(f"{networks.directory} is in use by another export")
    # Last: a server loads a version as soon as it has a graph.
    networks.upload(last=f"{version.name}/{GRAPH}")
    return signatures, run.display_path(checkpoint), networks.display_path(version)


def _make_streaming(model: Any, window: int | None) -> Any:
    """Returns a step of the network, or None, and tells why, if it has none.

    Raises:
        UsageError: a window is given, and the network cannot stream with one either.
    """
    from rlstm_tf.models.streaming import StreamingModel

    try:
        return StreamingModel(model, window)
    except UsageError as error:
        if window is not None:
            raise
        say(f"no signatures for streams: {error}")
        return None


def _read_metadata(run_dir: Path, settings: Any) -> ModelMetadata:
    """Collects the metadata of a run's network, except for the checkpoint.

    Raises:
        DataError: the run has no checkpoint or is damaged.
    """
    from rlstm_tf.data.video_views import RecordFormat
    from rlstm_tf.runs.directory import RunDirectory
    from rlstm_tf.serving.artifact import ModelMetadata

    run = RunDirectory(run_dir)
    if not run.has_checkpoint():
        raise DataError(f"{run_dir} holds no checkpoint yet")
    classes, manifest = run.classes(), run.manifest()
    return ModelMetadata(
        model=settings.model,
        backbone=settings.backbone,
        stream=settings.stream,
        num_segments=settings.num_segments,
        image_size=settings.image_size,
        new_length=snippet_length(settings.stream, settings.new_length),
        classes=classes,
        multi_label=manifest.multi_label,
        checkpoint="",
        version=__version__,
        **dataclasses.asdict(RecordFormat.from_manifest(manifest)),
    )


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

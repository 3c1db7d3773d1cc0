"""Exports a trained run as a SavedModel that TensorFlow Serving loads.

    python -m rlstm_tf.export --run_dir=runs/demo --output=saved_models/demo

Writes the next numbered version into --output: signatures of frames and of JPEG files, class names,
and warm-up requests. See docs/serving.md.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags as absl_flags

from rlstm_tf import __version__
from rlstm_tf.cli import app, flags
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.model_config import snippet_length
from rlstm_tf.runs.directory import define_run_flags, read_flags
from rlstm_tf.runs.remote import ONLY_FOR_TRAINING, LocalMirror, local_mirror

if TYPE_CHECKING:
    from rlstm_tf.serving.artifact import Description


def define_flags(values: absl_flags.FlagValues) -> None:
    """Flags of this entry point."""
    define_run_flags(values)
    own: dict[str, Any] = {"flag_values": values}
    absl_flags.DEFINE_string("output", None, "Directory: saved_models/NAME.", **own)
    absl_flags.DEFINE_boolean(
        "warmup", True, "Requests that a server answers before it takes others.", **own
    )


def main(values: absl_flags.FlagValues) -> None:
    """Loads, saves, compares, renames."""
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
    print(f"{checkpoint}: exported with signatures {', '.join(signatures)}")
    print(f"version: {version}")
    print(f"try it: python -m rlstm_tf.predict VIDEO --model={values.output}")
    print("serve it: examples/serving/README.md")


def _export(
    values: absl_flags.FlagValues, run: LocalMirror, networks: LocalMirror
) -> tuple[list[str], str, str]:
    """Writes a version; returns its signatures, the checkpoint and its place."""
    settings: Any = read_flags(run.path / "flags.cfg")
    app.load_tensorflow()
    from rlstm_tf.runs.weights import load_model
    from rlstm_tf.serving import exporter, versions
    from rlstm_tf.serving.artifact import GRAPH, stored_versions
    from rlstm_tf.storage.files import file_sizes

    if file_sizes([f"{networks.directory}/{GRAPH}"]) != [None]:
        raise UsageError(f"--output={networks.directory} is one version: give the one above it")
    description = _describe(run.path, settings)
    with versions.new_version(networks.path) as partial:
        num_classes = len(description.classes)
        model, checkpoint = load_model(run.path, values.checkpoint, settings, num_classes)
        description = dataclasses.replace(description, checkpoint=run.display_path(checkpoint))
        name = Path(os.path.abspath(networks.path)).name if values.warmup else None
        with app.quiet():
            signatures = exporter.save(partial, model, description, name)
        version = versions.publish(partial, stored_versions(networks.directory))
    if int(version.name) in stored_versions(networks.directory):
        raise DataError(f"{networks.directory} is in use by another export")
    # A server takes a version that has its graph.
    networks.upload(last=f"{version.name}/{GRAPH}")
    return signatures, run.display_path(checkpoint), networks.display_path(version)


def _describe(run_dir: Path, settings: Any) -> Description:
    """What the run's network takes and gives; not yet which checkpoint.

    Raises:
        DataError: the run has none, or is damaged.
    """
    from rlstm_tf.data.video_views import RecordFormat
    from rlstm_tf.runs.directory import RunDirectory
    from rlstm_tf.serving.artifact import Description

    run = RunDirectory(run_dir)
    if not run.has_checkpoint():
        raise DataError(f"{run_dir} holds no checkpoint yet")
    classes, manifest = run.classes(), run.manifest()
    return Description(
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

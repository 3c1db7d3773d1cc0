"""Exports a trained run: as a SavedModel that TensorFlow Serving loads, or for phones and browsers.

    python -m rlstm_tf.export --run_dir=runs/demo --output=saved_models/demo
    python -m rlstm_tf.export --run_dir=runs/demo --format=litert --output=demo.tflite
    python -m rlstm_tf.export --run_dir=runs/demo --format=onnx --output=demo_onnx

The first writes the next numbered version into --output: signatures for frames, JPEG files and
streams, class names and warm-up requests. See docs/serving.md and docs/streaming.md. The second
writes one file for LiteRT, the third a directory of ONNX files, for frames of one size
(docs/deploy.md).
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags as absl_flags

from rlstm_tf import __version__
from rlstm_tf.choices import EXPORT_FORMATS, MAX_WINDOW, PRECISIONS, QUANTIZATIONS
from rlstm_tf.cli import app, flags
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.messages import say
from rlstm_tf.model_config import snippet_length
from rlstm_tf.quiet import quiet
from rlstm_tf.runs.directory import define_run_flags, read_flags
from rlstm_tf.runs.remote import ONLY_FOR_TRAINING, LocalMirror, local_mirror
from rlstm_tf.storage.atomic import write_atomic, writing

if TYPE_CHECKING:
    from rlstm_tf.serving.artifact import ModelMetadata
    from rlstm_tf.serving.fixed_metadata import FrameSize

# Flags for some of the formats.
_FORMATS = {
    "frame_size": ("litert", "onnx"),
    "quantize": ("litert",),
    "precision": ("savedmodel",),
}


def define_flags(values: absl_flags.FlagValues) -> None:
    """Defines the flags."""
    define_run_flags(values)
    own: dict[str, Any] = {"flag_values": values}
    help_text = "Directory, for example saved_models/NAME; for LiteRT a file, NAME.tflite."
    define_path("output", None, help_text, **own)
    help_text = (
        "For servers and rlstm_tf.predict a SavedModel; for phones; for browsers and others."
    )
    absl_flags.DEFINE_enum("format", EXPORT_FORMATS[0], EXPORT_FORMATS, help_text, **own)
    help_text = "SavedModel: what it computes in; as in training if unset."
    absl_flags.DEFINE_enum("precision", None, PRECISIONS, help_text, **own)
    help_text = "LiteRT, ONNX: WIDTHxHEIGHT of the frames, 640x480; those of the network if unset."
    absl_flags.DEFINE_string("frame_size", None, help_text, **own)
    help_text = "LiteRT: store weights as float16, or as int8 where that saves most (dynamic)."
    absl_flags.DEFINE_enum("quantize", QUANTIZATIONS[0], QUANTIZATIONS, help_text, **own)
    absl_flags.DEFINE_boolean(
        "warmup", True, "Write requests that a server runs before it serves the network.", **own
    )
    help_text = "A step of a stream answers for the last T snippets; for all of them if unset."
    absl_flags.DEFINE_integer("window", None, help_text, 1, MAX_WINDOW, **own)


def main(values: absl_flags.FlagValues) -> None:
    """Exports a checkpoint in the format asked for."""
    flags.require(values, "run_dir", "output")
    for name, formats in _FORMATS.items():
        if values[name].present and values.format not in formats:
            raise UsageError(f"--{name} needs --format={' or '.join(formats)}")
    if values.format == "savedmodel":
        _export_savedmodel(values)
    else:
        _export_fixed(values)


def _export_savedmodel(values: absl_flags.FlagValues) -> None:
    """Writes the next version of a SavedModel."""
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
    settings.precision = values.precision or settings.precision
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


def _export_fixed(values: absl_flags.FlagValues) -> None:
    """Writes a LiteRT file or a directory of ONNX files, for frames of one size."""
    flags.check_local(values, "output")
    output = Path(values.output)
    _check_output(output, values.format)
    size = _parse_frame_size(values.frame_size)
    with local_mirror(values.run_dir, ONLY_FOR_TRAINING) as run:
        settings: Any = read_flags(run.path / "flags.cfg")
        # What stands for a precision of training there is --quantize.
        settings.precision = "float32"
        app.load_tensorflow()
        from rlstm_tf.runs.weights import load_model
        from rlstm_tf.serving.fixed_metadata import FixedMetadata, FrameSize

        if values.format == "litert":
            from rlstm_tf.serving.litert import convert
        else:
            with app.importing_extra("onnx", "tf2onnx", "onnxruntime"):
                from rlstm_tf.serving.onnx_files import convert

        network = _read_metadata(run.path, settings)
        model, checkpoint = load_model(run.path, values.checkpoint, settings, len(network.classes))
        source = run.display_path(checkpoint)
        network = dataclasses.replace(network, checkpoint=source)
        frame_size = size or FrameSize(network.image_size, network.image_size)
        metadata = FixedMetadata(network, frame_size, values.window, values.quantize)
        streaming = _make_streaming(model, values.window)
        with quiet():
            converted = convert(model, metadata, streaming)
    with writing(output):
        for name, content in converted.files.items():
            path = output / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, content)
    megabytes = sum(map(len, converted.files.values())) / 1e6
    say(f"{source}: converted with signatures {', '.join(converted.signatures)}")
    found = converted.difference
    say(f"logits differ by up to {found.difference:.2g}; the largest is {found.largest:.2g}")
    say(f"written: {output}, {megabytes:.2f} MB, for frames of {frame_size}")
    if values.format == "litert":
        command = ["python", "examples/litert/classify.py", f"--model={output}", "VIDEO"]
        say(f"try it: {shlex.join(command)}")


def _check_output(output: Path, format_name: str) -> None:
    """Checks where a file or files of a format go to.

    Raises:
        UsageError: the name is that of something else, or taken.
        DataError: it cannot be read.
    """
    with writing(output):
        if format_name == "onnx":
            if output.exists() and not (output.is_dir() and not any(output.iterdir())):
                raise UsageError(f"--output={output} exists: give the name of a new directory")
        elif output.suffix != ".tflite":
            raise UsageError(f"--output={output}: a LiteRT file has a name that ends with .tflite")
        elif output.is_dir():
            raise UsageError(f"--output={output} is a directory: give the name of a file")


def _parse_frame_size(text: str | None) -> FrameSize | None:
    """Returns --frame_size, or None if it is unset.

    Raises:
        UsageError: it is not WIDTHxHEIGHT.
    """
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text, re.ASCII)
    if found is None:
        raise UsageError(f"--frame_size={text} must be WIDTHxHEIGHT in pixels, for example 640x480")
    from rlstm_tf.serving.fixed_metadata import FrameSize

    width, height = map(int, found.groups())
    return FrameSize(height, width)


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

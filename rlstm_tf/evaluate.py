"""Scores a trained run on a subset of the shards.

    python -m rlstm_tf.evaluate --run_dir=runs/demo --split=test

Writes metrics.json and scores.npz (ids, labels, logits before softmax) into --output.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags as absl_flags

from rlstm_tf.cli import app, flags, input_flags
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import DataError
from rlstm_tf.messages import say
from rlstm_tf.runs.directory import define_run_flags, read_flags
from rlstm_tf.runs.remote import ONLY_FOR_TRAINING, LocalMirror, local_mirror

if TYPE_CHECKING:
    from rlstm_tf.data.manifest import Manifest

METRICS = "metrics.json"
PROTOCOLS = ("center", "paper")


def define_flags(values: absl_flags.FlagValues) -> None:
    """Defines the flags."""
    define_run_flags(values)
    own: dict[str, Any] = {"flag_values": values}
    absl_flags.DEFINE_string("split", "test", "Subset of the shards: test, val or train.", **own)
    define_path("data", None, "Directory of shards; the run's if unset.", **own)
    absl_flags.DEFINE_enum(
        "protocol",
        "center",
        PROTOCOLS,
        "One view a video, or the paper's: 4 groups x 5 crops; Charades: 10 clips, maximum.",
        **own,
    )
    absl_flags.DEFINE_integer(
        "batch_size", None, "Videos a batch; if unset, the run's or what fits memory.", 1, **own
    )
    define_path("output", None, "Directory; RUN_DIR/evaluation/SPLIT if unset.", **own)


def main(values: absl_flags.FlagValues) -> None:
    """Scores the subset, writes the scores, prints the metrics."""
    flags.require(values, "run_dir")
    output = values.output or f"{values.run_dir.rstrip('/')}/evaluation/{values.split}"
    with (
        local_mirror(values.run_dir, ONLY_FOR_TRAINING) as run,
        local_mirror(output, fetch=False) as written,
    ):
        written.check_writable()
        metrics = _evaluate(values, run, written.path)
        written.upload(last=METRICS)
    shown = ", ".join(
        f"{name.replace('_', ' ')} {value:.4f}"
        for name, value in metrics.items()
        if isinstance(value, float)
    )
    say(f"{shown}, {metrics['videos']} videos: {output}/{METRICS}")


def _evaluate(values: absl_flags.FlagValues, run: LocalMirror, output: Path) -> dict[str, Any]:
    """Writes scores and metrics into `output`; returns the metrics."""
    run_dir = run.path
    settings: Any = read_flags(run_dir / "flags.cfg")
    settings.data = values.data or settings.data
    arguments = input_flags.arguments(settings)
    app.load_tensorflow()
    import tensorflow as tf

    from rlstm_tf.cli.terminal import progress_bar
    from rlstm_tf.data import pipeline
    from rlstm_tf.data.protocols import get_protocol
    from rlstm_tf.data.shards import Shards
    from rlstm_tf.evaluation import metrics, score_files
    from rlstm_tf.evaluation.scorer import Scorer
    from rlstm_tf.runs.directory import RunDirectory
    from rlstm_tf.runs.weights import load_model

    shards = Shards.open(settings.data, values.split)
    trained = RunDirectory(run_dir)
    trained.check_classes(shards.classes, settings.data)
    if values.data:
        _compare_images(trained.manifest(), shards.manifest, values.data)
    score_files.check_writable(output)
    views = get_protocol(values.protocol, shards.manifest.multi_label)
    config = pipeline.InputConfig(**arguments)
    batch_size = values.batch_size or views.videos_per_batch(config.batch_size, config.video_shape)
    config = dataclasses.replace(config, batch_size=batch_size)
    batches = pipeline.evaluation_batches(shards, config, views)
    model, path = load_model(run_dir, values.checkpoint, settings, len(shards.classes))
    scorer = Scorer(model, tf.distribute.get_strategy(), views.reduction)
    with progress_bar(len(shards), "evaluate", "videos") as progress:
        logits = scorer.score(pipeline.iterate(batches, shards), len(shards), progress.update)
    try:
        result = metrics.compute_metrics(shards.labels, logits)
    except FloatingPointError as error:
        raise DataError(f"{path}: {error}") from None
    metadata = {
        **_metadata(settings, shards),
        "protocol": views.name,
        "views": views.num_views,
        "run": run.display_path(run_dir),
        "checkpoint": run.display_path(path),
        "data": settings.data,
    }
    scores = score_files.Scores(shards.ids, shards.labels, logits, shards.classes)
    score_files.save(output, scores, {**result, **metadata})
    return result


def _compare_images(trained: Manifest, other: Manifest, data: str) -> None:
    """Warns if other shards are made otherwise than those of the training."""
    from rlstm_tf.data.video_views import RecordFormat

    known, found = (dataclasses.asdict(RecordFormat.from_manifest(it)) for it in (trained, other))
    differ = [
        f"{name} {found[name]}, not {known[name]}" for name in known if found[name] != known[name]
    ]
    if differ:
        say(f"warning: {data} has images unlike those of the training: {', '.join(differ)}")


def _metadata(settings: Any, shards: Any) -> dict[str, Any]:
    """Describes the network and the videos, for `rlstm_tf.evaluation.score_files.METADATA`."""
    from rlstm_tf.models.backbone import APPLICATIONS

    manifest = shards.manifest
    return {
        "dataset": manifest.dataset,
        "split": manifest.split,
        "subset": shards.subset,
        "stream": manifest.stream,
        "model": settings.model,
        "num_segments": settings.num_segments,
        "cut": settings.cut or APPLICATIONS[settings.backbone].cut,
        "backbone": settings.backbone,
    }


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

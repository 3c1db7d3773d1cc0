"""Scores a trained run on a subset of the shards.

    python -m rlstm_tf.evaluate --run_dir=runs/demo --split=test

Writes metrics.json and scores.npz (ids, labels, logits before softmax) into --output.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from absl import flags as absl_flags

from rlstm_tf import cli, flags

# Groups of snippets and crops of each frame: one view, or the paper's twenty.
PROTOCOLS = {"center": (1, 1), "paper": (4, 5)}


def define_flags(values: absl_flags.FlagValues) -> None:
    """Flags of this entry point."""
    own: dict[str, Any] = {"flag_values": values}
    absl_flags.DEFINE_string("run_dir", None, "Directory of the run.", **own)
    absl_flags.DEFINE_string("split", "test", "Subset of the shards: test, val or train.", **own)
    absl_flags.DEFINE_string("data", None, "Directory of shards; the run's if unset.", **own)
    absl_flags.DEFINE_enum("checkpoint", "newest", ("newest", "best"), "Which one.", **own)
    absl_flags.DEFINE_enum(
        "protocol", "center", tuple(PROTOCOLS), "One view a video, or 4 groups x 5 crops.", **own
    )
    absl_flags.DEFINE_integer(
        "batch_size", None, "Videos; the run's if unset.", lower_bound=1, **own
    )
    absl_flags.DEFINE_string("output", None, "Directory; RUN_DIR/evaluation/SPLIT if unset.", **own)


def main(values: absl_flags.FlagValues) -> None:
    """Scores, writes, prints."""
    flags.require(values, "run_dir")
    run_dir = Path(values.run_dir)
    settings = flags.read_run(run_dir / "flags.cfg")
    settings.batch_size = values.batch_size or settings.batch_size
    arguments = flags.input_arguments(settings)
    cli.load_tensorflow()

    from rlstm_tf import metrics
    from rlstm_tf.data import pipeline
    from rlstm_tf.data.shards import Shards
    from rlstm_tf.progress import bar
    from rlstm_tf.run_directory import RunDirectory

    data = values.data or settings.data
    shards = Shards.open(data, values.split)
    RunDirectory(run_dir).check_classes(shards.classes, data)
    scorer, path = _load(run_dir, values.checkpoint, settings, len(shards.classes))
    groups, crops = PROTOCOLS[values.protocol]
    batches = pipeline.evaluation_batches(shards, pipeline.InputConfig(**arguments), groups, crops)
    videos = len(shards.labels)
    with bar(videos, "evaluate", "videos") as progress:
        logits = scorer.score(pipeline.checked(batches, shards), videos, progress.update)
    result: dict[str, Any] = {
        **metrics.summarize(shards.labels, logits),
        "split": values.split,
        "protocol": values.protocol,
        "checkpoint": str(path),
        "data": data,
    }
    output = Path(values.output or run_dir / "evaluation" / values.split)
    _write(
        output, result, ids=shards.ids, labels=shards.labels, logits=logits, classes=shards.classes
    )
    print(
        f"accuracy {result['accuracy']:.4f}, mean class accuracy "
        f"{result['mean_class_accuracy']:.4f}, {result['videos']} videos: {output / 'metrics.json'}"
    )


def _load(run_dir: Path, which: str, settings: Any, num_classes: int) -> tuple[Any, Path]:
    """The trained network, and the checkpoint that it came from."""
    import tensorflow as tf

    from rlstm_tf.checkpoints import Checkpoints, restore, variables_of
    from rlstm_tf.errors import DataError
    from rlstm_tf.models import build_model
    from rlstm_tf.scoring import Scorer

    checkpoints = Checkpoints(run_dir / "checkpoints")
    if which == "best":
        (state, _), path = checkpoints.load(checkpoints.best), checkpoints.best
    else:
        newest = checkpoints.load_newest()
        if newest is None:
            raise DataError(f"{run_dir} holds no checkpoint yet")
        state, _, path = newest
    settings.weights = "none"  # those of the checkpoint replace them
    model = build_model(num_classes, **flags.model_arguments(settings))
    restore(variables_of(model), state, path)
    return Scorer(model, tf.distribute.get_strategy()), path


def _write(output: Path, result: dict[str, Any], **scores: Any) -> None:
    """Writes both files beside their places and renames them, the metrics last."""
    import numpy as np

    from rlstm_tf.errors import DataError

    try:
        output.mkdir(parents=True, exist_ok=True)
        partial = output / "scores.partial"
        with partial.open("wb") as file:
            np.savez(file, **scores)
        partial.replace(output / "scores.npz")
        partial = output / "metrics.partial"
        partial.write_text(json.dumps(result, indent=1) + "\n")
        partial.replace(output / "metrics.json")
    except OSError as error:
        raise DataError(f"{output} cannot be written: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(cli.run(main, define_flags))

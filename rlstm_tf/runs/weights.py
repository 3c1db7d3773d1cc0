"""A trained network, taken up again from its run's directory."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras

from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import build_model
from rlstm_tf.runs.checkpoints import Checkpoints, restore, variables_of


def trained_model(
    run_dir: Path, which: str, settings: Any, num_classes: int
) -> tuple[keras.Model, Path]:
    """The network of a run, with the weights of one of its checkpoints.

    Args:
        run_dir: of the run.
        which: `newest` or `best`.
        settings: the run's flags, of `run_flags.read_run`. Its `precision` becomes Keras's policy.
        num_classes: of the run.

    Returns:
        Model of uint8 snippets `[batch, T, S, S, channels]` -> float32 logits, and the checkpoint.

    Raises:
        DataError: there is no such checkpoint, it is damaged, or of another network.
    """
    checkpoints = Checkpoints(run_dir / "checkpoints")
    if which == "best":
        (state, _), path = checkpoints.load(checkpoints.best), checkpoints.best
    else:
        state, _, path = checkpoints.require_newest()
    keras.mixed_precision.set_global_policy(settings.precision)
    # Those of the checkpoint replace them, and need not be fetched.
    config = dataclasses.replace(ModelConfig.from_flags(settings), weights="none")
    model = build_model(config, num_classes)
    restore(variables_of(model), state, path)
    return model, path

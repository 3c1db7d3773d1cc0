"""Trains a network under JAX; each device takes an equal share of every batch.

    python examples/jax_training.py --data=data/demo/records --run_dir=runs/jax \
        --backbone=tiny_resnetv2 --weights=none --image_size=64 --batch_size=16 --epochs=18

Takes flags of rlstm_tf.train: those of networks and input, and a few more. What it writes is a run
of that command's, which evaluate, export, predict, explain and train --init_from read.
"""

from __future__ import annotations

import dataclasses
import os

# Before Keras is imported.
os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np
import tensorflow as tf
from absl import flags as absl_flags

from rlstm_tf.cli import app, flags, input_flags
from rlstm_tf.cli.flag_files import FlagValues
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.pairs import training_pairs
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import UsageError
from rlstm_tf.messages import say
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import build_model
from rlstm_tf.runs.checkpoints import Checkpoints, named_variables
from rlstm_tf.runs.directory import RunDirectory
from rlstm_tf.runs.weights import initialize_from_run
from rlstm_tf.training.state import TrainState

# Flags of rlstm_tf.train that have another default here, and no other value.
FIXED = {"weight_decay": 0.0, "drop_epochs": [], "val_subset": "none"}
# Those that have an effect, beside those of networks and of the input.
TAKEN = {"data", "run_dir", "init_from", "epochs", "learning_rate", "momentum", "clip_norm"}


def define_flags(values: absl_flags.FlagValues) -> None:
    """Defines the flags."""
    flags.define_training(values)
    for name, value in FIXED.items():
        values.set_default(name, value)


def main(values: absl_flags.FlagValues) -> None:
    """Trains, then writes the run."""
    flags.require(values, "data", "run_dir")
    _refuse_others(values)
    # Accelerators are JAX's: TensorFlow only reads and decodes.
    tf.config.set_visible_devices([], "GPU")
    # Each device holds all weights; Keras sums up the gradients.
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    frames = InputConfig(**input_flags.arguments(values))
    flags.check_batch_size(frames.batch_size, 1, jax.device_count(), frames.mixup)
    shards = Shards.open(values.data, "train")
    pairs, steps = training_pairs(shards, frames), len(shards.samples) // frames.batch_size
    run = _open_run(values, shards)

    keras.utils.set_random_seed(values.seed)
    network = ModelConfig.from_flags(values)
    if values.init_from:
        network = dataclasses.replace(network, weights="none")
    model = build_model(network, len(shards.classes))
    if values.init_from:
        say(initialize_from_run(values.init_from, model, network.model)[1])
    model.compile(
        keras.optimizers.SGD(
            values.learning_rate, values.momentum, global_clipnorm=values.clip_norm
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    # Keras compiles the step with jax.jit. The batches are shuffled already.
    say(f"training on {jax.device_count()} devices")
    model.fit(pairs, steps_per_epoch=steps, epochs=values.epochs, shuffle=False, verbose=2)

    arrays = {name: np.asarray(weight) for name, weight in named_variables(model).items()}
    state = TrainState(step=values.epochs * steps, epoch=values.epochs)
    say(f"wrote {Checkpoints(run.checkpoints).save(state.step, arrays, state.to_dict())}")


def _refuse_others(values: absl_flags.FlagValues) -> None:
    """Raises UsageError if a flag is given that has no effect here."""
    inputs = FlagValues()
    input_flags.define(inputs)
    taken = TAKEN | {"flagfile"} | {*ModelConfig.options()} | {*inputs}
    for name in sorted({*values} - taken):
        if values[name].present:
            raise UsageError(f"--{name} has no effect under JAX: rlstm_tf.train takes it")


def _open_run(values: absl_flags.FlagValues, shards: Shards) -> RunDirectory:
    """Creates the run's directory with all that is in it before the first checkpoint."""
    texts = flags.format_flags(values, ("flagfile",))
    run = RunDirectory(values.run_dir)
    run.open_for_training(texts, {}, shards.classes, shards.manifest.to_json(), resume=False)
    return run


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

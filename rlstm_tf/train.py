"""Trains a network on a directory of shards.

    python -m rlstm_tf.train --flagfile=configs/demo.cfg

Writes checkpoints, history.csv, TensorBoard files and flags.cfg, which runs the same thing again,
into --run_dir.
"""

from __future__ import annotations

import sys
from typing import Any

from absl import flags as absl_flags

from rlstm_tf import cli, flags

# What may change when a run is continued; the rest would make it another run.
_CHANGEABLE = {"epochs", "keep_checkpoints", "run_dir", "strategy", "data"}


define_flags = flags.define_training


def main(values: absl_flags.FlagValues) -> None:
    """Trains, from the start or from the newest checkpoint."""
    flags.require(values, "data", "run_dir")
    config_arguments, drops = flags.input_arguments(values), flags.drop_epochs(values)

    import keras

    from rlstm_tf.data import pipeline
    from rlstm_tf.data.shards import Shards
    from rlstm_tf.run_directory import RunDirectory

    config = pipeline.InputConfig(**config_arguments)
    shards = Shards.open(values.data, "train")
    val = None if values.val_subset == "none" else Shards.open(values.data, values.val_subset)
    steps = pipeline.steps_per_epoch(shards, config.batch_size)
    run = RunDirectory(values.run_dir)
    run.claim(flags.serialize(values, ("flagfile", "resume")), values.resume, _CHANGEABLE)
    run.check_classes(shards.classes, values.data)

    keras.utils.set_random_seed(values.seed)
    trainer, schedule = _build(values, len(shards.classes), drops, steps)
    first_step, callbacks = _resume(values, run, trainer, steps)
    print(f"{len(shards.labels)} videos, {len(shards.classes)} classes, {steps} steps an epoch")
    print(f"{trainer.model.count_params():,} parameters; tensorboard --logdir {run.tensorboard}")
    batches = pipeline.training_batches(shards, config, first_step)
    trainer.fit(
        pipeline.checked(trainer.distribute(batches, config.batch_size), shards),
        first_step=first_step,
        steps_per_epoch=steps,
        epochs=values.epochs,
        batch_size=config.batch_size,
        learning_rate=schedule,
        validate=_validation(trainer, val, config) if val else None,
        callbacks=callbacks,
    )
    print(f"run: {run.path}")


def _build(
    values: absl_flags.FlagValues, num_classes: int, drops: tuple[int, ...], steps: int
) -> tuple[Any, Any]:
    """The model and its optimizer on the devices asked for, and the learning rate by step."""
    from rlstm_tf import optimization, training
    from rlstm_tf.models import build_model

    strategy = training.make_strategy(values.strategy)
    schedule = optimization.step_schedule(values.learning_rate, drops, steps)
    with strategy.scope():
        model = build_model(num_classes, **flags.model_arguments(values))
        optimizer = optimization.sgd(schedule, values.momentum, model.trainable_variables)
    return training.Trainer(model, optimizer, strategy, values.weight_decay), schedule


def _resume(values: absl_flags.FlagValues, run: Any, trainer: Any, steps: int) -> tuple[int, list]:
    """Restores the newest checkpoint if there is one; returns its step and the run's callbacks."""
    from rlstm_tf import callbacks
    from rlstm_tf.checkpoints import Checkpoints, restore, variables_of

    checkpoints = Checkpoints(run.checkpoints, values.keep_checkpoints)
    newest = checkpoints.load_newest()
    step, best = 0, None
    if newest is not None:
        state, info, path = newest
        restore(variables_of(trainer.model, trainer.optimizer), state, path)
        step, best = info["step"], info["best"]
        print(f"resumed from {path}")
    return step, [
        callbacks.Progress(values.epochs, steps, values.batch_size),
        callbacks.History(run.history, step // steps),
        callbacks.TensorBoard(run.tensorboard, steps),
        callbacks.Saving(checkpoints, trainer.optimizer, steps, best),
    ]


def _validation(trainer: Any, shards: Any, config: Any) -> Any:
    """A function that scores the validation set."""
    from rlstm_tf import training
    from rlstm_tf.data import pipeline

    batches = trainer.distribute(pipeline.evaluation_batches(shards, config), config.batch_size)
    return lambda: training.summarize(trainer, shards, pipeline.checked(batches, shards))


if __name__ == "__main__":
    sys.exit(cli.run(main, define_flags))

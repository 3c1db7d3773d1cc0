"""Trains a network on a directory of shards.

    python -m rlstm_tf.train --flagfile=configs/demo.cfg

Writes checkpoints, history.csv, TensorBoard files and flags.cfg, which runs the same thing again,
into --run_dir.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags as absl_flags

from rlstm_tf import cli, flags

# What may change when a run is continued; the rest would make it another run.
_CHANGEABLE = {"accumulate", "epochs", "keep_checkpoints", "run_dir", "strategy", "data"}


define_flags = flags.define_training


def main(values: absl_flags.FlagValues) -> None:
    """Trains, from the start or from the newest checkpoint."""
    flags.require(values, "data", "run_dir")
    arguments, drops = flags.input_arguments(values), flags.drop_epochs(values)
    cli.load_tensorflow()

    import keras

    from rlstm_tf.data import pipeline
    from rlstm_tf.data.shards import Shards
    from rlstm_tf.devices import distribute, make_strategy
    from rlstm_tf.run_directory import RunDirectory

    config = pipeline.InputConfig(**arguments)
    run = RunDirectory(values.run_dir)
    if values.init_from and not run.has_checkpoint():
        flags.read_run(Path(values.init_from) / "flags.cfg")
    strategy = make_strategy(values.strategy)
    flags.check_batch(values, strategy.num_replicas_in_sync)
    shards = Shards.open(values.data, "train")
    pipeline.check_stream(shards, config)
    val = None if values.val_subset == "none" else Shards.open(values.data, values.val_subset)
    steps = pipeline.steps_per_epoch(shards, config.batch_size)
    run.claim(flags.serialize(values, ("flagfile", "resume")), values.resume, _CHANGEABLE)
    run.check_classes(shards.classes, values.data)
    counts = f"{len(shards)} videos, {len(shards.samples)} samples, {len(shards.classes)} classes"
    print(f"{counts}, {steps} steps an epoch")
    print(f"TensorBoard: tensorboard --logdir {run.tensorboard}", flush=True)

    keras.utils.set_random_seed(values.seed)
    keras.mixed_precision.set_global_policy(values.precision)
    trainer, schedule = _build(values, strategy, len(shards.classes), drops, steps)
    first_step, callbacks = _start(values, run, trainer, steps)
    dataset = pipeline.training_batches(shards, config, first_step)
    batches = pipeline.checked(distribute(strategy, dataset, config.batch_size), shards)
    # Closed here, not by the collector: it is endless, and works ahead in threads of its own.
    with contextlib.closing(batches):
        trainer.fit(
            batches,
            first_step=first_step,
            steps_per_epoch=steps,
            epochs=values.epochs,
            batch_size=config.batch_size,
            learning_rate=schedule,
            validate=_validation(trainer, val, config) if val else None,
            callbacks=callbacks,
        )


def _build(
    values: absl_flags.FlagValues,
    strategy: Any,
    num_classes: int,
    drops: tuple[int, ...],
    steps: int,
) -> tuple[Any, Any]:
    """The model with its optimizer, and the learning rate by step."""
    from rlstm_tf import optimization
    from rlstm_tf.models import build_model
    from rlstm_tf.training import Trainer

    arguments = flags.model_arguments(values)
    if values.init_from:
        arguments["weights"] = "none"  # those of the other run replace them
    schedule = optimization.StepSchedule(values.learning_rate, drops, steps)
    with strategy.scope():
        model = build_model(num_classes, **arguments)
        optimizer = optimization.sgd(
            schedule,
            values.momentum,
            model.trainable_variables,
            scale_loss=values.precision == "mixed_float16",
        )
    trainer = Trainer(
        model, optimizer, strategy, values.weight_decay, values.accumulate, values.jit
    )
    return trainer, schedule


def _start(values: absl_flags.FlagValues, run: Any, trainer: Any, steps: int) -> tuple[int, list]:
    """Restores the run's newest checkpoint, or takes over the weights of --init_from.

    Returns:
        The first step, and the run's callbacks.
    """
    from rlstm_tf import callbacks
    from rlstm_tf.checkpoints import Checkpoints, restore, variables_of

    checkpoints = Checkpoints(run.checkpoints, values.keep_checkpoints)
    newest = checkpoints.load_newest()
    step, best = 0, None
    if newest is not None:
        state, info, path = newest
        restore(variables_of(trainer.model, trainer.optimizer), state, path)
        step, best = info["step"], info["best"]
        print(f"resumed from {path}", flush=True)
    elif values.init_from:
        _transfer(values, trainer.model)
    return step, [
        callbacks.Progress(values.epochs, steps, values.batch_size),
        callbacks.History(run.history, step // steps),
        callbacks.TensorBoard(run.tensorboard, steps),
        callbacks.Saving(checkpoints, trainer.optimizer, steps, best),
    ]


def _transfer(values: absl_flags.FlagValues, model: Any) -> None:
    """Takes over what fits of another run's weights, and says what does not."""
    from rlstm_tf.checkpoints import Checkpoints
    from rlstm_tf.transfer import transfer

    source = Path(values.init_from)
    before = flags.read_run(source / "flags.cfg")
    state, _, path = Checkpoints(source / "checkpoints").require_newest()
    done = transfer(model, state, path, same_model=before.model == values.model)
    print(
        f"started from {path}: {len(done.copied)} weights copied, {len(done.adapted)} adapted from "
        f"RGB to flow, {len(done.new)} left as drawn ({', '.join(done.new_layers()) or 'none'})",
        flush=True,
    )


def _validation(trainer: Any, shards: Any, config: Any) -> Callable[[], dict[str, float]]:
    """A function that scores the validation set."""
    from rlstm_tf import metrics
    from rlstm_tf.data import pipeline
    from rlstm_tf.devices import distribute
    from rlstm_tf.scoring import Scorer

    scorer = Scorer(trainer.model, trainer.strategy)
    batches = distribute(
        trainer.strategy, pipeline.evaluation_batches(shards, config), config.batch_size
    )

    def validate() -> dict[str, float]:
        logits = scorer.score(pipeline.checked(batches, shards), len(shards.labels))
        result = metrics.summarize(shards.labels, logits)
        return {name: result[name] for name in ("loss", "accuracy", "map") if name in result}

    return validate


if __name__ == "__main__":
    sys.exit(cli.run(main, define_flags))

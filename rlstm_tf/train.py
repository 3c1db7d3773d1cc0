"""Trains a network on a directory of shards.

    python -m rlstm_tf.train --flagfile=configs/demo.cfg

Writes checkpoints, history.csv, TensorBoard files and flags.cfg, which runs the same thing again,
into --run_dir. That may be in a store (s3://...), which is given all of it after each checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags as absl_flags

from rlstm_tf.cli import app, flags
from rlstm_tf.errors import DataError
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.runs.directory import read_flags
from rlstm_tf.runs.remote import LocalMirror, local_mirror
from rlstm_tf.storage.files import is_remote
from rlstm_tf.training import preemption

_GO_ON = "the same command with --resume goes on from there"

define_flags = flags.define_training


class _Job(NamedTuple):
    """What a training works with."""

    copy: LocalMirror
    run: Any
    config: Any
    strategy: Any
    shards: Any
    val: Any
    epochs: Any


def main(values: absl_flags.FlagValues) -> None:
    """Trains, from the start or from the newest checkpoint."""
    flags.require(values, "data", "run_dir")
    checks = (
        flags.input_arguments,
        flags.parse_drop_epochs,
        flags.parse_save_every,
        flags.parse_profile_steps,
    )
    for check in checks:
        check(values)
    with preemption.heeded(values.max_hours) as wish:
        try:
            app.load_tensorflow()
            from rlstm_tf.distributed import strategy as devices

            with local_mirror(values.run_dir, ("evaluation",)) as copy:
                job = _open(values, copy)
                with devices.workers_watched(job.strategy):
                    _check_same(values, job)
                    _fit(values, job, wish)
        except preemption.Stopped:
            print("stopped by SIGTERM before anything was done")


def _open(values: absl_flags.FlagValues, copy: LocalMirror) -> _Job:
    """Opens the shards and the devices; writes nothing."""
    from rlstm_tf.data import pipeline
    from rlstm_tf.data.batch_schedule import Epochs
    from rlstm_tf.data.shards import Shards
    from rlstm_tf.distributed import strategy as devices
    from rlstm_tf.runs.directory import RunDirectory

    run, config = RunDirectory(copy.path), pipeline.InputConfig(**flags.input_arguments(values))
    # Of one in a store it is seen when it is copied.
    if values.init_from and not is_remote(values.init_from) and not run.has_checkpoint():
        read_flags(Path(values.init_from) / "flags.cfg")
        if not RunDirectory(values.init_from).has_checkpoint():
            raise DataError(f"--init_from: {values.init_from} holds no checkpoint yet")
    strategy = devices.make_strategy(values.strategy)
    flags.check_batch_size(values, strategy.num_replicas_in_sync)
    shards = Shards.open(values.data, "train")
    val = None if values.val_subset == "none" else Shards.open(values.data, values.val_subset)
    for subset in (shards, val) if val else (shards,):
        pipeline.check_shards(subset, config)
    epochs = Epochs(len(shards.samples), config.batch_size)
    return _Job(copy, run, config, strategy, shards, val, epochs)


def _check_same(values: absl_flags.FlagValues, job: _Job) -> None:
    """Refuses workers with other flags or shards; these may lie elsewhere on each machine."""
    from rlstm_tf.distributed import consistency

    given = flags.format_flags(values, ("flagfile", "data", "run_dir"))
    texts = {f"--{name}": given.get(name, "") for name in sorted(values)}
    texts["shards' manifest"] = job.shards.manifest.to_json()
    consistency.check_texts(job.strategy, texts)


def _claim(values: absl_flags.FlagValues, job: _Job) -> None:
    """Takes the run's directory, once for all workers."""
    from rlstm_tf.distributed import strategy as devices

    shards = job.shards
    if not devices.worker(job.strategy).is_chief:
        return
    given, defaults = (
        flags.format_flags(source, ("flagfile", "resume"))
        for source in (values, flags.parse_flagfiles())
    )
    job.run.open_for_training(
        given,
        defaults,
        shards.classes,
        shards.manifest.to_json(),
        resume=values.resume,
        changeable=flags.CHANGEABLE,
    )
    counts = (len(shards), len(shards.samples), len(shards.classes), job.epochs.steps(0))
    print("{} videos, {} samples, {} classes, {} steps an epoch".format(*counts))
    print(
        f"TensorBoard: tensorboard --logdir {job.copy.display_path(job.run.tensorboard)}",
        flush=True,
    )
    _upload(job)


def _upload(job: _Job) -> None:
    """Gives what is new to the store that the run is in, if it is."""
    # A run goes on from its newest checkpoint, and takes all else to be there.
    job.copy.upload(last=job.run.checkpoints.name)


def _fit(values: absl_flags.FlagValues, job: _Job, wish: preemption.Wish) -> None:
    """Trains to the end, or until it is asked to stop."""
    import keras
    import tensorflow as tf

    from rlstm_tf.distributed import strategy as devices
    from rlstm_tf.training.validation import Validation

    keras.utils.set_random_seed(values.seed)
    if values.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.mixed_precision.set_global_policy(values.precision)
    trainer, schedule = _build(values, job)
    # After all that can be refused: it writes.
    _claim(values, job)
    position, best = _restore(values, job, trainer)
    validation = Validation(trainer, job.val, job.config, wish) if job.val else None
    callbacks, save = _callbacks(values, job, trainer, validation, position, best)
    # Closed here, not by the collector: it is endless, and works ahead in threads of its own.
    with contextlib.closing(_batches(job, position.step)) as batches:
        wish.at_once = False
        finished = trainer.fit(
            batches,
            epochs=job.epochs,
            num_epochs=values.epochs,
            position=position,
            learning_rate=schedule,
            validate=validation,
            callbacks=callbacks,
            stopping=_stopping(job, wish),
            on_stop=save,
        )
    if devices.worker(job.strategy).is_chief:
        _upload(job)
    # One that ended long before the others would look lost to them.
    devices.check_same(job.strategy, "steps taken", position.step)
    if not finished:
        where = f"after step {position.step}, which is saved"
        if not (wish.over or wish.spoken):
            raise DataError(f"another worker was asked to stop: all did, {where}; {_GO_ON}")
        why = f"after --max_hours={values.max_hours:g}" if wish.over else "by SIGTERM"
        print(f"stopped {why} {where}; {_GO_ON}")


def _batches(job: _Job, first_step: int) -> Any:
    """The batches of this process's replicas, from a step on."""
    from rlstm_tf.data import pipeline
    from rlstm_tf.distributed import strategy as devices

    batches = devices.distribute(
        job.strategy,
        lambda division: pipeline.training_batches(
            job.shards, job.config, first_step, division=division
        ),
    )
    return pipeline.checked(batches, job.shards)


def _stopping(job: _Job, wish: preemption.Wish) -> Callable[[int], bool]:
    """Whether to stop after so many steps: all workers after the same."""
    from rlstm_tf.distributed import strategy as devices
    from rlstm_tf.training.state import READ_EVERY

    if devices.worker(job.strategy).count == 1:
        return lambda step: wish.over or wish.spoken

    def asked(step: int) -> bool:
        if step % READ_EVERY:
            return False
        # Whosever clock is ahead: all have the same flag.
        if wish.max_hours is not None and devices.any_worker(job.strategy, wish.over):
            wish.ends = 0.0
        return wish.over or devices.any_worker(job.strategy, wish.spoken)

    return asked


def _build(values: absl_flags.FlagValues, job: _Job) -> tuple[Any, Any]:
    """The model with its optimizer, and the learning rate by step."""
    from rlstm_tf.data.device_augmentation import frames_of
    from rlstm_tf.models import build_model
    from rlstm_tf.training import optimizers
    from rlstm_tf.training.trainer import Trainer

    config = ModelConfig.from_flags(values)
    if values.init_from or job.run.has_checkpoint():
        # Other weights replace them, so do not fetch any.
        config = dataclasses.replace(config, weights="none")
    drops = [job.epochs.end(epoch - 1) for epoch in flags.parse_drop_epochs(values)]
    schedule = optimizers.StepSchedule(values.learning_rate, drops)
    with job.strategy.scope():
        model = build_model(config, len(job.shards.classes))
        optimizer = optimizers.make_optimizer(
            values.optimizer,
            schedule,
            values.momentum,
            values.weight_decay,
            model.trainable_variables,
            scale_loss=values.precision == "mixed_float16",
        )
    names = ("accumulate", "jit", "seed", "remat")
    options: dict[str, Any] = {name: values[name].value for name in names}
    options["weight_decay"] = values.weight_decay if values.optimizer == "sgd" else 0.0
    options["frames_of"] = frames_of(job.config)
    return Trainer(model, optimizer, job.strategy, **options), schedule


def _restore(values: absl_flags.FlagValues, job: _Job, trainer: Any) -> tuple[Any, float | None]:
    """Restores the run's newest checkpoint, or takes over the weights of --init_from.

    Returns:
        The position of the run, and its best validation score.
    """
    from rlstm_tf.distributed import consistency
    from rlstm_tf.distributed import strategy as devices
    from rlstm_tf.runs.checkpoints import Checkpoints, restore, variables_of
    from rlstm_tf.runs.weights import initialize_from_run
    from rlstm_tf.training.state import Position

    checkpoints = Checkpoints(job.run.checkpoints)
    newest = checkpoints.load_newest()
    position, best = Position(), None
    if newest is not None:
        state, info, path = newest
        position, best = Position.of(info, path), info["best"]
        restore(variables_of(trainer.model, trainer.optimizer), state, path)
    elif values.init_from:
        print(initialize_from_run(values.init_from, trainer.model, values.model), flush=True)
    consistency.check_start(job.strategy, trainer.model, trainer.optimizer, position.to_info())
    if devices.worker(job.strategy).is_chief:
        checkpoints.clear()
        if newest is not None:
            checkpoints.set_aside_after(path)
            print(f"resumed from {job.copy.display_path(path)}", flush=True)
    return position, best


def _callbacks(
    values: absl_flags.FlagValues,
    job: _Job,
    trainer: Any,
    validation: Any,
    position: Any,
    best: float | None,
) -> tuple[list[Any], Callable[[], None]]:
    """The callbacks of this process, and what saves the run: only the chief writes."""
    from rlstm_tf.distributed import strategy as devices
    from rlstm_tf.runs.checkpoints import Checkpoints
    from rlstm_tf.summaries import assembly
    from rlstm_tf.training import callbacks

    if not devices.worker(job.strategy).is_chief:
        return [], position.settle
    checkpoints = Checkpoints(job.run.checkpoints, values.keep_checkpoints)
    every = flags.parse_save_every(values)
    hparams = {*values} - flags.CHANGEABLE - {"flagfile", "resume"} | {"epochs"}
    saving = callbacks.Saving(
        checkpoints, trainer.optimizer, position, best, *every, saved=lambda: _upload(job)
    )
    shown = assembly.callbacks(
        job.run.tensorboard,
        job.copy.display_path(job.run.path.resolve()),
        trainer.model,
        job.epochs,
        position,
        job.config,
        job.shards,
        validation,
        {name: flags.scalar_value(values, name) for name in hparams},
        flags.parse_profile_steps(values),
        steps_left=job.epochs.end(values.epochs - 1) - position.step,
    )
    return [
        callbacks.Progress(values.epochs, job.epochs, position),
        callbacks.History(job.run.history, position),
        *shown,
        # Last: what a run goes on from says that all of the others is written.
        saving,
    ], saving.save


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

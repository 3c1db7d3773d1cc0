"""A whole training: builds or restores the run, trains, saves.

Callbacks that write TensorBoard files are passed in, since `summaries` lies above this package.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from rlstm_tf.cached_maps.cached_maps import CachedMaps
from rlstm_tf.data import pipeline
from rlstm_tf.distributed.strategy import (
    any_worker,
    assert_same,
    current_worker,
    watch_workers,
)
from rlstm_tf.errors import DataError
from rlstm_tf.messages import say
from rlstm_tf.runs.checkpoints import Checkpoints
from rlstm_tf.runs.remote import LocalMirror
from rlstm_tf.training.batches import open_maps, training_batches
from rlstm_tf.training.callbacks import BestScores, CheckpointSaver, HistoryWriter, ProgressBar
from rlstm_tf.training.epochs import fit
from rlstm_tf.training.inputs import Inputs, check_workers, open_inputs
from rlstm_tf.training.preemption import StopRequest
from rlstm_tf.training.selection import best_epoch
from rlstm_tf.training.settings import TrainSettings
from rlstm_tf.training.start import build, restore
from rlstm_tf.training.state import SYNC_EVERY, TrainState
from rlstm_tf.training.validation import Validation, format_class_scores

_RESUME_HINT = "the same command with --resume resumes it"


@dataclass(frozen=True)
class Progress:
    """A training that is about to start, for callbacks.

    Attributes:
        inputs: its inputs.
        config: how frames are sampled, augmented and batched.
        model: the network.
        state: progress of the run, updated in place.
        validation: scores the validation set, if there is one.
        steps_left: steps to the end of the last epoch.
        maps: cached maps that take the place of frames, if any.
    """

    inputs: Inputs
    config: pipeline.InputConfig
    model: keras.Model
    state: TrainState
    validation: Validation | None
    steps_left: int
    maps: CachedMaps | None


MakeCallbacks = Callable[[Progress], list[keras.callbacks.Callback]]


def train(
    settings: TrainSettings, mirror: LocalMirror, stop: StopRequest, summaries: MakeCallbacks
) -> None:
    """Trains from the start or from the newest checkpoint, to the end or until stopped.

    Args:
        settings: the settings.
        mirror: the run's directory.
        stop: the request that ends the training early.
        summaries: creates further callbacks, in the chief only.

    Raises:
        UserError: an input, the run or the combination of settings is refused, or training fails.
    """
    inputs = open_inputs(settings, mirror)
    with watch_workers(inputs.strategy):
        check_workers(settings, inputs)
        _fit(settings, inputs, stop, summaries)


def _fit(
    settings: TrainSettings, inputs: Inputs, stop: StopRequest, summaries: MakeCallbacks
) -> None:
    keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.mixed_precision.set_global_policy(settings.precision)
    trainer, schedule = build(settings, inputs)
    # Writes, so it follows every check.
    _open_run(settings, inputs)
    state = restore(settings, inputs, trainer)
    maps = open_maps(settings, inputs, trainer.model)
    config, last_step = settings.input, inputs.epochs.end_step(settings.num_epochs - 1)
    validation = Validation(trainer, inputs.val, config, stop) if inputs.val else None
    left = last_step - state.step
    progress = Progress(inputs, config, trainer.model, state, validation, left, maps)
    callbacks, save = _callbacks(settings, progress, trainer.variables(), summaries)
    scores: Validation | BestScores | None = validation
    if validation and settings.patience:
        scores = BestScores(validation, state)
        callbacks.append(scores)
    # Closed here, not by the garbage collector: it is endless and prefetches in threads.
    with contextlib.closing(training_batches(inputs, config, state.step, maps)) as batches:
        stop.raise_immediately = False
        finished = fit(
            trainer,
            batches,
            epochs=inputs.epochs,
            num_epochs=settings.num_epochs,
            state=state,
            learning_rate=schedule,
            validate=validation,
            callbacks=callbacks,
            patience=settings.patience,
            should_stop=_should_stop(inputs.strategy, stop),
            on_stop=save,
        )
    if inputs.is_chief:
        inputs.upload()
        if finished and inputs.val and scores and scores.logits.size:
            say(*format_class_scores(inputs.val, scores.logits))
        if finished and settings.patience:
            _report_best(settings, state)
    # Also keeps a worker that finished first from looking lost to the others.
    assert_same(inputs.strategy, "steps taken", state.step)
    if not finished:
        _report_stop(stop, state.step)


def _report_best(settings: TrainSettings, state: TrainState) -> None:
    """Tells why training ended, and which epoch `--checkpoint` stands for from now on."""
    why = "the last epoch"
    if state.epoch < settings.num_epochs:
        why = f"epoch {state.epoch}, {settings.patience} without a better validation"
    best = best_epoch(state.history) or state.epoch
    say(f"ended after {why}; evaluation and export take epoch {best}, the best one")


def _report_stop(stop: StopRequest, step: int) -> None:
    where = f"after step {step}, which is saved"
    if not (stop.expired or stop.requested):
        raise DataError(f"another worker was asked to stop: all did, {where}; {_RESUME_HINT}")
    why = f"after --max_hours={stop.max_hours:g}" if stop.expired else "by SIGTERM"
    say(f"stopped {why} {where}; {_RESUME_HINT}")


def _open_run(settings: TrainSettings, inputs: Inputs) -> None:
    """Locks the run's directory, once for all workers."""
    if not inputs.is_chief:
        return
    shards, run = inputs.shards, inputs.run
    given, defaults = (
        {name: text for name, text in texts.items() if text and name != "resume"}
        for texts in (settings.flags, settings.default_flags)
    )
    run.open_for_training(
        given,
        defaults,
        shards.classes,
        shards.manifest.to_json(),
        resume=settings.resume,
    )
    counts = (len(shards), len(shards.samples), len(shards.classes), inputs.epochs.num_steps(0))
    say("{} videos, {} samples, {} classes, {} steps an epoch".format(*counts))
    logdir = inputs.mirror.display_path(run.tensorboard)
    say(f"TensorBoard: {shlex.join(['tensorboard', '--logdir', logdir])}")
    inputs.upload()


def _callbacks(
    settings: TrainSettings,
    progress: Progress,
    variables: Mapping[str, Any],
    summaries: MakeCallbacks,
) -> tuple[list[keras.callbacks.Callback], Callable[[], None]]:
    """Returns this process's callbacks, and a function that saves; only the chief writes."""
    inputs, state = progress.inputs, progress.state
    if not inputs.is_chief:
        return [], state.sync
    saver = CheckpointSaver(
        Checkpoints(inputs.run.checkpoints, settings.keep_checkpoints),
        variables,
        state,
        settings.save_steps,
        settings.save_seconds,
        on_saved=inputs.upload,
    )
    return [
        ProgressBar(settings.num_epochs, inputs.epochs, state),
        HistoryWriter(inputs.run.history, state),
        *summaries(progress),
        # Last: a checkpoint implies that the other callbacks' files are written.
        saver,
    ], saver.save


def _should_stop(strategy: tf.distribute.Strategy, stop: StopRequest) -> Callable[[int], bool]:
    """Returns a function of the step that gives the same answer in all workers."""
    if current_worker(strategy).count == 1:
        return lambda step: stop.expired or stop.requested

    def ask_all(step: int) -> bool:
        if step % SYNC_EVERY:
            return False
        # Clocks differ: the first deadline counts for all, who have the same flag.
        if stop.max_hours is not None and any_worker(strategy, stop.expired):
            stop.deadline = 0.0
        return stop.expired or any_worker(strategy, stop.requested)

    return ask_all

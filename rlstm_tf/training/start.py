"""The start of a training: its network and optimizer, and the weights that they start from."""

from __future__ import annotations

import dataclasses

import keras

from rlstm_tf.cached_maps.batches import take_maps, upper_network
from rlstm_tf.data.device_augmentation import make_preprocess
from rlstm_tf.distributed.consistency import assert_same_weights
from rlstm_tf.errors import UsageError
from rlstm_tf.messages import say
from rlstm_tf.models import build_model
from rlstm_tf.models.freezing import freeze_backbone
from rlstm_tf.runs import checkpoints as checkpoint_files
from rlstm_tf.runs.checkpoints import Checkpoints, named_variables
from rlstm_tf.runs.weights import backbone_weights, initialize_from_run
from rlstm_tf.training import optimizers
from rlstm_tf.training.averaging import WeightAverage
from rlstm_tf.training.inputs import Inputs, balanced_weights
from rlstm_tf.training.settings import TrainSettings
from rlstm_tf.training.state import TrainState
from rlstm_tf.training.trainer import Trainer


def build(
    settings: TrainSettings, inputs: Inputs
) -> tuple[Trainer, keras.optimizers.schedules.LearningRateSchedule]:
    """Builds network and optimizer, on the devices.

    Returns:
        Their trainer, and the schedule of the learning rate.

    Raises:
        UserError: the network, its weights or the combination of settings is refused.
    """
    config = settings.model
    if settings.init_from or inputs.run.has_checkpoint():
        # Other weights replace them, so do not download any.
        config = dataclasses.replace(config, weights="none")
    schedule = optimizers.make_schedule(
        settings.schedule,
        settings.learning_rate,
        drop_steps=[inputs.epochs.end_step(epoch - 1) for epoch in settings.drop_epochs],
        num_steps=inputs.epochs.end_step(settings.num_epochs - 1),
        warmup_steps=settings.warmup_steps,
    )
    with inputs.strategy.scope():
        model = build_model(config, len(inputs.shards.classes))
        freeze_backbone(model, settings.freeze)
        optimizer = optimizers.make_optimizer(
            settings.optimizer,
            schedule,
            settings.momentum,
            settings.weight_decay,
            model.trainable_variables,
            scale_loss=settings.precision == "mixed_float16",
        )
        momentum = settings.ema_momentum
        average = None if momentum is None else WeightAverage(model, momentum)
    upper = upper_network(model) if settings.cache else None
    weights = None
    if settings.class_weights == "balanced":
        shards = inputs.shards
        weights = balanced_weights(shards.samples["label"], len(shards.classes))
    trainer = Trainer(
        model,
        optimizer,
        inputs.strategy,
        weight_decay=settings.weight_decay if settings.optimizer == "sgd" else 0.0,
        accumulate=settings.accumulate,
        jit=settings.jit,
        seed=settings.seed,
        remat=settings.remat,
        clip_norm=settings.clip_norm,
        class_weights=weights,
        label_smoothing=settings.label_smoothing,
        average=average,
        pretrained_factor=settings.pretrained_factor,
        preprocess=make_preprocess(settings.input) if upper is None else take_maps(upper),
        upper=upper,
    )
    return trainer, schedule


def restore(settings: TrainSettings, inputs: Inputs, trainer: Trainer) -> TrainState:
    """Restores the newest checkpoint, or initializes the weights from another run.

    Args:
        settings: the settings.
        inputs: the inputs, whose run has been opened.
        trainer: from `build`.

    Returns:
        The progress of the run.

    Raises:
        DataError: a checkpoint cannot be read or is of another network, or workers differ.
        UsageError: no weight that is trained is pretrained, but has a rate of its own.
    """
    checkpoints = Checkpoints(inputs.run.checkpoints)
    newest = checkpoints.load_newest()
    state = TrainState()
    variables = trainer.variables()
    if newest is not None:
        arrays, info, path = newest
        state = TrainState.from_dict(info, path)
        checkpoint_files.restore(variables, arrays, path)
    else:
        pretrained = _initialize(settings, trainer.model)
        if inputs.is_chief and settings.freeze != "none" and _starts_random(settings):
            say(
                f"warning: --freeze={settings.freeze} keeps random weights: give --weights or "
                "--init_from",
                error=True,
            )
        if settings.pretrained_factor < 1:
            state.pretrained = pretrained
        if trainer.average:
            trainer.average.restart()
    trainable = {id(weight) for weight in trainer.model.trainable_variables}
    weights = named_variables(trainer.model)
    found = [weights[name] for name in state.pretrained]
    trainer.pretrained = [weight for weight in found if id(weight) in trainable]
    if settings.pretrained_factor < 1 and not trainer.pretrained:
        raise UsageError(
            f"--pretrained_factor={settings.pretrained_factor:g} has no effect: "
            f"--freeze={settings.freeze} leaves no pretrained layer to train"
        )
    assert_same_weights(inputs.strategy, variables, state.to_dict())
    if inputs.is_chief:
        checkpoints.clear()
        if newest is not None:
            checkpoints.set_aside_after(path)
            say(f"resumed from {inputs.mirror.display_path(path)}")
    return state


def _starts_random(settings: TrainSettings) -> bool:
    return settings.model.weights == "none" and not settings.init_from


def _initialize(settings: TrainSettings, model: keras.Model) -> list[str]:
    """Gives a network its first weights, if `build` has not; returns the pretrained ones' names."""
    if settings.init_from:
        report, text = initialize_from_run(settings.init_from, model, settings.model.model)
        say(text)
        return [*report.copied, *report.adapted]
    return [] if _starts_random(settings) else backbone_weights(model)

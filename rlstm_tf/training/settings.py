"""Settings of a training, free of flags and of TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlstm_tf.model_config import ModelConfig

if TYPE_CHECKING:
    from rlstm_tf.cached_maps.plan import CacheConfig
    from rlstm_tf.data.input_config import InputConfig


@dataclass(frozen=True)
class TrainSettings:
    """Options of a training: data, network, optimization and saving.

    Attributes:
        data: directory of the shards.
        val_subset: subset to score after each epoch, or `none`.
        init_from: directory of a run to initialize from, if any.
        resume: resume the run in its directory, if there is one.
        model: the network.
        input: how frames are sampled, augmented and batched.
        freeze: layers that are not trained, see `rlstm_tf.models.freezing.freeze_backbone`.
        cache: options of cached maps to train from, or None.
        strategy: name of a distribution strategy.
        num_epochs: epochs to train, including finished ones.
        optimizer: its name.
        learning_rate: rate of the first epoch.
        schedule, warmup_steps: see `rlstm_tf.training.optimizers.make_schedule`.
        drop_epochs: epochs after which the rate of `steps` is divided by 10.
        momentum, weight_decay: see `rlstm_tf.training.optimizers.make_optimizer`.
        accumulate, clip_norm, jit, label_smoothing, remat, seed: see
            `rlstm_tf.training.trainer.Trainer`.
        ema_momentum: see `rlstm_tf.training.averaging.WeightAverage`; None = no average.
        pretrained_factor: factor on the learning rate of the weights from `--weights` or
            `init_from`.
        class_weights: `none`, or `balanced` for `rlstm_tf.training.inputs.balanced_weights`.
        precision: Keras's dtype policy.
        deterministic: use deterministic operations only.
        patience: epochs without a better validation score after which training ends, or None.
        save_steps, save_seconds: interval between checkpoints within an epoch, or None.
        keep_checkpoints: number of newest checkpoints to keep.
        flags: `--name=value` of every flag of the command, empty where it has no value.
        default_flags: the same, of a command line without arguments.
    """

    data: str
    val_subset: str
    init_from: str | None
    resume: bool
    model: ModelConfig
    input: InputConfig
    freeze: str
    cache: CacheConfig | None
    strategy: str
    num_epochs: int
    optimizer: str
    learning_rate: float
    schedule: str
    drop_epochs: tuple[int, ...]
    warmup_steps: int
    label_smoothing: float
    ema_momentum: float | None
    pretrained_factor: float
    clip_norm: float | None
    momentum: float
    weight_decay: float
    accumulate: int
    jit: bool
    remat: bool
    seed: int
    class_weights: str
    precision: str
    deterministic: bool
    patience: int | None
    save_steps: int | None
    save_seconds: float | None
    keep_checkpoints: int
    flags: Mapping[str, str]
    default_flags: Mapping[str, str]

"""Flags that commands share, and what their texts mean. Imports nothing heavy.

The flags of a network are the options of `rlstm_tf.model_config.ModelConfig`. All defaults are the
paper's spatial stream (arXiv 1811.07059, sections 3 and 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from absl import flags

from rlstm_tf.choices import (
    CLASS_WEIGHTS,
    OPTIMIZERS,
    PRECISIONS,
    SCHEDULES,
    STRATEGIES,
)
from rlstm_tf.cli import freezing_flags, input_flags, parsing
from rlstm_tf.cli.flag_files import FlagValues
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import UsageError
from rlstm_tf.model_config import ModelConfig, Option

# May differ when a run is resumed; any other change would make it another run.
CHANGEABLE = {
    *("accumulate", "data", "deterministic", "epochs", "keep_checkpoints", "max_hours"),
    *("patience", "profile_steps", "remat", "run_dir", "save_every", "strategy"),
}
# --epochs may not change with this: a cosine ends with the last one.
COSINE = "--schedule=cosine"
# Less than float32 holds; a norm is multiplied by loss scales, and divided by.
_MAX_FLOAT, _MAX_NORM = 3e38, 1e30


def define_training(values: flags.FlagValues) -> None:
    """Defines the flags of a training: network, input, optimization, run."""
    define_options(values, ModelConfig.options())
    _define_embeddings(values)
    input_flags.define(values)
    _define_schedule(values)
    _define_loss(values)
    _define_optimization(values)
    _define_step(values)
    freezing_flags.define(values)
    _define_run(values)


def define_options(values: flags.FlagValues, options: Mapping[str, Option]) -> None:
    """Defines a flag for each option, with its default, help and bounds."""
    for name, option in options.items():
        own: dict[str, Any] = {"flag_values": values}
        if not option.flag:
            continue
        if option.choices:
            flags.DEFINE_enum(name, option.default, option.choices, option.help, **own)
        elif option.type is bool:
            flags.DEFINE_boolean(name, option.default, option.help, **own)
        elif option.path:
            define_path(name, option.default, option.help, **own)
        elif option.type is str:
            flags.DEFINE_string(name, option.default, option.help, **own)
        else:
            define: Any = flags.DEFINE_integer if option.type is int else flags.DEFINE_float
            define(name, option.default, option.help, option.minimum, option.maximum, **own)


def _define_embeddings(values: flags.FlagValues) -> None:
    """Defines the flag that flags.cfg of earlier runs hold; only its default is left."""
    flags.DEFINE_string("embeddings", "separate", "separate, the only value.", flag_values=values)
    flags.register_validator(
        "embeddings",
        lambda value: value == "separate",
        "shared embeddings were removed: each gate has its own theta and phi",
        flag_values=values,
    )


def _define_schedule(values: flags.FlagValues) -> None:
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_integer("epochs", 50, "Epochs to train.", 1, parsing.MAX_COUNT, **own)
    flags.DEFINE_float("learning_rate", 5e-4, "In the first epoch.", 0.0, _MAX_FLOAT, **own)
    flags.DEFINE_enum(
        "schedule",
        "steps",
        SCHEDULES,
        "Learning rate: steps, divided by 10 after --drop_epochs; cosine, falling to 0 over all "
        "--epochs.",
        **own,
    )
    help_text = "Divide the rate of --schedule=steps by 10 after these."
    flags.DEFINE_list("drop_epochs", ["35", "45"], help_text, **own)
    flags.DEFINE_integer(
        "warmup_steps", 0, "First steps, over which the rate rises.", 0, parsing.MAX_COUNT, **own
    )
    flags.DEFINE_float(
        "pretrained_factor",
        1.0,
        "Factor on the learning rate of the layers that --weights or --init_from gave.",
        0.0,
        1.0,
        **own,
    )


def _define_loss(values: flags.FlagValues) -> None:
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_float(
        "label_smoothing",
        0.0,
        "Share of each label that is spread evenly over all classes, as in Keras.",
        0.0,
        0.9,
        **own,
    )
    flags.DEFINE_enum(
        "class_weights",
        "none",
        CLASS_WEIGHTS,
        "balanced: weigh each training video by the inverse of its class's share; mean 1.",
        **own,
    )
    flags.register_multi_flags_validator(
        ["class_weights", "sampling"],
        lambda given: given["class_weights"] == "none" or given["sampling"] == "uniform",
        "rare classes would count twice: give one of the two",
        flag_values=values,
    )


def _define_optimization(values: flags.FlagValues) -> None:
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_float(
        "clip_norm",
        None,
        "Scale a step's gradients down to this norm, that of all weights together.",
        1e-9,
        _MAX_NORM,
        **own,
    )
    flags.DEFINE_float(
        "ema_momentum",
        None,
        "Average the weights over the steps with this momentum (0.999); the average is what is "
        "validated, evaluated and exported.",
        0.0,
        1.0,
        **own,
    )
    flags.DEFINE_enum(
        "optimizer",
        "sgd",
        OPTIMIZERS,
        "The paper's SGD, or one with decoupled weight decay.",
        **own,
    )
    flags.DEFINE_float("momentum", 0.9, "Momentum of sgd and sgdw.", 0.0, 1.0, **own)
    flags.DEFINE_float(
        "weight_decay",
        5e-4,
        "Weight decay of the kernels: L2 with sgd; with the others, a step subtracts this share "
        "times the learning rate.",
        0.0,
        _MAX_FLOAT,
        **own,
    )


def _define_step(values: flags.FlagValues) -> None:
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_integer(
        "accumulate",
        1,
        "Micro-batches per batch, processed in turn to save memory.",
        lower_bound=1,
        **own,
    )
    flags.DEFINE_boolean(
        "remat", False, "Recompute the trunk in the backward pass, to save memory.", **own
    )
    flags.DEFINE_enum("precision", "float32", PRECISIONS, "Keras dtype policy.", **own)
    flags.DEFINE_boolean("jit", False, "Compile the step with XLA; one device only.", **own)


def _define_run(values: flags.FlagValues) -> None:
    own: dict[str, Any] = {"flag_values": values}
    define_path("run_dir", None, "Directory of the run.", **own)
    define_path("init_from", None, "Run to initialize from: spatial stream or TSN.", **own)
    flags.register_multi_flags_validator(
        ["pretrained_factor", "weights", "init_from"],
        lambda given: (
            given["pretrained_factor"] == 1 or given["weights"] != "none" or given["init_from"]
        ),
        "no layer is pretrained: give --weights or --init_from",
        flag_values=values,
    )
    flags.DEFINE_boolean("resume", False, "Resume the run in --run_dir, if there is one.", **own)
    flags.DEFINE_enum(
        "strategy",
        "auto",
        STRATEGIES,
        "none: one device; auto, mirrored: all GPUs here; multi_worker: the machines in TF_CONFIG.",
        **own,
    )
    flags.DEFINE_string(
        "val_subset", "val", "Subset to score after each epoch: val, test, none.", **own
    )
    flags.DEFINE_integer(
        "patience",
        None,
        "End after this many epochs without a better validation; evaluation, export and "
        "--init_from then take the best epoch.",
        1,
        parsing.MAX_COUNT,
        **own,
    )
    flags.register_multi_flags_validator(
        ["patience", "val_subset"],
        lambda given: given["patience"] is None or given["val_subset"] not in ("none", "test"),
        "needs a set that is neither trained on nor the final test: --val_subset=val",
        flag_values=values,
    )
    flags.DEFINE_string(
        "save_every",
        None,
        "Steps (500) or minutes (10m) between checkpoints; each epoch ends with one anyway.",
        **own,
    )
    flags.DEFINE_list(
        "profile_steps",
        None,
        "First and last step to profile (10,20), counted from the start or from where it resumes.",
        **own,
    )
    flags.DEFINE_float(
        "max_hours", None, "Save and stop after these hours; --resume continues.", 1e-9, 1e6, **own
    )
    flags.DEFINE_integer(
        "keep_checkpoints", 3, "Number of newest checkpoints to keep.", lower_bound=1, **own
    )
    flags.DEFINE_boolean(
        "deterministic", False, "Bitwise equal runs, on GPUs too; slower there.", **own
    )


def parse_flagfiles(*paths: str) -> flags.FlagValues:
    """Returns the flags of a training that is started with these flag files.

    Raises:
        absl.flags.Error: a file is missing, or a flag in it is unknown or out of range.
    """
    values = FlagValues()
    define_training(values)
    values(["run", *(f"--flagfile={path}" for path in paths)])
    return values


def check_batch_size(batch_size: int, accumulate: int, replicas: int, mixup: float) -> None:
    """Raises UsageError if a batch cannot be divided into equal micro-batches on all replicas."""
    if mixup and batch_size % (2 * accumulate * replicas):
        raise UsageError(
            f"--mixup={mixup:g} mixes pairs: --batch_size={batch_size} must be a multiple of "
            f"2 x --accumulate={accumulate} x {replicas} replicas"
        )
    if batch_size % (accumulate * replicas):
        raise UsageError(
            f"--batch_size={batch_size} must be a multiple of "
            f"--accumulate={accumulate} x {replicas} replicas"
        )


def require(values: flags.FlagValues, *names: str) -> None:
    """Raises UsageError if one of these flags was not given."""
    for name in names:
        if values[name].value in (None, "", []):
            raise UsageError(f"--{name} must be given: {values[name].help}")


def check_local(values: flags.FlagValues, *names: str) -> None:
    """Raises UsageError if one of these flags names a store (`s3://...`)."""
    for name in names:
        value = values[name].value
        for path in value if isinstance(value, list) else [value or ""]:
            if "://" in path:
                raise UsageError(f"--{name}={path}: must be local")


def format_flags(values: flags.FlagValues, exclude: tuple[str, ...]) -> dict[str, str]:
    """Formats each flag that has a value as the `--name=value` that sets it again."""
    names = sorted(name for name in values if name not in exclude)
    texts = {name: values[name].serialize() for name in names}
    return {name: text for name, text in texts.items() if text}


def scalar_value(values: flags.FlagValues, name: str) -> bool | float | str | None:
    """Returns a flag's value; a list as its text."""
    value = values[name].value
    return ",".join(value) if isinstance(value, list) else value

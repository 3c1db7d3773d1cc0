"""Flags that entry points share, and what they mean to the modules below. Imports nothing heavy.

Defaults are the paper's spatial stream (arXiv 1811.07059, sections 3 and 4).
"""

from __future__ import annotations

from typing import Any

from absl import flags

from rlstm_tf.cli.flag_values import numbers
from rlstm_tf.errors import UsageError

BACKBONES = (
    *("densenet121", "efficientnet_b0", "inception_v3", "mobilenet", "mobilenet_v2"),
    *("resnet50", "resnet101", "resnet50v2", "resnet101v2", "resnet152v2"),
    *("tiny_resnetv2", "vgg16", "vgg19"),
)
MODELS = ("two_branch", "rlstm", "local", "tsn", "lstm", "convlstm")
PAIRWISE = ("embedded_gaussian", "dot_product", "concatenation")
EMBEDDINGS = ("separate", "shared")
LSTM_CELLS = ("standard", "layer_norm", "peephole")
BATCH_NORM = ("population", "batch", "frozen")
STREAMS = ("spatial", "temporal")
STRATEGIES = ("auto", "none", "mirrored", "multi_worker")
AUGMENT_ON = ("host", "device")
OPTIMIZERS = ("sgd", "sgdw", "adamw", "lamb")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# Flow fields of a snippet, in the paper.
FLOW_LENGTH = 10
# What may change when a run is continued; the rest would make it another run.
CHANGEABLE = {
    *("accumulate", "data", "deterministic", "epochs", "keep_checkpoints", "max_hours"),
    *("profile_steps", "remat", "run_dir", "save_every", "strategy"),
}
# More than any run has, and less than what 64 bits and float32 hold.
MOST, _LARGEST = 10**9, 3e38


def define_model(values: flags.FlagValues) -> None:
    """The network."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_enum(
        "model", "two_branch", MODELS, "The paper's, one of its parts, or a peer of it.", **own
    )
    flags.DEFINE_enum("backbone", "resnet101v2", BACKBONES, "Network to cut in two.", **own)
    flags.DEFINE_string(
        "cut", None, "Layer that ends the trunk; the backbone's own if unset.", **own
    )
    flags.DEFINE_string(
        "weights", "imagenet", "imagenet (fetched by Keras), none, or a file of weights.", **own
    )
    flags.DEFINE_integer("num_segments", 8, "T, snippets a video.", lower_bound=1, **own)
    flags.DEFINE_integer("image_size", 224, "Side of a frame, pixels.", lower_bound=32, **own)
    flags.DEFINE_integer(
        "units",
        None,
        "Channels of the recurrent state; half the trunk's if unset.",
        lower_bound=1,
        **own,
    )
    flags.DEFINE_float("dropout", 0.8, "Before the dense layer.", 0.0, 0.999, **own)
    flags.DEFINE_enum("pairwise", "embedded_gaussian", PAIRWISE, "f of eq. 2.", **own)
    flags.DEFINE_float("attention_scale", 1.0, "Factor on theta^T phi.", lower_bound=0.0, **own)
    flags.DEFINE_enum(
        "embeddings", "separate", EMBEDDINGS, "theta and phi of each gate, or of all four.", **own
    )
    flags.DEFINE_boolean(
        "bidirectional", False, "Half of the state from the last snippet to the first.", **own
    )
    flags.DEFINE_enum(
        "lstm_cell", "standard", LSTM_CELLS, "Of --model=lstm; others: tensorflow-addons.", **own
    )
    flags.DEFINE_enum("batch_norm", "population", BATCH_NORM, "Statistics while training.", **own)
    flags.DEFINE_float("batch_norm_momentum", 0.999, "Of the moving statistics.", 0.0, 1.0, **own)


def model_arguments(values: flags.FlagValues) -> dict[str, Any]:
    """Arguments of `rlstm_tf.models.build_model`, but for `num_classes`.

    Raises:
        UsageError: a cell of an LSTM is chosen for another network.
    """
    if values.lstm_cell != "standard" and values.model != "lstm":
        raise UsageError(f"--lstm_cell={values.lstm_cell} goes with --model=lstm")
    names = ("model", "backbone", "cut", "weights", "num_segments", "image_size", "dropout")
    recurrence = (
        "units",
        "pairwise",
        "attention_scale",
        "embeddings",
        "bidirectional",
        "lstm_cell",
    )
    arguments = {name: values[name].value for name in (*names, *recurrence)}
    arguments["statistics"] = values.batch_norm
    arguments["momentum"] = values.batch_norm_momentum
    arguments["channels"] = 3 if values.stream == "spatial" else 2 * new_length(values)
    return arguments


def define_input(values: flags.FlagValues) -> None:
    """The frames."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_string("data", None, "Directory of shards, by tfrecords_tools.build.", **own)
    flags.DEFINE_enum("stream", "spatial", STREAMS, "RGB images, or optical flow.", **own)
    flags.DEFINE_integer(
        "new_length",
        None,
        f"Flow fields a snippet, temporal stream only; {FLOW_LENGTH} if unset.",
        lower_bound=1,
        **own,
    )
    flags.DEFINE_integer("batch_size", 24, "Videos a step, on all devices.", lower_bound=1, **own)
    flags.DEFINE_list(
        "crop_scales", ["1", "0.875", "0.75", "0.66"], "Crop sides, of the short side.", **own
    )
    flags.DEFINE_boolean(
        "flip", True, "Mirror half of the training videos; not where left and right matter.", **own
    )
    flags.DEFINE_enum(
        "augment_on",
        "host",
        AUGMENT_ON,
        "Where training frames are cropped and resized: device leaves decoding alone to the host.",
        **own,
    )
    flags.DEFINE_integer("seed", 0, "Of everything random.", 0, 2**32 - 1, **own)


def input_arguments(values: flags.FlagValues) -> dict[str, Any]:
    """Arguments of `rlstm_tf.data.pipeline.InputConfig`.

    Raises:
        UsageError: a crop scale that is no number in (0, 1], or --new_length without flow.
    """
    names = ("num_segments", "image_size", "batch_size", "flip", "seed", "augment_on")
    arguments = {name: values[name].value for name in names}
    arguments["crop_scales"] = numbers("crop_scales", values.crop_scales, float, 1e-6, 1.0)
    arguments["stream"], arguments["new_length"] = values.stream, new_length(values)
    return arguments


def new_length(values: flags.FlagValues) -> int:
    """Stored images of a snippet: one, or the flow fields.

    Raises:
        UsageError: --new_length is given for the spatial stream.
    """
    if values.stream == "temporal":
        return values.new_length or FLOW_LENGTH
    if values.new_length is not None:
        raise UsageError(
            f"--new_length={values.new_length} goes with --stream=temporal: "
            "a snippet of the spatial stream is one image"
        )
    return 1


def define_training(values: flags.FlagValues) -> None:
    """The run."""
    define_model(values)
    define_input(values)
    _define_steps(values)
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_string("run_dir", None, "Directory of the run.", **own)
    flags.DEFINE_string(
        "init_from", None, "Directory of a trained run to start from: spatial, or TSN.", **own
    )
    flags.DEFINE_boolean("resume", False, "Continue the run in run_dir if there is one.", **own)
    flags.DEFINE_enum(
        "strategy",
        "auto",
        STRATEGIES,
        "Devices: one, all GPUs of this machine, or of all machines in TF_CONFIG; auto = all GPUs.",
        **own,
    )
    flags.DEFINE_string("val_subset", "val", "Scored after each epoch: val, test or none.", **own)
    flags.DEFINE_integer(
        "accumulate",
        1,
        "Parts of a batch, one after the other, to save memory.",
        lower_bound=1,
        **own,
    )
    flags.DEFINE_boolean(
        "remat", False, "Compute the trunk again in the backward pass, to save memory.", **own
    )
    flags.DEFINE_enum("precision", "float32", PRECISIONS, "Keras policy of the network.", **own)
    flags.DEFINE_boolean("jit", False, "Compile the step with XLA; one device.", **own)
    flags.DEFINE_string(
        "save_every",
        None,
        "A checkpoint after so many steps (500) or minutes (10m); epoch ends have one anyway.",
        **own,
    )
    flags.DEFINE_list(
        "profile_steps",
        None,
        "Profile from this to that step (10,20), counted from where the run starts or goes on.",
        **own,
    )
    flags.DEFINE_float(
        "max_hours", None, "Stop after so many, saved: --resume goes on.", 1e-9, 1e6, **own
    )
    flags.DEFINE_integer("keep_checkpoints", 3, "Newest ones kept.", lower_bound=1, **own)
    flags.DEFINE_boolean(
        "deterministic", False, "The same numbers in every run, on GPUs too; slower there.", **own
    )


def _define_steps(values: flags.FlagValues) -> None:
    """How the weights are changed, and for how long."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_integer("epochs", 50, "Epochs.", 1, MOST, **own)
    flags.DEFINE_float("learning_rate", 5e-4, "Of the first epoch.", 0.0, _LARGEST, **own)
    flags.DEFINE_list("drop_epochs", ["35", "45"], "Divide the rate by 10 after these.", **own)
    flags.DEFINE_enum(
        "optimizer", "sgd", OPTIMIZERS, "The paper's, or one of decoupled weight decay.", **own
    )
    flags.DEFINE_float("momentum", 0.9, "Of SGD (sgd, sgdw).", 0.0, 1.0, **own)
    flags.DEFINE_float(
        "weight_decay",
        5e-4,
        "Of the kernels: L2 with sgd; with the others the share, times the learning rate, that a "
        "step takes away.",
        0.0,
        _LARGEST,
        **own,
    )


def check_batch(values: flags.FlagValues, replicas: int) -> None:
    """Refuses a batch that cannot be divided evenly.

    Raises:
        UsageError: it cannot.
    """
    if values.batch_size % (values.accumulate * replicas):
        raise UsageError(
            f"--batch_size={values.batch_size} is no multiple of --accumulate={values.accumulate} "
            f"x {replicas} replicas"
        )


def drop_epochs(values: flags.FlagValues) -> tuple[int, ...]:
    """Epochs after which the learning rate falls.

    Raises:
        UsageError: one is no whole number, or they do not rise.
    """
    epochs = numbers("drop_epochs", values.drop_epochs, int, 1, MOST)
    if list(epochs) != sorted(set(epochs)):
        raise UsageError(f"--drop_epochs={','.join(values.drop_epochs)}: must rise")
    return epochs


def of_files(*paths: str) -> flags.FlagValues:
    """The flags of a training that is started with these flag files.

    Raises:
        absl.flags.Error: a file is missing or does not fit.
    """
    values = flags.FlagValues()
    define_training(values)
    values(["run", *(f"--flagfile={path}" for path in paths)])
    return values

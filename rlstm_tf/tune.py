"""Searches for settings with keras-tuner; each trial is a training by `rlstm_tf.train`.

    python -m rlstm_tf.tune --flagfile=configs/demo.cfg --tuner=bayesian --output=runs/search

Takes all flags of a training, varies those in --search, and scores each trial by its last
validation. Writes into --output: trials.csv; best.cfg, for `rlstm_tf.train --flagfile`;
trials/NNNN, the run of each trial; TensorBoard: --logdir OUTPUT/trials. The same command resumes a
search that was stopped in any way, even by kill -9. Needs the extra `tune`.
"""

from __future__ import annotations

import hashlib
import shlex
import statistics
from typing import Any

from absl import flags as absl_flags

from rlstm_tf.cli import app, flags, freezing_flags, input_flags, parsing
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import UsageError
from rlstm_tf.messages import say
from rlstm_tf.training import preemption

TUNERS = ("hyperband", "bayesian", "random")
_TRIALS = 20
# Flags that may change when a search is resumed. `search` and `epochs` are compared as parsed.
_CHANGEABLE = {
    *flags.CHANGEABLE,
    *("flagfile", "max_epochs", "max_trials", "output", "resume", "search"),
}


def define_flags(values: absl_flags.FlagValues) -> None:
    """Defines the flags of a training and those of a search."""
    flags.define_training(values)
    own: dict[str, Any] = {"flag_values": values}
    absl_flags.DEFINE_enum("tuner", "hyperband", TUNERS, "Search method.", **own)
    define_path("output", None, "Directory of the search.", **own)
    absl_flags.DEFINE_list(
        "search",
        [],
        "Settings to vary, NAME, NAME=LOW:HIGH or NAME=A|B|C each. Default: all of the model's: "
        "learning_rate, dropout, weight_decay, batch_norm_momentum, attention_scale, num_segments, "
        "units.",
        **own,
    )
    absl_flags.DEFINE_integer(
        "max_trials",
        None,
        f"Trials of random and bayesian; {_TRIALS} if unset.",
        lower_bound=1,
        **own,
    )
    absl_flags.DEFINE_integer(
        "max_epochs",
        None,
        "Epochs of Hyperband's longest trials; --epochs if unset.",
        lower_bound=1,
        **own,
    )
    absl_flags.DEFINE_integer(
        "factor",
        3,
        "Hyperband continues one in FACTOR trials, for FACTOR times the epochs.",
        lower_bound=2,
        **own,
    )


def main(values: absl_flags.FlagValues) -> int | None:
    """Runs a search, or resumes one."""
    flags.require(values, "data", "output")
    flags.check_local(values, "output", "init_from")
    for check in (
        input_flags.arguments,
        parsing.parse_drop_epochs,
        parsing.parse_save_every,
        freezing_flags.check_cache,
        _check_flags,
    ):
        check(values)
    with preemption.handle_sigterm():
        try:
            app.load_tensorflow()
            with app.importing_extra("tune", "keras_tuner"):
                from rlstm_tf.tuning import search
            from rlstm_tf.tuning.directory import SearchDirectory

            plan, started_with = _plan(values)
            unset = absl_flags.FlagValues()
            define_flags(unset)
            directory = SearchDirectory(values.output)
            with directory.open(started_with, flags.format_flags(unset, ())):
                best = search.run(plan, directory)
            say(f"best: trial {best.number}, {plan.objective} {best.score:.4f}, see")
            command = ["python", "-m", "rlstm_tf.train", f"--flagfile={directory.best}"]
            say(f"  {shlex.join(command)}")
        except (preemption.Stopped, KeyboardInterrupt) as error:
            by = "Ctrl-C" if isinstance(error, KeyboardInterrupt) else "SIGTERM"
            say(f"stopped by {by}: the same command resumes it")
            return app.INTERRUPTED if isinstance(error, KeyboardInterrupt) else None
    return None


def _check_flags(values: absl_flags.FlagValues) -> None:
    """Refuses flags that a search, or this tuner, cannot use."""
    if values.val_subset in ("none", "test"):
        reason = "cannot score a trial" if values.val_subset == "none" else "is for the final test"
        raise UsageError(
            f"--val_subset={values.val_subset} {reason}: give --val_subset=val, which "
            "tfrecords_tools.build --val_share=0.1 takes from the training videos"
        )
    if values.patience:
        raise UsageError(f"--patience={values.patience}: a search trains all epochs of a trial")
    if values.strategy == "multi_worker":
        raise UsageError("--strategy=multi_worker: a search runs on one machine")
    if values.profile_steps:
        given = ",".join(values.profile_steps)
        raise UsageError(
            f"--profile_steps={given}: it would profile every trial; give it to rlstm_tf.train"
        )
    hyperband = values.tuner == "hyperband"
    unused = "max_trials" if hyperband else "max_epochs"
    if values[unused].present:
        raise UsageError(f"--{unused} has no effect with --tuner={values.tuner}")
    if hyperband and values.schedule == "cosine":
        raise UsageError(
            f"{flags.COSINE} ends with the epochs of a training, and Hyperband prolongs some: "
            "give --tuner=random or bayesian"
        )


def _plan(values: absl_flags.FlagValues) -> tuple[Any, dict[str, str]]:
    """Returns the plan, and what identifies the search. Reads the shards, writes nothing."""
    from rlstm_tf.data import pipeline
    from rlstm_tf.data.shards import Shards
    from rlstm_tf.models.backbone import check_image_size
    from rlstm_tf.tuning.oracle import Plan
    from rlstm_tf.tuning.space import search_space

    check_image_size(values.backbone, values.image_size)
    config = pipeline.InputConfig(**input_flags.arguments(values))
    shards, val = (Shards.open(values.data, name) for name in ("train", values.val_subset))
    for subset in (shards, val):
        pipeline.check_shards(subset, config)
    space = search_space(
        values.search,
        {name: values[name].value for name in ("model", "batch_norm", "num_segments")},
        lambda: _channels(values),
        int(statistics.median(shards.num_frames.tolist())) // config.new_length,
        lambda name, text: values[name].parser.parse(text),
    )
    epochs = values.max_epochs or values.epochs
    training = absl_flags.FlagValues()
    flags.define_training(training)
    given = flags.format_flags(values, ("flagfile", "resume", "run_dir"))
    plan = Plan(
        tuner=values.tuner,
        space=space,
        flags={name: text for name, text in given.items() if name in training},
        objective="val_map" if shards.manifest.multi_label else "val_accuracy",
        epochs=epochs,
        seed=values.seed,
        max_trials=values.max_trials or _TRIALS,
        factor=values.factor,
    )
    drops = parsing.parse_drop_epochs(values)
    if drops and drops[0] >= epochs:
        say(f"note: no trial reaches epoch {drops[0]}, the first of --drop_epochs")
    started_with = {name: text for name, text in given.items() if name not in _CHANGEABLE}
    started_with["epochs"] = f"--epochs={epochs}"
    started_with["search"] = "--search=" + ",".join(f"{name}={space[name]}" for name in space)
    digest = hashlib.sha256(shards.manifest.to_json().encode()).hexdigest()
    started_with["records"] = f"shards whose manifest's sha256 is {digest}"
    return plan, started_with


def _channels(values: absl_flags.FlagValues) -> int:
    """Returns the number of channels of the trunk's maps."""
    import tensorflow as tf

    from rlstm_tf.models.backbone import build_backbone

    # Leaves all GPUs to the trials.
    tf.config.set_visible_devices([], "GPU")
    trunk = build_backbone(values.backbone, values.cut, "none", values.image_size).trunk
    return trunk.output_shape[-1]


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

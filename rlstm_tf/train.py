"""Trains a network on a directory of shards.

    python -m rlstm_tf.train --flagfile=configs/demo.cfg

Writes checkpoints, history.csv, TensorBoard files and flags.cfg, the flagfile that repeats the run,
to --run_dir. If that is in a store (s3://...), new files are uploaded after each checkpoint.
"""

from __future__ import annotations

from typing import Any

from absl import flags as absl_flags

from rlstm_tf.cli import app, flags, freezing_flags, input_flags, parsing
from rlstm_tf.messages import say
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.runs.remote import local_mirror
from rlstm_tf.training import preemption
from rlstm_tf.training.settings import TrainSettings

define_flags = flags.define_training


def main(values: absl_flags.FlagValues) -> None:
    """Trains, from the start or from the newest checkpoint."""
    flags.require(values, "data", "run_dir")
    settings, profiled_steps = _settings(values), parsing.parse_profile_steps(values)
    names = {*values} - flags.CHANGEABLE - {"flagfile", "resume"} | {"epochs"}
    hparams = {name: flags.scalar_value(values, name) for name in names}
    with preemption.handle_sigterm(values.max_hours) as stop:
        try:
            app.load_tensorflow()
            from rlstm_tf.summaries import assembly
            from rlstm_tf.training import loop

            def summaries(progress: loop.Progress) -> list:
                return assembly.callbacks(progress, hparams, profiled_steps)

            with local_mirror(values.run_dir, exclude=("evaluation",)) as mirror:
                loop.train(settings, mirror, stop, summaries)
        except preemption.Stopped:
            say("stopped by SIGTERM before the first step")


def _settings(values: absl_flags.FlagValues) -> TrainSettings:
    # Here, so that --help does not load OpenCV.
    from rlstm_tf.cached_maps.plan import CacheConfig
    from rlstm_tf.data.input_config import InputConfig

    same = (
        *("accumulate", "class_weights", "clip_norm", "data", "deterministic", "ema_momentum"),
        *("init_from", "jit", "keep_checkpoints", "label_smoothing", "learning_rate"),
        *("momentum", "optimizer", "patience", "precision", "pretrained_factor", "remat", "resume"),
        *("schedule", "seed", "strategy", "val_subset", "warmup_steps", "weight_decay"),
    )
    arguments: dict[str, Any] = {name: values[name].value for name in same}
    freezing_flags.check_cache(values)
    cache = None
    if values.cache_maps:
        flags.check_local(values, "cache_maps")
        cache = CacheConfig(values.cache_maps, tuple(values.cache_views), values.cache_frames)
    save_steps, save_seconds = parsing.parse_save_every(values)
    return TrainSettings(
        **arguments,
        model=ModelConfig.from_flags(values),
        freeze=parsing.parse_freeze(values),
        cache=cache,
        input=InputConfig(**input_flags.arguments(values)),
        num_epochs=values.epochs,
        drop_epochs=parsing.parse_drop_epochs(values),
        save_steps=save_steps,
        save_seconds=save_seconds,
        flags=_texts(values),
        default_flags=_texts(flags.parse_flagfiles()),
    )


def _texts(values: absl_flags.FlagValues) -> dict[str, str]:
    texts = flags.format_flags(values, ("flagfile",))
    return {name: texts.get(name, "") for name in sorted(values) if name != "flagfile"}


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

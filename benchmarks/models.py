"""Training steps of the networks, compared.

    python -m benchmarks.models [--backbone=resnet50v2 --batch_size=1]

Compares the paper's network with TSN on the same backbone and frames; the ratio of their steps
should be within 10 % of the ratio of their multiply-adds. Then measures time and memory of --remat,
and, on the demo's network, --jit, --precision=mixed_bfloat16, and several steps in one call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from absl import flags as absl_flags

from benchmarks.machine import peak_resident, print_heading, resident
from benchmarks.processes import printed
from benchmarks.timing import fastest, print_ratio
from rlstm_tf.cli import app, flags
from rlstm_tf.model_config import ModelConfig

OF_MULTIPLY_ADDS = 0.9
STEPS = 8
# Memory is measured with a larger batch: with one video, the gradients of the weights dominate.
TIMES_THE_BATCH = 4


def define_flags(values: absl_flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    absl_flags.DEFINE_string("backbone", "resnet50v2", "Backbone of the large networks.", **own)
    absl_flags.DEFINE_integer("image_size", 224, "Side of a frame, pixels.", 32, **own)
    absl_flags.DEFINE_integer("batch_size", 1, "Videos per step of the large networks.", 1, **own)
    absl_flags.DEFINE_integer("rounds", 3, "Timed rounds.", 1, **own)
    absl_flags.DEFINE_enum(
        "only", None, ["plain", "remat"], "Prints the memory of one step only.", **own
    )


def main(values: absl_flags.FlagValues) -> None:
    """Measures and prints."""
    app.load_tensorflow()
    if values.only:
        step, _ = _large(values, "two_branch", remat=values.only == "remat")
        before = resident()
        step()
        print(peak_resident() - before)
        return
    print_heading("models")
    _networks(values)
    _demo(values.rounds)


def _networks(values: absl_flags.FlagValues) -> None:
    """Compares the two-branch network with TSN, and --remat."""
    from rlstm_tf.models.cost import multiply_adds

    plain, two_branch = _large(values, "two_branch")
    again, _ = _large(values, "two_branch", remat=True)
    tsn_step, tsn = _large(values, "tsn")
    times = fastest({"tsn": tsn_step, "two_branch": plain, "remat": again}, values.rounds)
    seconds = {name: time.elapsed for name, time in times.items()}
    slower = seconds["two_branch"] / seconds["tsn"]
    more = multiply_adds(two_branch) / multiply_adds(tsn)
    print(
        f"{values.backbone}, {values.image_size}x{values.image_size}, T = 8, "
        f"batch {values.batch_size}: "
        + ", ".join(f"{name} {seconds[name]:.2f} s" for name in seconds)
    )
    print_ratio("step of two_branch / tsn", slower)
    print_ratio("multiply-adds of two_branch / tsn", more)
    print_ratio("multiply-adds / step", more / slower, OF_MULTIPLY_ADDS)
    print_ratio("--remat: time / time without", seconds["remat"] / seconds["two_branch"])
    peaks = {name: _peak(values, name) for name in ("plain", "remat")}
    print_ratio("--remat: memory / memory without", peaks["remat"] / peaks["plain"])
    print(
        f"  peak above the weights: {peaks['plain']:.2f} GB, with --remat {peaks['remat']:.2f} GB"
    )


def _peak(values: absl_flags.FlagValues, name: str) -> float:
    """Measures a step in a separate process minus the memory before, gigabytes."""
    command = [sys.executable, "-m", "benchmarks.models", f"--only={name}"]
    command += [f"--{option}={values[option].value}" for option in ("backbone", "image_size")]
    command.append(f"--batch_size={TIMES_THE_BATCH * values.batch_size}")
    return float(printed(command)[-1]) / 1e9


def _large(values: absl_flags.FlagValues, model: str, remat: bool = False) -> tuple[Any, Any]:
    """Returns a training step and its network, with the paper's configuration."""
    settings: Any = flags.parse_flagfiles("configs/base.cfg")
    settings.weights, settings.model = "none", model
    settings.backbone, settings.image_size = values.backbone, values.image_size
    trainer = trainer_of(settings, 101, remat=remat)
    return _step(trainer, random_batch(trainer, values.batch_size, 101)), trainer.model


def _demo(rounds: int) -> None:
    """Compares options that may speed up a step of the demo's network."""
    import keras

    settings: Any = flags.parse_flagfiles("configs/demo.cfg")
    trainer = trainer_of(settings, 8)
    batch = random_batch(trainer, settings.batch_size, 8)
    runs = {"single": _step(trainer, batch, STEPS), "several per call": _fused(trainer, batch)}
    runs["jit"] = _step(trainer_of(settings, 8, jit=True), batch, STEPS)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        runs["bfloat16"] = _step(trainer_of(settings, 8), batch, STEPS)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    times = fastest(runs, rounds)
    one = times["single"]
    print(f"demo, batch {settings.batch_size}: {one.elapsed / STEPS:.3f} s per step")
    for name in ("several per call", "jit", "bfloat16"):
        print_ratio(name, one.elapsed / times[name].elapsed)
    print_ratio("several per call, core time", one.of_cores / times["several per call"].of_cores)


def trainer_of(settings: Any, num_classes: int, **options: Any) -> Any:
    """Makes a trainer of the network of some flags, with untrained weights."""
    import keras
    import tensorflow as tf

    from rlstm_tf.models import build_model
    from rlstm_tf.training import optimizers
    from rlstm_tf.training.trainer import Trainer

    keras.utils.set_random_seed(0)
    model = build_model(ModelConfig.from_flags(settings), num_classes)
    optimizer = optimizers.sgd(settings.learning_rate, 0.9, model.trainable_variables)
    strategy = tf.distribute.get_strategy()
    return Trainer(model, optimizer, strategy, settings.weight_decay, **options)


def random_batch(trainer: Any, size: int, num_classes: int) -> dict[str, Any]:
    """Returns random frames for a trainer's network, and labels."""
    import tensorflow as tf

    shape = (size, *trainer.model.input_shape[1:])
    frames = tf.random.uniform(shape, 0, 255, tf.int32, seed=0)
    return {"frames": tf.cast(frames, tf.uint8), "label": tf.range(size) % num_classes}


def _step(trainer: Any, batch: dict[str, Any], steps: int = 1) -> Callable[[], Any]:
    def run() -> None:
        for _ in range(steps):
            loss, _ = trainer.train_step(batch)
        float(loss)

    return run


def _fused(trainer: Any, batch: dict[str, Any]) -> Callable[[], Any]:
    """Returns a call that runs `STEPS` steps in a loop of the graph."""
    import tensorflow as tf

    @tf.function
    def several(step: Any) -> Any:
        loss = tf.constant(0.0)
        for k in tf.range(STEPS):
            loss, _ = trainer._replica_step(batch, step + tf.cast(k, tf.int64))
        return loss

    return lambda: float(several(tf.constant(trainer.step, tf.int64)))


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

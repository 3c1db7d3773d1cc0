"""Training above a frozen trunk, from frames and from cached maps.

    python -m benchmarks.cached_maps [--model=tsn --videos=DIR]

Videos a second of input and step, of the same network with the same frozen trunk: from shards, and
from the cache of its maps, which is made before. Also the share of the trunk in the step from
frames; from the cache there is none. Candidates take turns, and the best turn of each counts.
Ratios are of processor time, so that other load on the machine does not count. Target: 10 times.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from absl import flags as absl_flags

from benchmarks.input import build_shards
from benchmarks.machine import print_heading
from benchmarks.timing import fastest, print_ratio
from rlstm_tf.choices import BACKBONES, MODELS
from rlstm_tf.cli import app
from rlstm_tf.cli.paths import define_path

TIMES_AS_FAST = 10.0
_NUM_CLASSES = 21


def define_flags(values: absl_flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    define_path("videos", None, "Videos, a folder per class; made if unset.", **own)
    absl_flags.DEFINE_enum("model", "two_branch", MODELS, "Network.", **own)
    absl_flags.DEFINE_enum("backbone", "mobilenet_v2", BACKBONES, "Its backbone.", **own)
    absl_flags.DEFINE_string("cut", None, "Last layer of the trunk.", **own)
    absl_flags.DEFINE_integer("units", None, "Channels of the recurrent state.", 1, **own)
    absl_flags.DEFINE_integer("image_size", 224, "Side of a frame, pixels.", 32, **own)
    absl_flags.DEFINE_integer("batch_size", 16, "Videos per step.", 1, **own)
    absl_flags.DEFINE_integer("steps", 10, "Steps of a turn from maps; one from frames.", 1, **own)
    absl_flags.DEFINE_integer("rounds", 2, "Timed turns of each.", 1, **own)


def main(values: absl_flags.FlagValues) -> None:
    """Makes shards and a cache, measures and prints."""
    print_heading("cached maps")
    app.load_tensorflow()
    with tempfile.TemporaryDirectory() as directory:
        videos = values.videos
        if not videos:
            from benchmarks.clips import write_clips

            videos = os.path.join(directory, "videos")
            write_clips(videos, values.batch_size, 40)
        data = build_shards(videos, os.path.join(directory, "shards"), ())
        with contextlib.ExitStack() as stack:
            _measure(values, data, stack)


def _measure(values: absl_flags.FlagValues, data: str, stack: contextlib.ExitStack) -> None:
    import tensorflow as tf

    from rlstm_tf.cached_maps import batches as batches_of_maps
    from rlstm_tf.cached_maps.builder import open_cache
    from rlstm_tf.cached_maps.plan import CacheConfig
    from rlstm_tf.data import pipeline
    from rlstm_tf.data.shards import Shards

    shards = Shards.open(data, "train")
    size = values.batch_size
    config = pipeline.InputConfig(batch_size=size, image_size=values.image_size)
    trainer = _trainer(values)
    maps = open_cache(trainer.model, shards, config, CacheConfig("auto"), data)
    from_maps = _trainer(values)
    from_maps.upper = batches_of_maps.upper_network(from_maps.model)
    from_maps.preprocess = batches_of_maps.take_maps(from_maps.upper)

    def batches(dataset: Any) -> Iterator[Any]:
        return stack.enter_context(contextlib.closing(pipeline.iterate(dataset, shards)))

    frames = batches(pipeline.training_batches(shards, config))
    cached = batches(batches_of_maps.training_batches(maps))
    model = trainer.model
    images = tf.reshape(next(frames)["frames"], (-1, *model.get_layer("trunk").input_shape[1:]))
    trunk = tf.function(lambda x: model.get_layer("trunk")(model.get_layer("scale")(x)))
    batch = next(frames)
    times = fastest(
        {
            "frames": _steps(trainer, frames, 1),
            "maps": _steps(from_maps, cached, values.steps),
            "step": lambda: float(trainer.train_step(batch)[0]),
            "trunk": lambda: trunk(images).numpy(),
        },
        values.rounds,
    )
    seconds = {name: time.of_cores for name, time in times.items()}
    seconds["maps"] /= values.steps
    elapsed = times["frames"].elapsed, times["maps"].elapsed / values.steps
    print(
        f"{values.model} on {values.backbone}, cut at {maps_of(model)}, "
        f"{values.image_size} pixels, T = 8, batch {size}; videos a second of processor time: "
        f"{size / seconds['frames']:.1f} from frames, {size / seconds['maps']:.1f} from maps"
    )
    print_ratio("from maps / from frames", seconds["frames"] / seconds["maps"], TIMES_AS_FAST)
    print_ratio("the same, wall time", elapsed[0] / elapsed[1])
    print_ratio("share of the trunk in a step from frames", seconds["trunk"] / seconds["step"])


def maps_of(model: Any) -> str:
    """Returns the layer that a network is cut at, and the size of its maps."""
    trunk = model.get_layer("trunk")
    return f"{trunk.layers[-1].name} {list(trunk.output_shape[1:])}"


def _steps(trainer: Any, batches: Iterator[Any], count: int) -> Callable[[], Any]:
    def run() -> None:
        for _ in range(count):
            loss, _ = trainer.train_step(next(batches))
        float(loss)

    return run


def _trainer(values: absl_flags.FlagValues) -> Any:
    import keras
    import tensorflow as tf

    from rlstm_tf.model_config import ModelConfig
    from rlstm_tf.models import build_model
    from rlstm_tf.models.freezing import freeze_backbone
    from rlstm_tf.training import optimizers
    from rlstm_tf.training.trainer import Trainer

    keras.utils.set_random_seed(0)
    config = ModelConfig(
        model=values.model,
        backbone=values.backbone,
        cut=values.cut,
        units=values.units,
        weights="none",
        image_size=values.image_size,
    )
    model = build_model(config, _NUM_CLASSES)
    freeze_backbone(model, "trunk")
    optimizer = optimizers.sgd(1e-3, 0.9, model.trainable_variables)
    return Trainer(model, optimizer, tf.distribute.get_strategy())


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

"""Trains a network with Keras alone: compile, fit, ModelCheckpoint, load_model.

    python examples/compile_and_fit.py --data=data/demo/records --output=runs/fit.keras

docs/fit.md compares this with rlstm_tf.train.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import keras

from rlstm_tf.choices import MODELS
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.pairs import evaluation_pairs, training_pairs
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import UserError
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import build_model


def main(arguments: Sequence[str] | None = None) -> dict[str, list[float]]:
    """Trains, then tests the epoch that was best on the validation set.

    Returns:
        `loss`, `accuracy`, `val_loss` and `val_accuracy` of each epoch, `test_loss` and
        `test_accuracy` of the best one.
    """
    options = _parse(arguments)
    network = ModelConfig(
        model=options.model,
        backbone="tiny_resnetv2",
        cut="conv4_block1_out",
        weights="none",
        image_size=options.image_size,
        num_segments=options.num_segments,
        batch_norm="batch",
        batch_norm_momentum=0.9,
        attention_scale=0.18,
        attention_norm=True,
        local_term=True,
        dropout=0.0,
    )
    frames = InputConfig(
        batch_size=options.batch_size,
        image_size=options.image_size,
        num_segments=options.num_segments,
        crop_scales=(1, 0.875),
        flip=False,
        seed=options.seed,
    )
    train, val, test = (Shards.open(options.data, name) for name in ("train", "val", "test"))
    pairs = training_pairs(train, frames)
    steps = len(train.samples) // frames.batch_size

    keras.utils.set_random_seed(options.seed)
    model = build_model(network, num_classes=len(train.classes))
    rate = keras.optimizers.schedules.CosineDecay(options.learning_rate, options.epochs * steps)
    model.compile(
        optimizer=keras.optimizers.SGD(rate, momentum=0.9, global_clipnorm=5.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        # Keras 3 compiles with XLA by default, which takes long for an unrolled LSTM.
        jit_compile=False,
    )
    history = model.fit(
        pairs,
        steps_per_epoch=steps,
        epochs=options.epochs,
        # The batches are shuffled already.
        shuffle=False,
        validation_data=evaluation_pairs(val, frames),
        callbacks=[
            keras.callbacks.ModelCheckpoint(
                options.output, monitor="val_accuracy", save_best_only=True
            )
        ],
    )

    # The layers of the file are those of this package: rlstm_tf.models must have been imported.
    best = keras.models.load_model(options.output)
    loss, accuracy = best.evaluate(evaluation_pairs(test, frames))
    return {**history.history, "test_loss": [loss], "test_accuracy": [accuracy]}


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="directory of shards with train, val, test")
    parser.add_argument("--output", required=True, help="file to write, NAME.keras")
    parser.add_argument("--model", default="two_branch", choices=MODELS)
    parser.add_argument("--image_size", type=int, default=64, help="side of a frame, pixels")
    parser.add_argument("--num_segments", type=int, default=8, help="snippets per video")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=18)
    parser.add_argument("--learning_rate", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")

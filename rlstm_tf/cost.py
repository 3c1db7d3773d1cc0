"""Prints the parameters of each network, and its multiply-adds for one video.

    python -m rlstm_tf.cost --flagfile=configs/base.cfg

Nothing is fetched or trained: --weights is ignored.
"""

from __future__ import annotations

import dataclasses
import gc
from typing import Any

from absl import flags as absl_flags

from rlstm_tf.choices import MODELS
from rlstm_tf.cli import app, flags, parsing
from rlstm_tf.errors import UsageError
from rlstm_tf.messages import say
from rlstm_tf.model_config import ModelConfig


def define_flags(values: absl_flags.FlagValues) -> None:
    """Defines the flags: those of a training, so that its configurations can be given."""
    flags.define_training(values)
    own: dict[str, Any] = {"flag_values": values}
    absl_flags.DEFINE_integer("num_classes", 101, "Classes.", lower_bound=1, **own)
    absl_flags.DEFINE_list("models", list(MODELS), "Networks, a row each.", **own)
    absl_flags.DEFINE_list("channels", ["3", "20"], "Of a snippet, two columns each.", **own)


def main(values: absl_flags.FlagValues) -> None:
    """Builds one network after the other and prints a Markdown table."""
    channels = parsing.parse_numbers("channels", values.channels, int, 1, None)
    if not set(values.models) <= set(MODELS):
        raise UsageError(f"--models={','.join(values.models)}: of {', '.join(MODELS)}")
    config = dataclasses.replace(ModelConfig.from_flags(values), weights="none")
    app.load_tensorflow()
    columns = [
        f"{what}, {n} channels" for n in channels for what in ("parameters", "G multiply-adds")
    ]
    say(" | ".join(["| model", *columns]) + " |", "|---" + "|---:" * len(columns) + "|")
    for name in values.models:
        cell = config.lstm_cell if name == "lstm" else "standard"
        row = [f"| `{name}`"]
        for n in channels:
            row += _cost(
                dataclasses.replace(config, model=name, lstm_cell=cell, channels=n),
                values.num_classes,
            )
        say(" | ".join(row) + " |")


def _cost(config: ModelConfig, num_classes: int) -> list[str]:
    """Formats the parameters and the multiply-adds of a network."""
    import keras

    from rlstm_tf.models import build_model
    from rlstm_tf.models.cost import multiply_adds

    network = build_model(config, num_classes)
    cost = [f"{network.count_params():,}", f"{multiply_adds(network) / 1e9:.4g}"]
    del network
    keras.backend.clear_session()
    gc.collect()
    return cost


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

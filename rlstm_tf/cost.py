"""Prints what each network costs: parameters, and multiply-adds of one video.

    python -m rlstm_tf.cost --flagfile=configs/base.cfg

Nothing is fetched or trained: --weights is not read.
"""

from __future__ import annotations

import gc
from typing import Any

from absl import flags as absl_flags

from rlstm_tf.cli import app, flag_values, flags
from rlstm_tf.errors import UsageError


def define_flags(values: absl_flags.FlagValues) -> None:
    """Flags of this entry point: those of a training, so that its configurations can be given."""
    flags.define_training(values)
    own: dict[str, Any] = {"flag_values": values}
    absl_flags.DEFINE_integer("num_classes", 101, "Classes.", lower_bound=1, **own)
    absl_flags.DEFINE_list("models", list(flags.MODELS), "Networks, a row each.", **own)
    absl_flags.DEFINE_list("channels", ["3", "20"], "Of a snippet, two columns each.", **own)


def main(values: absl_flags.FlagValues) -> None:
    """Builds one network after the other and prints a Markdown table."""
    channels = flag_values.numbers("channels", values.channels, int, 1, None)
    if not set(values.models) <= set(flags.MODELS):
        raise UsageError(f"--models={','.join(values.models)}: of {', '.join(flags.MODELS)}")
    arguments = {**flags.model_arguments(values), "weights": "none"}
    app.load_tensorflow()

    import keras

    from rlstm_tf.models import build_model
    from rlstm_tf.models.cost import multiply_adds

    columns = [
        f"{what}, {n} channels" for n in channels for what in ("parameters", "G multiply-adds")
    ]
    print(" | ".join(["| model", *columns]) + " |\n|---" + "|---:" * len(columns) + "|")
    for name in values.models:
        row = [f"| `{name}`"]
        for n in channels:
            network = build_model(values.num_classes, **{**arguments, "model": name, "channels": n})
            row += [f"{network.count_params():,}", f"{multiply_adds(network) / 1e9:.4g}"]
            del network
            keras.backend.clear_session()
            gc.collect()
        print(" | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

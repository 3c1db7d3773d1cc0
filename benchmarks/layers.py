"""The Relational LSTM beside keras.layers.ConvLSTM2D of the same state and beside GEMM peak.

    python -m benchmarks.layers [--batch=2 --num_segments=8 --side=7 --channels=2048 --units=1024]

Forward, and forward + backward (gradients of the input and of every weight), float32, as one traced
function. The three are timed in turn, round after round, and the fastest round of each counts: what
else runs on the machine then hits all three alike. Targets: at least 5 times faster than
ConvLSTM2D, at least 0.85 of peak.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from absl import flags

from rlstm_tf import cli

FASTER_THAN_CONV_LSTM = 5.0
OF_PEAK = 0.85


def define_flags(values: flags.FlagValues) -> None:
    """Flags of this benchmark."""
    for name, default in (
        ("batch", 2),
        ("num_segments", 8),
        ("side", 7),
        ("channels", 2048),
        ("units", 1024),
        ("rounds", 5),
    ):
        flags.DEFINE_integer(name, default, name, lower_bound=1, flag_values=values)


def multiply_adds(batch: int, T: int, N: int, C: int, units: int) -> int:
    """Multiply-adds of eq. 3, forward; the backward pass has twice as many."""
    of_input = 4 * 4 * N * C * units  # theta_x, phi_x, g_x, theta_h of four gates
    of_state = 2 * 4 * N * units * units  # phi_h, g_h
    attention = 2 * 4 * 2 * N * N * units  # logits and sums of eight operations
    return batch * T * (of_input + of_state + attention)


def main(values: flags.FlagValues) -> None:
    """Measures and prints."""
    cli.load_tensorflow()

    import keras
    import tensorflow as tf

    from benchmarks.machine import print_heading
    from benchmarks.timing import fastest, print_ratio
    from rlstm_tf.layers import RelationalLSTM

    print_heading("layers")
    T, side, C, units = values.num_segments, values.side, values.channels, values.units
    X = tf.random.normal((values.batch, T, side, side, C), seed=1)
    candidates = {
        "RelationalLSTM": RelationalLSTM(units),
        "ConvLSTM2D": keras.layers.ConvLSTM2D(units, 3, padding="same"),
    }
    forward = {name: _forward(layer, X) for name, layer in candidates.items()}
    both = {name: _forward_and_backward(layer, X) for name, layer in candidates.items()}
    size = 2048
    square = tf.random.normal((size, size), seed=2)
    peak = {"GEMM": _ready(tf.function(lambda: tf.matmul(square, square)))}
    seconds_forward = fastest({**forward, **peak}, values.rounds)
    seconds_both = fastest({**both, **peak}, values.rounds)

    work = multiply_adds(values.batch, T, side * side, C, units)
    print(f"[{values.batch}, {T}, {side}, {side}, {C}] -> {units}, TensorFlow {tf.__version__}")
    for title, seconds, factor in (
        ("forward", seconds_forward, 1),
        ("forward + backward", seconds_both, 3),
    ):
        ours, theirs = seconds["RelationalLSTM"].elapsed, seconds["ConvLSTM2D"].elapsed
        rate_of_peak = size**3 / seconds["GEMM"].elapsed
        of_peak = factor * work / ours / rate_of_peak
        print(
            f"{title}: RelationalLSTM {ours:.3f} s, ConvLSTM2D {theirs:.3f} s, "
            f"GEMM peak {2e-9 * rate_of_peak:.0f} GFLOP/s"
        )
        print_ratio("times faster than ConvLSTM2D", theirs / ours, FASTER_THAN_CONV_LSTM)
        print_ratio("share of GEMM peak", of_peak, OF_PEAK)


def _forward(layer: Any, X: Any) -> Callable[[], Any]:
    import tensorflow as tf

    return _ready(tf.function(lambda: layer(X)))


def _forward_and_backward(layer: Any, X: Any) -> Callable[[], Any]:
    import tensorflow as tf

    @tf.function
    def run() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(X)
            loss = tf.reduce_sum(layer(X))
        return tape.gradient(loss, [X, *layer.trainable_variables])

    return _ready(run)


def _ready(run: Callable[[], Any]) -> Callable[[], Any]:
    """Waits for the result: for the smallest of several, as all are ready when one is."""
    import tensorflow as tf

    return lambda: tf.nest.flatten(run())[-1].numpy()


if __name__ == "__main__":
    sys.exit(cli.run(main, define_flags))

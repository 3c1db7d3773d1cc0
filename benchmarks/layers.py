"""The Relational LSTM compared with its peers and its limit, with the same state.

    python -m benchmarks.layers [--batch=2 --num_segments=8 --side=7 --channels=2048 --units=1024]

Compared with keras.layers.ConvLSTM2D, with a literal eq. 3 (24 separate projections, eight
operations in the loop), with the same layer with all options that the paper does not have, and with
GEMM: of 2048-cubes, this machine's peak, and of the layer's own matrix products alone, which shows
the cost of their shapes. Forward, and forward + backward (gradients of the input and of every
weight), float32, as one traced function. Candidates take turns, and the fastest turn of each
counts, so that other load on the machine affects all alike. Targets: at least 5 times faster than
ConvLSTM2D, at least 0.85 of peak, and at most 1.15 times slower with the options.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from absl import flags

from benchmarks.machine import print_heading
from benchmarks.settings import WINNING_OPTIONS
from benchmarks.timing import fastest, print_ratio
from rlstm_tf.cli import app

FASTER_THAN_CONV_LSTM = 5.0
OF_PEAK = 0.85
WITH_OPTIONS = 0.87  # at most 1.15 times slower
# Options of the layer that the paper does not have: its arguments are named as the flags.
OPTIONS: dict[str, Any] = {option.removeprefix("--"): True for option in WINNING_OPTIONS}


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    for name, default in (
        ("batch", 2),
        ("num_segments", 8),
        ("side", 7),
        ("channels", 2048),
        ("units", 1024),
        ("rounds", 3),
        ("cube", 2048),
    ):
        flags.DEFINE_integer(name, default, name, lower_bound=1, flag_values=values)


def multiply_adds(batch: int, T: int, N: int, C: int, units: int) -> int:
    """Counts the multiply-adds of eq. 3, forward; the backward pass has twice as many."""
    of_input = 4 * 4 * N * C * units  # theta_x, phi_x, g_x, theta_h of four gates
    of_state = 2 * 4 * N * units * units  # phi_h, g_h
    attention = 2 * 4 * 2 * N * N * units  # logits and sums of eight operations
    return batch * T * (of_input + of_state + attention)


def main(values: flags.FlagValues) -> None:
    """Measures and prints."""
    app.load_tensorflow()

    import keras
    import tensorflow as tf

    from rlstm_tf.layers import RelationalLSTM

    print_heading("layers")
    T, side, C, units = values.num_segments, values.side, values.channels, values.units
    X = tf.random.normal((values.batch, T, side, side, C), seed=1)
    candidates = {
        "RelationalLSTM": RelationalLSTM(units, unroll=True),
        "with options": RelationalLSTM(units, unroll=True, **OPTIONS),
        "ConvLSTM2D": keras.layers.ConvLSTM2D(units, 3, padding="same"),
        "eq. 3 unfused": Unfused(units),
    }
    square = tf.random.normal((values.cube, values.cube), seed=2)
    peak = {"GEMM": _ready(tf.function(lambda: tf.matmul(square, square)))}
    work = multiply_adds(values.batch, T, side * side, C, units)
    print(f"[{values.batch}, {T}, {side}, {side}, {C}] -> {units}, TensorFlow {tf.__version__}")
    for title, wrap, factor in (
        ("forward", _forward, 1),
        ("forward + backward", forward_and_backward, 3),
    ):
        runs = {name: wrap(layer, X) for name, layer in candidates.items()}
        runs["its products"] = _products(values.batch, T, side * side, C, units, factor > 1)
        times = fastest({**runs, **peak}, values.rounds)
        print(f"{title}: " + ", ".join(f"{name} {times[name].elapsed:.3f} s" for name in runs))
        # Core time too: a large product waits for a core that another process uses.
        for clock in ("elapsed", "of_cores"):
            seconds = {name: getattr(time, clock) for name, time in times.items()}
            ours, rate = seconds["RelationalLSTM"], values.cube**3 / seconds["GEMM"]
            print(f"  {clock}, GEMM {2e-9 * rate:.0f} GFLOP/s")
            faster = seconds["ConvLSTM2D"] / ours
            print_ratio("times faster than ConvLSTM2D", faster, FASTER_THAN_CONV_LSTM)
            print_ratio("times faster than eq. 3 unfused", seconds["eq. 3 unfused"] / ours)
            print_ratio("speed kept with all options", ours / seconds["with options"], WITH_OPTIONS)
            print_ratio("share of GEMM peak", factor * work / ours / rate, OF_PEAK)
            print_ratio("share of its own products alone", seconds["its products"] / ours)


class Unfused:
    """Literal eq. 3: eight operations per step, each with its own theta, phi and g.

    Args:
        units: channels of the state.

    Attributes:
        operations: r by gate and source: `"ix"`, `"ih"` ... `"gx"`, `"gh"`.
    """

    def __init__(self, units: int) -> None:
        from rlstm_tf.layers import NonLocalOperation

        names = [gate + source for gate in "ifog" for source in "xh"]
        self.units = units
        self.operations = {name: NonLocalOperation(units) for name in names}

    @property
    def trainable_variables(self) -> list[Any]:
        """Kernels and biases of the 24 projections."""
        layers = self.operations.values()
        return [variable for layer in layers for variable in layer.trainable_variables]

    def __call__(self, X: Any) -> Any:
        """Computes H_T `[batch, H, W, units]` from `[batch, T, H, W, C]`."""
        import tensorflow as tf

        r = self.operations
        H = C = tf.zeros((*X.shape[:1], *X.shape[2:4], self.units))
        for x in tf.unstack(X, axis=1):
            i = tf.sigmoid(r["ix"](x) + r["ih"]([x, H]))
            f = tf.sigmoid(r["fx"](x) + r["fh"]([x, H]))
            o = tf.sigmoid(r["ox"](x) + r["oh"]([x, H]))
            g = tf.tanh(r["gx"](x) + r["gh"]([x, H]))
            C = f * C + i * g
            H = o * tf.tanh(C)
        return H


def _products(batch: int, T: int, N: int, C: int, units: int, backward: bool) -> Callable[[], Any]:
    """Computes the embeddings only: of X in one product, of H in one per step."""
    import tensorflow as tf

    X, kernel = tf.random.normal((batch * T * N, C)), tf.random.normal((C, 16 * units))
    H = tf.unstack(tf.random.normal((T, batch * N, units)))
    recurrent = tf.random.normal((units, 8 * units))

    @tf.function
    def run() -> Any:
        results = []
        for x, weights in ((X, kernel), *((h, recurrent) for h in H)):
            y = tf.matmul(x, weights)
            results.append(y)
            if backward:
                results.append(tf.matmul(y, weights, transpose_b=True))
                results.append(tf.matmul(x, y, transpose_a=True))
        return results

    return _ready(run)


def _forward(layer: Any, X: Any) -> Callable[[], Any]:
    import tensorflow as tf

    return _ready(tf.function(lambda: layer(X)))


def forward_and_backward(layer: Any, X: Any) -> Callable[[], Any]:
    """Returns a traced call of a layer with the gradients of its input and of every weight."""
    import tensorflow as tf

    @tf.function
    def run() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(X)
            loss = tf.reduce_sum(layer(X))
        return tape.gradient(loss, [X, *layer.trainable_variables])

    return _ready(run)


def _ready(run: Callable[[], Any]) -> Callable[[], Any]:
    """Waits for the results by fetching the last: all are ready when one is."""
    import tensorflow as tf

    return lambda: tf.nest.flatten(run())[-1].numpy()


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

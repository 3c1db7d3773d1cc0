"""Growth of the Relational LSTM's time and memory with T, H x W, C and the batch.

    python -m benchmarks.growth [--sides=7,14,28]

Forward + backward. Seconds are relative to the smallest size of a table, beside the ratio of their
multiply-adds. Memory is the peak of a separate process minus its memory before the first call,
beside the sum of the tensors' sizes. Large maps are attended to in chunks, which are also compared
with all weights at once.
"""

from __future__ import annotations

import contextlib
import sys

from absl import flags

from benchmarks import layers
from benchmarks.machine import peak_resident, print_heading, resident
from benchmarks.processes import printed
from benchmarks.timing import fastest
from rlstm_tf.cli import app

# batch, T, side, C; the state has C / 2 channels, as in the paper.
Size = tuple[int, int, int, int]


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    lists = {
        "batches": [1, 2, 4, 8],
        "segments": [4, 8, 16, 32, 64],
        "sides": [7, 14, 28],
        "channels": [256, 512, 1024, 2048],
    }
    for name, default in lists.items():
        flags.DEFINE_list(name, [str(n) for n in default], name, flag_values=values)
    flags.DEFINE_integer("rounds", 3, "Timed rounds.", lower_bound=1, flag_values=values)
    flags.DEFINE_list(
        "only", [], "Prints the memory of one size only: B,T,side,C.", flag_values=values
    )
    flags.DEFINE_boolean(
        "whole", False, "With --only: all attention weights at once.", flag_values=values
    )


def main(values: flags.FlagValues) -> None:
    """Prints the tables, or the peak of one size."""
    if values.only:
        print(_peak(tuple(int(n) for n in values.only), values.whole))
        return
    print_heading("growth")
    app.load_tensorflow()
    import tensorflow as tf

    # TensorFlow warns of repeated tracing, but each size needs its own graph.
    tf.get_logger().setLevel("ERROR")
    batches, segments, sides, channels = (
        [int(n) for n in values[name].value or ()]
        for name in ("batches", "segments", "sides", "channels")
    )
    tables: dict[str, list[Size]] = {
        "T": [(2, T, 7, 512) for T in segments],
        "H x W": [(2, 8, side, 512) for side in sides],
        "C": [(2, 8, 7, C) for C in channels],
        "batch": [(batch, 8, 7, 512) for batch in batches],
    }
    for title, sizes in tables.items():
        _print_table(title, sizes, values.rounds)
    where = (2, 8, sides[-1], 512)
    print(f"Where the memory goes, [batch, T, side, C] = {list(where)}:")
    for name, number in shares(*where).items():
        print(f"  {name:52}{number / 1e6:9.1f} MB")
    print(f"  {'sum':52}{sum(shares(*where).values()) / 1e6:9.1f} MB", flush=True)
    _print_chunks(where, values.rounds)


def _print_chunks(size: Size, rounds: int) -> None:
    """Prints time and memory of attention in chunks, relative to all weights at once."""
    import tensorflow as tf

    from rlstm_tf.layers import RelationalLSTM
    from rlstm_tf.layers.relation import without_chunks

    batch, T, side, C = size
    X = tf.random.normal((batch, T, side, side, C), seed=1)
    layer = RelationalLSTM(C // 2, unroll=True)
    runs = {name: layers.forward_and_backward(layer, X) for name in ("chunks", "whole")}
    with without_chunks():
        runs["whole"]()  # traced here
    times = fastest(runs, rounds)
    chunks, whole = (_peak_of_a_process(size, *flag) for flag in ((), ("--whole",)))
    print(f"Attention as the layer chooses, relative to all weights at once, {list(size)}:")
    for name, clock in (("wall time", "elapsed"), ("processor time", "of_cores")):
        ratio = getattr(times["chunks"], clock) / getattr(times["whole"], clock)
        print(f"  {name:20}{ratio:6.2f}")
    print(f"  {'peak':20}{chunks / whole:6.2f}  {chunks:.0f} MB / {whole:.0f} MB", flush=True)


def _print_table(title: str, sizes: list[Size], rounds: int) -> None:
    """Prints times, and the peaks of the smallest and the largest size."""
    import tensorflow as tf

    from rlstm_tf.layers import RelationalLSTM

    runs = {}
    for batch, T, side, C in sizes:
        X = tf.random.normal((batch, T, side, side, C), seed=1)
        runs[str((batch, T, side, C))] = layers.forward_and_backward(
            RelationalLSTM(C // 2, unroll=True), X
        )
    seconds = [time.elapsed for time in fastest(runs, rounds).values()]
    work = [layers.multiply_adds(b, T, side * side, C, C // 2) for b, T, side, C in sizes]
    print(f"Growth with {title}, [batch, T, side, C]:")
    print("  size                  seconds  of smallest  multiply-adds   ratio     peak  by shapes")
    for size, time, count in zip(sizes, seconds, work):
        slower, more = time / seconds[0], count / work[0]
        line = f"  {size!s:20}{time:9.3f}{slower:12.2f}{more:15.2f}{slower / more:8.2f}"
        if size in (sizes[0], sizes[-1]):
            line += f"{_peak_of_a_process(size):6.0f} MB{sum(shares(*size).values()) / 1e6:8.0f} MB"
        print(line, flush=True)


def shares(batch: int, T: int, side: int, C: int) -> dict[str, int]:
    """Returns the bytes of the layer's float32 tensors, forward + backward, by name.

    With all attention weights at once.
    """
    N, units = side * side, C // 2
    maps = batch * T * N * units
    numbers = {
        "embeddings of X, 16 units N T": 16 * maps,
        "their gradients": 16 * maps,
        "r(X, X) and theta_h for the loop, 8 units N T": 8 * maps,
        "embeddings of H, 8 units N T": 8 * maps,
        "gates, states and their tanh, 7 units N T": 7 * maps,
        "attention, 8 N N T": 8 * batch * T * N * N,
        "gradient of X": batch * T * N * C,
        "gradients of the kernels": 16 * C * units + 8 * units * units,
    }
    return {name: 4 * number for name, number in numbers.items()}


def _peak_of_a_process(size: Size, *arguments: str) -> float:
    """Measures the peak of a separate process, megabytes."""
    only = "--only=" + ",".join(map(str, size))
    command = [sys.executable, "-m", "benchmarks.growth", only, *arguments]
    return float(printed(command)[-1]) / 1e6


def _peak(size: tuple[int, ...], whole: bool = False) -> int:
    """Measures the peak of two calls minus the memory before, bytes."""
    app.load_tensorflow()
    import tensorflow as tf

    from rlstm_tf.layers import RelationalLSTM
    from rlstm_tf.layers.relation import without_chunks

    batch, T, side, C = size
    # Allocates what TensorFlow needs for any such call.
    small = tf.random.normal((1, 1, 2, 2, 4))
    layers.forward_and_backward(RelationalLSTM(2, unroll=True), small)()
    X, layer = (
        tf.random.normal((batch, T, side, side, C), seed=1),
        RelationalLSTM(C // 2, unroll=True),
    )
    layer.build(X.shape)
    before = resident()
    run = layers.forward_and_backward(layer, X)
    with without_chunks() if whole else contextlib.nullcontext():
        run()
        run()
    return peak_resident() - before


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

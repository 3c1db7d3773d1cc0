"""The layer and the networks on an accelerator, under JAX, torch or TensorFlow.

    KERAS_BACKEND=jax python -m benchmarks.accelerator [--output=accelerator.csv]
    KERAS_BACKEND=torch python -m benchmarks.accelerator --small     # on a CPU too

Needs Keras and one backend: no TensorFlow, no data set, no installation of this package. Times
forward, forward + backward, and a training step with SGD and momentum of the Relational LSTM,
[batch, 8, 7, 7, 2048] -> 1024, of keras.layers.ConvLSTM2D, and of the networks tsn and two_branch
on ResNet101V2 at 224 pixels, in float32, TF32 and bfloat16 (mixed precision), compiled by JAX and
by tf.function, not by torch. Inputs are on the device, shapes are static, nothing returns to the
host between calls. The first call, which compiles, is apart; a time is the median of --rounds
rounds of so many calls as take a fifth of a second. "Of GEMM peak" compares with a large product in
the same precision and run.

First, the layer and its gradients are compared with NumPy in float64; an error beyond the
tolerance ends the run with status 1, after all is measured. What does not fit into memory, or into
--minutes, compilation included, has a row that says so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from absl import flags

from benchmarks.machine import commit
from rlstm_tf.cli import app
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.messages import say

if TYPE_CHECKING:
    from benchmarks.accelerator_cases import Case, Sizes
    from benchmarks.accelerator_table import Table
    from benchmarks.backends import Backend

# In this order: the first are the last to be without time.
CASES = ("layer", "convlstm2d", "tsn", "two_branch")
PRECISIONS = ("bfloat16", "float32", "tf32")
# Passes, with the multiply-adds of each over those of a forward pass.
PARTS = {"training step": 3, "forward": 1, "forward + backward": 3}
_POLICIES = {"bfloat16": "mixed_bfloat16", "float32": "float32", "tf32": "float32"}
# Seconds and most calls of a round.
_ROUND, _CALLS = 0.2, 200


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_boolean("small", False, "Small sizes and a tiny backbone, for a CPU.", **own)
    flags.DEFINE_list("only", list(CASES), "What to time.", **own)
    flags.DEFINE_list("precisions", list(PRECISIONS), "In which precisions, in order.", **own)
    flags.DEFINE_integer(
        "batch_size", None, "Videos per call of the networks; 8, with --small 2.", 1, **own
    )
    flags.DEFINE_integer("rounds", 5, "Timed rounds.", 1, **own)
    flags.DEFINE_float("minutes", 8.0, "Nothing is begun after this.", 0.0, **own)
    flags.DEFINE_boolean("jit", False, "XLA under TensorFlow; JAX always has it.", **own)
    define_path("output", None, "CSV file.", **own)


def main(values: flags.FlagValues) -> None:
    """Measures, prints and writes."""
    for name, allowed in (("only", CASES), ("precisions", PRECISIONS)):
        given: Any = values[name].value
        if not given or not {*given} <= {*allowed}:
            raise UsageError(f"--{name}={','.join(given)}: of {', '.join(allowed)}")
    begun = time.monotonic()
    from benchmarks.backends import load_backend

    backend = load_backend(values.jit)
    if backend.is_cpu and not values.small:
        raise UsageError(f"{backend.name} finds no accelerator: --small measures on a CPU")
    from benchmarks.accelerator_cases import FULL, SMALL
    from benchmarks.accelerator_table import Table

    origin = {
        "backend": backend.versions(),
        "device": backend.device,
        "compiler": backend.compiler,
        "commit": commit(),
    }
    say("accelerator: {backend}, {device}, {compiler}, commit {commit}".format(**origin))
    precisions = [name for name in values.precisions if name != "tf32" or backend.has_tf32]
    table = Table(origin, values.output)
    table.begin()
    sizes = SMALL if values.small else FULL
    if values.batch_size:
        sizes = dataclasses.replace(sizes, network_batch=values.batch_size)
    run = Run(backend, sizes, table, values.rounds, begun + 60 * values.minutes)
    for precision in precisions:
        run.check(precision)
    for group in (CASES[:2], CASES[2:]):
        for precision in precisions:
            for name in group:
                if name in values.only:
                    run.measure(name, precision)
    _conclude(table, backend, {*values.precisions} - {*precisions}, time.monotonic() - begun)


class Run:
    """Measures case after case.

    Args:
        backend: of Keras.
        sizes: how large.
        table: takes the rows.
        rounds: timed rounds.
        end: no measurement begins after this time of `time.monotonic`.
    """

    def __init__(
        self, backend: Backend, sizes: Sizes, table: Table, rounds: int, end: float
    ) -> None:
        self.backend, self.sizes, self.table = backend, sizes, table
        self.rounds, self.end = rounds, end
        # Multiply-adds per second of the product, by precision.
        self._peaks: dict[str, float] = {}

    def check(self, precision: str) -> None:
        """Compares the layer with float64."""
        from benchmarks import accelerator_check

        with self._precision(precision):
            found = accelerator_check.errors(self.backend)
        allowed = accelerator_check.TOLERANCES[precision]
        for part, error in zip(("forward", "gradients"), found):
            self._add("check", part, precision, error=error, tolerance=allowed)

    def measure(self, name: str, precision: str) -> None:
        """Times all passes of a case; the peak of the precision before its first."""
        from benchmarks import accelerator_cases as cases

        sizes = self.sizes
        batches = sizes.batches if name in cases.LAYERS else (sizes.network_batch,)
        if precision not in self._peaks:
            with self._precision(precision):
                self._measure_peak(precision)
        for batch in batches:
            # Set anew for each: `_clear` forgets it.
            with self._precision(precision):
                case = None
                if time.monotonic() < self.end:
                    case = cases.build_case(name, sizes, batch)
                for part in PARTS:
                    self._measure_part(name, case, batch, part, precision)
                del case
            self._clear()

    def _measure_peak(self, precision: str) -> None:
        import keras
        import numpy as np

        from benchmarks.accelerator_cases import tensor

        side = self.sizes.cube
        dtype = "bfloat16" if precision == "bfloat16" else "float32"
        rng = np.random.default_rng(0)
        pair = [tensor(rng.normal(size=(side, side)), dtype) for _ in range(2)]
        first, seconds = self._time(lambda: self.backend.function(keras.ops.matmul, *pair))
        self._peaks[precision] = side**3 / seconds
        self._add(
            *("gemm", "product", precision),
            seconds=seconds,
            multiply_adds=side**3,
            of_gemm=1.0,
            first_seconds=first,
        )

    def _measure_part(
        self, name: str, case: Case | None, batch: int, part: str, precision: str
    ) -> None:
        if case is None or time.monotonic() > self.end:
            self._add(name, part, precision, batch=batch, note="no time left")
            return
        self.backend.reset_memory()
        try:
            first, seconds = self._time(lambda: _start(self.backend, case, part))
        except Exception as error:
            if not _is_out_of_memory(error):
                raise
            self._add(name, part, precision, batch=batch, note="out of memory")
            return
        work = PARTS[part] * case.multiply_adds
        self._add(
            *(name, part, precision),
            batch=batch,
            seconds=seconds,
            multiply_adds=work,
            of_gemm=work / seconds / self._peaks[precision],
            memory_bytes=self.backend.peak_memory(),
            first_seconds=first,
        )

    def _time(self, prepare: Callable[[], Callable[[], Any]]) -> tuple[float, float]:
        """Returns the seconds of the first call, with compilation, and the median of the others."""
        begun = time.perf_counter()
        start = prepare()
        self.backend.wait(start())
        first = time.perf_counter() - begun
        calls = max(1, min(_CALLS, int(_ROUND / self._round(start, 1))))
        return first, statistics.median(self._round(start, calls) for _ in range(self.rounds))

    def _round(self, start: Callable[[], Any], calls: int) -> float:
        """Returns the seconds of one of several calls."""
        begun = time.perf_counter()
        results = None
        for _ in range(calls):
            # Not two results in memory at a time.
            del results
            results = start()
        self.backend.wait(results)
        return (time.perf_counter() - begun) / calls

    @contextlib.contextmanager
    def _precision(self, precision: str) -> Iterator[None]:
        """Builds and computes in a precision; the policy of before is Keras's again at the end."""
        import keras

        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(_POLICIES[precision])
        # Mixed precision leaves some operations in float32: as fast as the device can.
        tf32 = precision != "float32" and self.backend.has_tf32
        try:
            with self.backend.precision(tf32):
                yield
        finally:
            keras.config.set_dtype_policy(before)

    def _add(self, case: str, part: str, precision: str, **cells: Any) -> None:
        from benchmarks.accelerator_table import Row

        self.table.add(Row(case, part, precision, **cells))

    def _clear(self) -> None:
        """Frees what the last case has left behind."""
        import keras

        keras.backend.clear_session()
        gc.collect()


def _start(backend: Backend, case: Case, part: str) -> Callable[[], Any]:
    import keras

    if part == "forward":
        return backend.forward(case.network, case.x)
    if part == "forward + backward":
        return backend.gradients(case.network, case.x, case.loss, case.of_input)
    # So small that random labels do not lead to infinite weights.
    optimizer = keras.optimizers.SGD(1e-4, momentum=0.9)
    optimizer.build(case.network.trainable_variables)
    return backend.training_step(case.network, case.x, case.loss, case.of_input, optimizer)


def _is_out_of_memory(error: Exception) -> bool:
    """Recognizes the messages of JAX, torch and TensorFlow."""
    words = ("RESOURCE_EXHAUSTED", "out of memory", "OOM when allocating")
    return any(word.lower() in f"{type(error).__name__}: {error}".lower() for word in words)


def _conclude(table: Table, backend: Backend, skipped: set[str], elapsed: float) -> None:
    """Prints what the table does not say.

    Raises:
        DataError: the layer is further from float64 than is allowed.
    """
    seconds = {
        (row.case, row.batch, row.part, row.precision): row.seconds
        for row in table.rows
        if row.seconds
    }
    for (case, batch, part, precision), own in seconds.items():
        peer = seconds.get(("convlstm2d", batch, part, precision))
        if case == "layer" and peer:
            say(f"batch {batch}, {part}, {precision}: {peer / own:.2f} times ConvLSTM2D's speed")
    compiling = sum(row.first_seconds or 0.0 for row in table.rows)
    say(f"{elapsed:.0f} s, {compiling:.0f} of them first calls. Memory: {backend.memory_source}.")
    if skipped:
        say(f"{', '.join(skipped)}: not on this device")
    wrong = [
        f"{row.part} in {row.precision}: {row.error:.1e}, {row.tolerance:g} allowed"
        for row in table.rows
        # NaN compares false.
        if row.error is not None and row.tolerance is not None and not row.error <= row.tolerance
    ]
    if wrong:
        raise DataError(f"the layer differs from float64: {'; '.join(wrong)}")


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

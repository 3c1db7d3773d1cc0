"""Time and memory of a training step of every run behind the paper's tables, on this machine.

    python -m benchmarks.steps --output=steps.csv [--batch_size=24]
    python -m rlstm_tf.recipe --steps=steps.csv

Each in a separate process, on random frames, with the runs' configurations and untrained weights.
Takes about a minute per run on two cores.
"""

from __future__ import annotations

import csv
import sys
import time
from typing import Any

from absl import flags as absl_flags

from benchmarks.machine import peak_resident
from benchmarks.processes import printed
from rlstm_tf.cli import app, flags
from rlstm_tf.cli.paths import define_path

COLUMNS = ("run", "stream", "batch_size", "seconds_per_video", "gigabytes")


def define_flags(values: absl_flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    define_path("output", None, "CSV file to write.", **own)
    absl_flags.DEFINE_integer("batch_size", 2, "Videos per step.", 1, **own)
    absl_flags.DEFINE_integer("steps", 2, "Timed steps, after one to warm up.", 1, **own)
    absl_flags.DEFINE_list("runs", [], "Names of runs; all if empty.", **own)
    absl_flags.DEFINE_string(
        "only", None, "Measures one run, RUN/STREAM, in this process; demo/spatial too.", **own
    )


def main(values: absl_flags.FlagValues) -> None:
    """Measures all runs, or one."""
    if values.only:
        name, _, stream = values.only.partition("/")
        print(*_measure(name, stream, values.batch_size, values.steps))
        return
    flags.require(values, "output")
    from rlstm_tf.reporting import paper_runs as paper

    kinds = dict.fromkeys((run.name, run.stream) for run in paper.runs())
    with open(values.output, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for name, stream in kinds:
            if values.runs and name not in values.runs:
                continue
            seconds, gigabytes = _measure_in_process(name, stream, values.batch_size, values.steps)
            row = (name, stream, values.batch_size, f"{seconds:.3f}", f"{gigabytes:.2f}")
            table.writerow(row)
            file.flush()
            print(f"{name}, {stream}: {seconds:.2f} s per video, {gigabytes:.1f} GB", flush=True)


def _measure_in_process(name: str, stream: str, batch_size: int, steps: int) -> tuple[float, float]:
    """Measures a run in a separate process, with a peak of its own."""
    command = [sys.executable, "-m", "benchmarks.steps", f"--only={name}/{stream}"]
    command += [f"--batch_size={batch_size}", f"--steps={steps}"]
    seconds, gigabytes = printed(command)
    return float(seconds), float(gigabytes)


def _measure(name: str, stream: str, batch_size: int, steps: int) -> tuple[float, float]:
    """Measures seconds per video, and gigabytes at the peak, of the GPU if there is one."""
    paths = [f"configs/ucf101_{stream}.cfg"]
    if name == "demo":
        paths = ["configs/demo.cfg"]
    elif name != "two_branch":
        paths.append(f"configs/ablations/{name}.cfg")
    settings: Any = flags.parse_flagfiles(*paths)
    settings.weights = "none"
    settings.batch_size = batch_size
    app.load_tensorflow()

    import tensorflow as tf

    from benchmarks.models import random_batch, trainer_of

    trainer = trainer_of(settings, 101)
    batch = random_batch(trainer, batch_size, 101)
    float(trainer.train_step(batch)[0])
    start = time.perf_counter()
    for _ in range(steps):
        float(trainer.train_step(batch)[0])
    seconds = (time.perf_counter() - start) / steps / batch_size
    if tf.config.list_logical_devices("GPU"):
        peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    else:
        peak = peak_resident()
    return seconds, peak / 1e9


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

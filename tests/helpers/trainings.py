"""Small trainings as processes of their own, to be killed, and what they leave."""

from __future__ import annotations

import csv
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorflow.python.framework.config import disable_op_determinism
from warm_python import Python

from rlstm_tf import evaluate, train
from rlstm_tf.cli import app

# Dropout, shuffling, crops, flips and batch statistics are on; 10 samples, 4 a step.
SMALL = (
    *("--model=tsn", "--backbone=tiny_resnetv2", "--weights=none", "--num_segments=2"),
    *("--image_size=32", "--batch_size=4", "--batch_norm=batch", "--batch_norm_momentum=0.9"),
    *("--learning_rate=0.01", "--drop_epochs=2", "--dropout=0.5", "--deterministic", "--resume"),
)
CLOCK = ("videos_per_second", "input_wait_share")
SCALARS = ("train/", "epoch/", "val/")
SHORT = ("--epochs=2", "--save_every=1")


def command(shards, run_dir, *more):
    """Returns the arguments of `python`, the same for the first start and every later one."""
    return ["-m", "rlstm_tf.train", f"--data={shards}", f"--run_dir={run_dir}", *SMALL, *more]


def start(*arguments, **variables):
    """Starts a training in a process of its own, with `variables` in its environment."""
    return Python(command(*arguments), **variables)


def train_here(shards, run_dir, *more):
    """Trains in this process, which is faster; returns the status."""
    try:
        return app.run(train.main, train.define_flags, command(shards, run_dir, *more)[1:])
    finally:
        # Global state, which other tests in this process would inherit.
        disable_op_determinism()
        keras.mixed_precision.set_global_policy("float32")


def evaluate_here(run_dir, *more):
    """Status of an evaluation of the validation set."""
    arguments = [f"--run_dir={run_dir}", "--split=val", *more]
    return app.run(evaluate.main, evaluate.define_flags, ["evaluate", *arguments])


def error_of(output):
    """The one line that an entry point says of an error."""
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, output
    assert "Traceback" not in output
    return lines[0]


def contents(directory):
    """Every file by its path, with its bytes; of a directory that may not be there."""
    return {p: p.read_bytes() for p in sorted(Path(directory).rglob("*")) if p.is_file()}


def arrays(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name != "info"}


def assert_same_weights(found, expected):
    """Compares two runs: every array of the newest and the best checkpoint, bit for bit."""
    names = [path.name for path in sorted((expected / "checkpoints").glob("step-*.npz"))]
    for name in (names[-1], "best.npz"):
        a, b = (arrays(run / "checkpoints" / name) for run in (found, expected))
        assert set(a) == set(b)
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=f"{name}: {key}")


def assert_same_run(found, expected):
    """As if it had never been disturbed."""
    assert_same_weights(found, expected)
    assert history(found) == history(expected)
    assert points(found) == points(expected)
    assert not list(found.rglob("*.partial"))


def history(run_dir):
    """Its rows, without what depends on the clock."""
    with (run_dir / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: row[name] for name in row if name not in CLOCK} for row in rows]


def scalars(run_dir):
    """Tag -> (step, value) of every scalar, by step; not what depends on the clock."""
    return {tag: found for tag, found in points(run_dir).items() if tag.startswith(SCALARS)}


def points(run_dir):
    """Tag -> (step, value) of all that TensorBoard shows by step, images included."""
    events = EventAccumulator(
        str(run_dir / "tensorboard"), size_guidance={"tensors": 0}, purge_orphaned_data=False
    )
    events.Reload()
    return {
        tag: sorted((e.step, tf.make_ndarray(e.tensor_proto).tolist()) for e in events.Tensors(tag))
        for tag in events.Tags()["tensors"]
        if tag.split("/")[-1] not in CLOCK
    }

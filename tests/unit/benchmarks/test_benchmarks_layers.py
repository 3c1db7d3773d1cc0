"""Benchmarks of the layer and of the networks: they compare equal work, and run."""

import re
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf
from repository import ROOT

from benchmarks import growth, layers
from benchmarks import models as models_benchmark
from benchmarks.machine import peak_resident, resident
from rlstm_tf.cli import app
from rlstm_tf.layers import RelationalLSTM
from rlstm_tf.models.cost import multiply_adds

NUMBER = r" *\d+\.\d\d"


def test_unfused_equals_the_layer():
    """Both have the same weights."""
    X = tf.random.stateless_normal((2, 3, 2, 3, 6), (1, 2))
    layer, unfused = RelationalLSTM(4, bias_initializer="normal"), layers.Unfused(4)
    expected = layer(X)
    unfused(X)
    for name, operation in unfused.operations.items():
        gate, source = name
        roles = [f"{part}_{source}" for part in ("theta", "phi", "g")]
        weights = [weight for role in roles for weight in layer.cell.embedding(role, gate)]
        operation.set_weights([np.asarray(weight) for weight in weights])
    np.testing.assert_allclose(unfused(X), expected, atol=1e-6)
    assert len(unfused.trainable_variables) == 48


def test_multiply_adds_of_the_layer_are_those_of_its_graph():
    model = keras.Sequential([keras.Input((3, 2, 2, 8)), RelationalLSTM(4, unroll=True)])
    assert multiply_adds(model) == layers.multiply_adds(1, 3, 4, 8, 4)


def run(benchmark, *arguments):
    return app.run(benchmark.main, benchmark.define_flags, ["benchmark", *arguments])


def test_layers(capsys):
    sizes = ("--batch=1", "--num_segments=2", "--side=2", "--channels=8", "--units=4")
    assert run(layers, *sizes, "--rounds=1", "--cube=128") == 0
    output = capsys.readouterr().out
    for name in (
        "than ConvLSTM2D",
        "than eq. 3 unfused",
        "kept with all options",
        "share of GEMM peak",
        "its own products alone",
    ):
        assert len(re.findall(f"{name}{NUMBER}", output)) == 4, name


def test_growth(capsys, monkeypatch):
    # A process of its own for the first size; this one for the others, which are larger.
    peaks = [growth._peak_of_a_process]
    monkeypatch.setattr(
        growth,
        "_peak_of_a_process",
        lambda size, *whole: peaks.pop()(size) if peaks else growth._peak(size, *whole) / 1e6,
    )
    sizes = ("--batches=1", "--segments=2", "--sides=2", "--channels=8", "--rounds=1")
    assert run(growth, *sizes) == 0
    output = capsys.readouterr().out
    assert output.count("Growth with") == 4
    assert len(re.findall(r"\d MB +\d+ MB", output)) == 4
    assert re.search(rf"processor time{NUMBER}\n  peak{NUMBER}  \d+ MB / \d+ MB\n", output)


def test_bytes_of_the_tensors():
    """Counts one batch, step and position, with two channels."""
    assert sum(growth.shares(1, 1, 1, 2).values()) == 4 * (16 + 16 + 8 + 8 + 7 + 8 + 2 + 32 + 8)


def test_models(capsys):
    sizes = ("--backbone=tiny_resnetv2", "--image_size=32", "--rounds=1")
    assert run(models_benchmark, *sizes, "--only=plain") == 0
    assert int(capsys.readouterr().out) > 0


def test_memory_is_that_of_this_process():
    """On Linux, ru_maxrss starts with the value of the parent process."""
    program = "from benchmarks.machine import peak_resident; print(peak_resident())"
    line = [sys.executable, "-c", program]
    child = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert 0 < int(child) < resident() / 2 <= peak_resident() / 2

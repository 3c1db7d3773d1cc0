"""The benchmark of accelerators, on a CPU: without TensorFlow, and what it reports."""

import csv
import dataclasses
import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from repository import ROOT

from rlstm_tf.cli import app
from rlstm_tf.compat import KERAS_3

if not KERAS_3:
    pytest.skip("needs Keras 3", allow_module_level=True)

from benchmarks import accelerator, accelerator_check
from benchmarks import accelerator_cases as cases
from benchmarks.accelerator_table import COLUMNS
from benchmarks.backends import load_backend
from rlstm_tf.models.cost import multiply_adds

# What a bare installation of Keras and JAX does not have of what we require.
ABSENT = ("tensorflow", "tensorboard", "av", "cv2", "sklearn", "tqdm", "torch", "pandas", "psutil")


def run(*arguments):
    command = ["accelerator", "--small", "--rounds=1", "--precisions=float32", *arguments]
    return app.run(accelerator.main, accelerator.define_flags, command)


def run_alone(backend, absent, *arguments):
    """Runs the command in a process of its own, in which some packages cannot be imported."""
    script = (
        "import runpy, sys\n"
        f"sys.modules.update(dict.fromkeys({absent}))\n"
        f"sys.argv = ['accelerator', *{arguments}]\n"
        "runpy.run_module('benchmarks.accelerator', run_name='__main__')"
    )
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        # Less work for the compiler of JAX.
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    line = [sys.executable, "-c", script]
    return subprocess.run(line, env=environment, capture_output=True, text=True)


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def one_error(capsys):
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


@pytest.fixture
def unchecked(monkeypatch):
    """Leaves out the comparison with float64."""
    monkeypatch.setattr(accelerator_check, "errors", lambda backend: (0.0, 0.0))


@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is not installed")
def test_needs_no_tensorflow(tmp_path):
    """It is the compiler of JAX that takes the time."""
    path = tmp_path / "new" / "rows.csv"
    flags = ("--small", "--only=layer", "--precisions=float32,tf32", "--rounds=1")
    result = run_alone("jax", ABSENT, *flags, f"--output={path}")
    assert (result.returncode, result.stderr) == (0, "")
    assert "tf32: not on this device" in result.stdout
    rows = read(path)
    assert list(rows[0]) == list(COLUMNS)
    assert [(row["case"], row["part"]) for row in rows] == [
        ("check", "forward"),
        ("check", "gradients"),
        ("gemm", "product"),
        *(("layer", part) for part in accelerator.PARTS),
    ]
    for row in rows[:2]:
        assert 0 < float(row["error"]) < float(row["tolerance"])
    for row in rows[3:]:
        numbers = ("seconds", "of_gemm", "memory_bytes", "first_seconds")
        assert all(float(row[name]) > 0 for name in numbers), row
        assert "jax" in row["backend"]
        # A line of the table for each row, with the same numbers.
        assert f"| {1e3 * float(row['seconds']):.3g} |" in result.stdout


def test_a_missing_backend_is_one_line():
    result = run_alone("jax", ("jax",), "--small")
    assert result.returncode == 2
    assert result.stderr.startswith("error: Keras does not load with KERAS_BACKEND=jax")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["tsn", "two_branch", "convlstm2d"])
def test_multiply_adds_are_those_of_the_graph(name):
    case = cases.build_case(name, cases.SMALL, 2)
    assert case.multiply_adds == 2 * multiply_adds(case.network)


def test_an_error_beyond_the_tolerance_ends_with_status_1(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(accelerator_check.TOLERANCES, "float32", 1e-12)
    monkeypatch.setattr(accelerator, "PARTS", {"forward": 1})
    path = tmp_path / "rows.csv"
    assert run("--only=tsn", f"--output={path}") == 1
    error = one_error(capsys)
    assert "the layer differs from float64: forward in float32" in error
    assert "gradients in float32" in error
    # All was measured before.
    assert float(read(path)[-1]["seconds"]) > 0


@pytest.mark.parametrize("number", range(5))
def test_a_wrong_gradient_is_found(number, monkeypatch):
    """Of each weight and of the input, one element of many."""
    backend = load_backend(jit=False)
    right = backend.gradients

    def wrong(*arguments):
        start = right(*arguments)

        def call():
            gradients = [np.array(gradient) for gradient in start()]
            element = np.unravel_index(np.abs(gradients[number]).argmax(), gradients[number].shape)
            gradients[number][element] *= 1.01
            return gradients

        return call

    assert max(accelerator_check.errors(backend)) < 1e-5
    monkeypatch.setattr(backend, "gradients", wrong)
    assert accelerator_check.errors(backend)[1] > 1e-5


def test_what_does_not_fit(unchecked, tmp_path, monkeypatch):
    def start(backend, case, part):
        raise RuntimeError("RESOURCE_EXHAUSTED: failed to allocate 8.00GiB")

    monkeypatch.setattr(accelerator, "_start", start)
    path = tmp_path / "rows.csv"
    assert run("--only=layer", f"--output={path}") == 0
    rows = [row for row in read(path) if row["case"] == "layer"]
    assert [(row["note"], row["seconds"]) for row in rows] == [("out of memory", "")] * 3


def test_every_batch_has_the_precision_of_its_row(unchecked, monkeypatch):
    """Between two, the session is cleared, and Keras forgets the policy with it."""
    seen = []

    def measure(self, name, case, batch, part, precision):
        seen.append((precision, batch, keras.config.dtype_policy().name, str(case.x.dtype)))

    monkeypatch.setattr(cases, "SMALL", dataclasses.replace(cases.SMALL, batches=(1, 2)))
    monkeypatch.setattr(accelerator.Run, "_measure_part", measure)
    assert run("--only=layer", "--precisions=float32,bfloat16") == 0
    kinds = {name: [cells for cells in seen if cells[0] == name] for name in accelerator._POLICIES}
    assert [batch for _, batch, *_ in kinds["bfloat16"]] == [1] * 3 + [2] * 3
    for name, policy, dtype in (
        ("float32", "float32", "float32"),
        ("bfloat16", "mixed_bfloat16", "bfloat16"),
    ):
        assert {cells[2] for cells in kinds[name]} == {policy}
        assert all(dtype in cells[3] for cells in kinds[name])


def test_other_errors_are_not_hidden(unchecked, monkeypatch):
    def start(backend, case, part):
        raise RuntimeError("a mistake")

    monkeypatch.setattr(accelerator, "_start", start)
    policy = keras.config.dtype_policy().name
    with pytest.raises(RuntimeError, match="a mistake"):
        run("--only=layer")
    assert keras.config.dtype_policy().name == policy


def test_no_time_left(unchecked, tmp_path):
    path = tmp_path / "rows.csv"
    assert run("--minutes=0", f"--output={path}") == 0
    notes = [row["note"] for row in read(path) if row["case"] in accelerator.CASES]
    assert notes == ["no time left"] * 12


@pytest.mark.parametrize("flag", ["--only=layers", "--precisions=float16", "--only="])
def test_unknown_names_are_refused(flag, capsys):
    assert run(flag) == 2
    assert flag in one_error(capsys)


def test_full_size_needs_an_accelerator(capsys):
    if not load_backend(jit=False).is_cpu:
        pytest.skip("there is one")
    assert run("--nosmall") == 2
    assert "tensorflow finds no accelerator" in one_error(capsys)


def test_a_file_that_cannot_be_written_fails_first(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert run(f"--output={tmp_path}/file/rows.csv") == 1
    assert "cannot write" in one_error(capsys)

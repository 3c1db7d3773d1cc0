"""Row 8: a loss, a weight or a score that is no longer a number."""

import os
import re
import signal

import numpy as np
import pytest
from trainings import arrays, contents, error_of, evaluate_here, train_here

from rlstm_tf.runs.checkpoints import Checkpoints
from rlstm_tf.training.callbacks import CheckpointSaver


def assert_all_numbers(run_dir):
    """Every checkpoint there is."""
    for path in (run_dir / "checkpoints").glob("*"):
        for name, array in arrays(path).items():
            assert np.isfinite(array).all(), f"{path}: {name}"


def assert_stopped(output, rate):
    error = error_of(output)
    assert re.search(r"step \d+", error), error
    assert f"learning rate {rate}" in error


@pytest.mark.parametrize("batch_size", [4, 10])
def test_at_once(shards, tmp_path, capsys, thorough, survived, batch_size):
    """With ten, an epoch is one step: its loss is a number, and validation meets the weights."""
    run_dir = tmp_path / "run"
    more = ("--learning_rate=1e38", f"--batch_size={batch_size}", "--epochs=3")
    assert train_here(shards, run_dir, *more) == 1
    assert_stopped(capsys.readouterr().err, "1e+38")
    assert_all_numbers(run_dir)
    assert not list(run_dir.rglob("*.partial"))
    survived(8, 1)


def test_late(shards, tmp_path, capsys, thorough, survived):
    """Decay that overshoots: kernels grow a hundredfold a step."""
    run_dir = tmp_path / "run"
    more = (
        "--weight_decay=10000",
        "--epochs=20",
        "--save_every=1",
        "--momentum=0",
        "--drop_epochs=",
    )
    assert train_here(shards, run_dir, *more) == 1
    assert_stopped(capsys.readouterr().err, "0.01")
    before = contents(run_dir / "checkpoints")
    assert Checkpoints(run_dir / "checkpoints").load_newest()[1]["step"] > 3
    assert_all_numbers(run_dir)
    # It goes on from there, and ends there.
    assert train_here(shards, run_dir, *more) == 1
    assert_stopped(capsys.readouterr().err, "0.01")
    assert contents(run_dir / "checkpoints") == before
    status = evaluate_here(run_dir)
    assert status == 0 or "are not finite" in error_of(capsys.readouterr().err)
    survived(8, 2)


def test_asked_to_stop_meanwhile(shards, tmp_path, capsys, monkeypatch, thorough, survived):
    """A checkpoint that SIGTERM saves is checked like any other."""

    def stop(self, batch, logs=None):
        if self.state.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(CheckpointSaver, "on_train_batch_end", stop)
    assert train_here(shards, tmp_path / "run", "--learning_rate=1e38", "--epochs=1") == 1
    assert_stopped(capsys.readouterr().err, "1e+38")
    assert not list((tmp_path / "run").glob("checkpoints/*"))
    survived(8, 1)

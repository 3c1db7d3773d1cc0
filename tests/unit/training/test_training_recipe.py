"""Options that the paper does not have, from the command line: what is written, who reads it."""

import json
import shutil

import numpy as np
import pytest
from trainings import arrays, evaluate_here, history, train_here

from rlstm_tf.runs.directory import read_flags
from rlstm_tf.runs.weights import load_model

SLOW = ("--learning_rate=0", "--dropout=0", "--epochs=4", "--batch_norm=frozen")


def metrics(run_dir, *more):
    assert evaluate_here(run_dir, *more) == 0
    return json.loads((run_dir / "evaluation" / "val" / "metrics.json").read_text())


@pytest.fixture(scope="module")
def averaged(tiny_shards, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("averaged") / "run"
    assert train_here(tiny_shards, run_dir, "--epochs=2", "--ema_momentum=0.999") == 0
    return run_dir


def newest(run_dir):
    return arrays(sorted((run_dir / "checkpoints").glob("step-*.npz"))[-1])


def test_validation_and_evaluation_take_the_average(averaged):
    state = newest(averaged)
    raw = [name for name in state if name.startswith("raw/")]
    assert raw
    assert all((state[name] != state[name[4:]]).any() for name in raw if name.endswith("kernel"))
    expected = history(averaged)[-1]
    found = metrics(averaged)
    for name in ("loss", "accuracy"):
        assert found[name] == pytest.approx(float(expected[f"val_{name}"]), rel=1e-5)


def test_a_later_run_starts_from_the_average(averaged, tiny_shards, tmp_path):
    """With a factor of 0, what is copied does not change; the run notes what that was."""
    line = (f"--init_from={averaged}", "--pretrained_factor=0", "--epochs=1", "--batch_norm=frozen")
    assert train_here(tiny_shards, tmp_path / "run", *line) == 0
    state, before = newest(tmp_path / "run"), newest(averaged)
    weights = [name for name in state if name.startswith("model/")]
    for name in weights:
        np.testing.assert_array_equal(state[name], before[name], err_msg=name)
    with np.load(tmp_path / "run" / "checkpoints" / "best.npz") as file:
        info = json.loads(file["info"].tobytes())
    assert set(info["pretrained"]) == set(weights)


def test_a_rate_of_pretrained_layers_that_are_all_frozen(averaged, tiny_shards, tmp_path, capsys):
    line = (f"--init_from={averaged}", "--pretrained_factor=0.5", "--model=rlstm", "--freeze=trunk")
    assert train_here(tiny_shards, tmp_path / "run", *line) == 2
    error = capsys.readouterr().err
    assert "--pretrained_factor=0.5 has no effect: --freeze=trunk" in error
    assert "random weights" not in error


def test_a_run_ends_when_it_no_longer_improves(tiny_shards, tmp_path, capsys):
    """Nothing changes, so the first epoch stays the best one."""
    run_dir = tmp_path / "run"
    assert train_here(tiny_shards, run_dir, *SLOW, "--patience=2") == 0
    output = capsys.readouterr().out
    why = "epoch 3, 2 without a better validation; evaluation and export take epoch 1, the best one"
    assert f"ended after {why}" in output
    assert "accuracy of each class in val" in output
    assert len(history(run_dir)) == 3
    assert metrics(run_dir)["checkpoint"].endswith("best.npz")
    assert metrics(run_dir, "--checkpoint=newest")["checkpoint"].endswith("step-000000005.npz")
    # There is nothing to resume, but with more patience.
    assert train_here(tiny_shards, run_dir, *SLOW, "--patience=2") == 0
    assert len(history(run_dir)) == 3
    assert train_here(tiny_shards, run_dir, *SLOW, "--patience=9") == 0
    assert len(history(run_dir)) == 4
    output = capsys.readouterr().out
    assert "ended after the last epoch; evaluation" in output
    # Of the best epoch, which another training took.
    assert "accuracy of each class" not in output


def test_what_a_run_stands_for(averaged, tmp_path):
    """The best epoch of a run with patience, once there is one; else the newest checkpoint."""
    run_dir = shutil.copytree(averaged, tmp_path / "run")
    settings = read_flags(run_dir / "flags.cfg")
    newest, best = "step-000000003.npz", "best.npz"
    assert load_model(run_dir, None, settings, 2)[1].name == newest
    settings.patience = 3
    assert load_model(run_dir, None, settings, 2)[1].name == best
    assert load_model(run_dir, "newest", settings, 2)[1].name == newest
    (run_dir / "checkpoints" / best).unlink()
    assert load_model(run_dir, None, settings, 2)[1].name == newest

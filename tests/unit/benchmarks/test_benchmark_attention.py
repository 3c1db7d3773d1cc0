"""Attended positions: known cases, and the command on a run."""

import json

import keras
import numpy as np
import pytest
from exports import SMALL, make_run
from small_shards import CLASSES as FEW
from small_shards import write_shards
from tiny_runs import CLASSES

from benchmarks import attention
from rlstm_tf.attention.maps import compute_attention_maps
from rlstm_tf.cli import app, flags
from rlstm_tf.errors import UsageError
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import build_model


def test_one_position_and_all_positions():
    N = 6
    w = np.stack([np.eye(N), np.full((N, N), 1 / N), np.roll(np.eye(N), 1, axis=1)])
    w = np.stack([w, w]).astype(np.float32)
    attended, own = attention.spread(w)
    np.testing.assert_allclose(attended, [1, N, 1], rtol=1e-5)
    np.testing.assert_allclose(own, [1, 1 / N, 0], atol=1e-6)


def test_two_positions():
    w = np.zeros((1, 1, 2, 2), np.float32)
    w[0, 0] = [[0.25, 0.75], [0.5, 0.5]]
    attended, own = attention.spread(w)
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75) + np.log(0.5)) / 2
    np.testing.assert_allclose(attended, np.exp(entropy), rtol=1e-5)
    np.testing.assert_allclose(own, 0.375)


def test_of_a_run(tiny_run, capsys):
    status = app.run(attention.main, attention.define_flags, ["attention", f"--runs={tiny_run}"])
    found = capsys.readouterr()
    assert status == 0, found.err
    spatial, temporal = (row.split() for row in found.out.splitlines()[-2:])
    assert (spatial[:2], temporal[:2]) == (["run", "spatial"], ["run", "temporal"])
    N = int(spatial[-1])
    for row in (spatial, temporal):
        assert all(1 <= float(value) <= N for value in row[2:6])
        assert all(0 <= float(value) <= 1 for value in row[6:10])


def test_of_a_network_without_relations(tiny_shards, tmp_path, capsys):
    more = ("--model=tsn", f"--data={tiny_shards}")
    run = make_run(tmp_path / "run", *SMALL, *more, classes=CLASSES).path
    assert app.run(attention.main, attention.define_flags, ["attention", f"--runs={run}"]) == 2
    assert "error: the network tsn has no Relational LSTM" in capsys.readouterr().err


def test_without_runs(capsys):
    assert app.run(attention.main, attention.define_flags, ["attention"]) == 2
    assert "error: --runs must be given" in capsys.readouterr().err


@pytest.mark.parametrize("more", [(), ("--bidirectional", "--local_term", "--displacement_term")])
def test_uniform_past(more):
    """Inside, the past is a mean and the present as before; outside, all is as it was."""
    values = flags.parse_flagfiles()
    values(["run", *SMALL, *more])
    keras.utils.set_random_seed(0)
    model = build_model(ModelConfig.from_flags(values), 3)
    # Larger kernels than those drawn, so that attention is far from uniform.
    model.set_weights([10 * w if w.ndim == 2 else w for w in model.get_weights()])
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype="uint8")
    before = compute_attention_maps(model, frames)
    N = np.prod(before.map_shape)
    with attention.uniform_past(model):
        inside = compute_attention_maps(model, frames)
    after = compute_attention_maps(model, frames)
    np.testing.assert_allclose(inside.temporal, 1 / N, rtol=1e-6)
    assert np.abs(before.temporal - 1 / N).max() > 0.01
    np.testing.assert_array_equal(inside.spatial[0], before.spatial[0])
    assert np.abs(inside.logits - before.logits).max() > 1e-4
    np.testing.assert_array_equal(after.logits, before.logits)
    np.testing.assert_array_equal(after.temporal, before.temporal)


def test_uniform_past_of_other_functions():
    values = flags.parse_flagfiles()
    values(["run", *SMALL, "--pairwise=dot_product"])
    model = build_model(ModelConfig.from_flags(values), 3)
    with pytest.raises(UsageError, match="--pairwise=dot_product: the weights do not sum to 1"):
        attention.uniform_past(model).__enter__()


def test_accuracies_of_a_run(tiny_run, capsys):
    arguments = ["attention", f"--runs={tiny_run}", "--uniform_past"]
    assert app.run(attention.main, attention.define_flags, arguments) == 0
    learned, uniform = capsys.readouterr().out.splitlines()[-2:]
    assert learned.split()[:2] == ["run", "learned"]
    assert uniform.split()[:2] == ["run", "uniform"]
    metrics = json.loads((tiny_run / "evaluation" / "test" / "metrics.json").read_text())
    assert learned.endswith(f"all classes {100 * metrics['accuracy']:.1f}")


def test_accuracies_of_several_classes_a_video(tmp_path, capsys):
    shards = tmp_path / "shards"
    write_shards(shards, [8, 8, 8], subset="test", multi_label=True)
    run = make_run(tmp_path / "run", *SMALL, f"--data={shards}", classes=FEW).path
    arguments = ["attention", f"--runs={run}", "--uniform_past"]
    assert app.run(attention.main, attention.define_flags, arguments) == 2
    assert f"error: {run}: --uniform_past takes videos of one class" in capsys.readouterr().err

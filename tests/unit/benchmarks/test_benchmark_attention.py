"""Attended positions: known cases, and the command on a run."""

import numpy as np
from exports import SMALL, make_run
from tiny_runs import CLASSES

from benchmarks import attention
from rlstm_tf.cli import app


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

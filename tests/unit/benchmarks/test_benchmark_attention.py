"""How many places are looked at: known cases, and a run from its command."""

import numpy as np
import pytest
from test_end_to_end import SMALL

from benchmarks import attention
from rlstm_tf import train
from rlstm_tf.cli import app


def test_one_place_and_all_places():
    N = 6
    w = np.stack([np.eye(N), np.full((N, N), 1 / N), np.roll(np.eye(N), 1, axis=1)])
    w = np.stack([w, w]).astype(np.float32)
    places, own = attention.spread(w)
    np.testing.assert_allclose(places, [1, N, 1], rtol=1e-5)
    np.testing.assert_allclose(own, [1, 1 / N, 0], atol=1e-6)


def test_between():
    w = np.zeros((1, 1, 2, 2), np.float32)
    w[0, 0] = [[0.25, 0.75], [0.5, 0.5]]
    places, own = attention.spread(w)
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75) + np.log(0.5)) / 2
    np.testing.assert_allclose(places, np.exp(entropy), rtol=1e-5)
    np.testing.assert_allclose(own, 0.375)


@pytest.mark.parametrize("model", ["two_branch", "tsn"])
def test_of_a_run(built, tmp_path, capsys, model):
    run = tmp_path / "some_run"
    line = ["train", f"--data={built}", f"--run_dir={run}", *SMALL, "--epochs=1"]
    line += ["--val_subset=none", f"--model={model}"]
    assert app.run(train.main, train.define_flags, line) == 0
    capsys.readouterr()
    status = app.run(attention.main, attention.define_flags, ["attention", f"--runs={run}"])
    found = capsys.readouterr()
    if model == "tsn":
        assert status == 2
        assert "error: the network tsn has no Relational LSTM" in found.err
        return
    assert status == 0, found.err
    spatial, temporal = (row.split() for row in found.out.splitlines()[-2:])
    assert (spatial[:2], temporal[:2]) == (["some_run", "spatial"], ["some_run", "temporal"])
    N = int(spatial[-2])
    for row in (spatial, temporal):
        assert all(1 <= float(value) <= N for value in row[2:6])
        assert all(0 <= float(value) <= 1 for value in row[6:10])


def test_without_runs(capsys):
    assert app.run(attention.main, attention.define_flags, ["attention"]) == 2
    assert "error: --runs must be given" in capsys.readouterr().err

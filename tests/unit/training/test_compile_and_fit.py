"""examples/compile_and_fit.py beside rlstm_tf.train."""

import csv
import importlib.util
import runpy
import sys

import numpy as np
import pytest
from repository import ROOT
from tiny_runs import run

from rlstm_tf import train

# TSN, because Keras needs twice the time for the two-branch network.
SAME = (
    *("--model=tsn", "--image_size=32", "--num_segments=2", "--batch_size=2", "--epochs=2"),
    "--seed=3",
)
# What the example sets, as flags.
LOOP = (
    *("--backbone=tiny_resnetv2", "--cut=conv4_block1_out"),
    *("--weights=none", "--crop_scales=1,0.875", "--flip=false", "--batch_norm=batch"),
    *("--batch_norm_momentum=0.9", "--attention_scale=0.18", "--attention_norm", "--local_term"),
    *("--dropout=0", "--weight_decay=0", "--schedule=cosine", "--clip_norm=5"),
    "--learning_rate=0.02",
)

PATH = ROOT / "examples" / "compile_and_fit.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("compile_and_fit", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_fit_trains_as_the_loop_does(example, tiny_shards, tmp_path):
    """Without dropout, whose masks differ: the same batches, weights and steps."""
    output = tmp_path / "best.keras"
    found = example.main([f"--data={tiny_shards}", f"--output={output}", *SAME])
    assert output.is_file()
    assert run(train, f"--data={tiny_shards}", f"--run_dir={tmp_path / 'run'}", *SAME, *LOOP) == 0
    with (tmp_path / "run" / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        expected = [float(row[name]) for row in rows]
        np.testing.assert_allclose(found[name], expected, rtol=1e-3, err_msg=name)
    # Of the epoch that ModelCheckpoint kept, loaded again.
    assert np.isfinite(found["test_loss"]).all()
    assert found["test_accuracy"][0] in np.arange(5) / 4


def test_errors_are_one_line(tmp_path, monkeypatch):
    given = ["compile_and_fit.py", f"--data={tmp_path}", f"--output={tmp_path}/best.keras"]
    monkeypatch.setattr(sys, "argv", given)
    with pytest.raises(SystemExit, match=r"^error: no shards in .*$"):
        runpy.run_path(str(PATH), run_name="__main__")

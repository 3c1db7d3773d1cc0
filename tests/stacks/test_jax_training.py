"""examples/jax_training.py beside rlstm_tf.train."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
from repository import ROOT
from tiny_runs import TINY, run

from rlstm_tf import evaluate, train
from rlstm_tf.compat import KERAS_3
from rlstm_tf.evaluation import score_files

pytestmark = [
    pytest.mark.skipif(not KERAS_3, reason="Keras 2.15 has one backend"),
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed"),
]

# One epoch of the network that the run has; the last of its flags is the schedule's.
SAME = (*TINY[:-1], "--epochs=1", "--dropout=0")
# What the example sets, as flags.
LOOP = ("--weight_decay=0", "--drop_epochs=", "--val_subset=none")


def test_two_devices_train_as_the_loop_does(tiny_shards, tiny_run, tmp_path):
    """From the weights of a run, without dropout; TensorFlow reads what JAX has written."""
    runs = tmp_path / "jax", tmp_path / "loop"
    jax_flags, loop_flags = (
        [f"--data={tiny_shards}", f"--run_dir={path}", f"--init_from={tiny_run}", *SAME]
        for path in runs
    )
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "jax_training.py", *jax_flags],
        env={
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
            "XLA_FLAGS": "--xla_force_host_platform_device_count=2 "
            "--xla_cpu_use_fusion_emitters=false",
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert "on 2 devices" in done.stdout
    assert run(train, *loop_flags, *LOOP) == 0
    scores = []
    for path in runs:
        assert run(evaluate, f"--run_dir={path}", "--split=test") == 0
        scores.append(score_files.load(path / "evaluation" / "test")[0].logits)
    np.testing.assert_allclose(*scores, atol=1e-3 * np.abs(scores[1]).max())
    before = score_files.load(tiny_run / "evaluation" / "test")[0].logits
    assert np.abs(scores[1] - before).max() > 0.1 * np.abs(before).max()

"""Row 2, in one process: asked to stop in the middle of an epoch, with all the state there is."""

import os
import signal

import pytest
from trainings import assert_same_run, train_here

from rlstm_tf.training.callbacks import CheckpointSaver

MORE = (
    *("--accumulate=2", "--precision=mixed_float16", "--epochs=3", "--sampling=balanced"),
    *("--color_jitter=0.4", "--random_erasing=0.5", "--mixup=0.4"),
)


@pytest.fixture(scope="module")
def whole(shards, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("whole16") / "run"
    assert train_here(shards, run_dir, *MORE) == 0
    return run_dir


def test_parts_of_batches_and_a_loss_scale(shards, whole, tmp_path, monkeypatch, times, survived):
    """The loss scale and its counter are state; the sums of a batch's parts are none."""
    steps = (1, 4, 7) if times(1, 0) else (4,)
    save = CheckpointSaver.on_train_batch_end
    for step in steps:

        def stop(self, batch, logs=None, step=step):
            save(self, batch, logs)
            if self.state.step == step:
                os.kill(os.getpid(), signal.SIGTERM)

        run_dir = tmp_path / f"run{step}"
        with monkeypatch.context() as patched:
            patched.setattr(CheckpointSaver, "on_train_batch_end", stop)
            assert train_here(shards, run_dir, *MORE) == 0
        assert (run_dir / "checkpoints" / f"step-{step:09d}.npz").exists()
        assert not (run_dir / "checkpoints" / "step-000000008.npz").exists()
        assert train_here(shards, run_dir, *MORE) == 0
        assert_same_run(run_dir, whole)
    survived(2, len(steps))

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
# What the paper does not have.
RECIPE = (
    *("--schedule=cosine", "--warmup_steps=2", "--label_smoothing=0.1", "--optimizer=adamw"),
    *("--init_from={short}", "--pretrained_factor=0.5", "--ema_momentum=0.9", "--clip_norm=1"),
    *("--class_weights=balanced", "--patience=2", "--epochs=3"),
)


@pytest.mark.parametrize("more", [MORE, RECIPE], ids=["parts", "recipe"])
def test_with_all_its_state(shards, short, more, tmp_path, monkeypatch, times, survived):
    """The loss scale and its counter are state; the sums of a batch's parts are none.

    So are averages of weights and what was pretrained; epochs of patience follow from the history.
    """
    more = [flag.format(short=short) for flag in more]
    whole = tmp_path / "whole"
    assert train_here(shards, whole, *more) == 0
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
            assert train_here(shards, run_dir, *more) == 0
        assert (run_dir / "checkpoints" / f"step-{step:09d}.npz").exists()
        assert not (run_dir / "checkpoints" / "step-000000008.npz").exists()
        assert train_here(shards, run_dir, *more) == 0
        assert_same_run(run_dir, whole)
    survived(2, len(steps))

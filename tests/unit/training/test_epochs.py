"""Epochs: reports, stopping, resuming and errors."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_networks import linear_batches, linear_model, linear_trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlstm_tf.data.batch_schedule import EpochSchedule
from rlstm_tf.errors import DataError
from rlstm_tf.summaries.events import Events
from rlstm_tf.summaries.scalars import Scalars
from rlstm_tf.training import epochs as training
from rlstm_tf.training.preemption import Stopped
from rlstm_tf.training.state import TrainState


class Listener(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.epochs, self.batches = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append((batch, dict(logs)))

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((epoch, dict(logs), self.model))


def fit(trainer, count, state=None, num_samples=10, num_epochs=4, **options):
    """Fits epochs of `num_samples` in batches of 4; 10 samples end at steps 3, 5, 8, 10."""
    return training.fit(
        trainer,
        linear_batches(count),
        epochs=EpochSchedule(num_samples, 4),
        num_epochs=num_epochs,
        state=state or TrainState(),
        learning_rate=lambda step: 0.5 / (step + 1),
        **options,
    )


def test_fit_reports_through_keras_callbacks():
    model, listener = linear_model(), Listener()
    scores = {"loss": 1.5, "accuracy": 0.25}
    state = TrainState(step=3, epoch=1)
    assert fit(linear_trainer(model), 7, state, validate=lambda: scores, callbacks=[listener])
    assert [epoch for epoch, _, _ in listener.epochs] == [1, 2, 3]
    assert [index for index, _ in listener.batches] == [0, 1, 0, 1, 2, 0, 1]
    logs = listener.epochs[0][1]
    assert logs["val_accuracy"] == 0.25
    assert logs["learning_rate"] == 0.5 / 5
    assert logs["loss"] > 0
    assert logs["videos_per_second"] > 0
    assert 0 < logs["input_wait_share"] < 1
    assert 0 <= logs["accuracy"] <= 1
    assert listener.epochs[0][2] is model
    assert (state.step, state.epoch) == (10, 4)


def test_fit_resumes_within_an_epoch():
    """With the saved sums of the first steps, it reports the metrics of the whole epoch."""
    whole, rest = Listener(), Listener()
    keras.utils.set_random_seed(1)
    trainer = linear_trainer(linear_model())
    fit(trainer, 3, callbacks=[whole], num_epochs=1)
    keras.utils.set_random_seed(1)
    trainer, source, state = linear_trainer(linear_model()), linear_batches(3), TrainState()
    for _ in range(2):
        state.add(*trainer.train_step(next(source)))
    state.sync()
    info = state.to_dict()
    training.fit(
        trainer,
        source,
        epochs=EpochSchedule(10, 4),
        num_epochs=1,
        state=TrainState.from_dict({**info, "best": None}, "x"),
        learning_rate=lambda step: 0.5 / (step + 1),
        callbacks=[rest],
    )
    assert [index for index, _ in rest.batches] == [2]
    for name in ("loss", "accuracy", "learning_rate"):
        assert rest.epochs[0][1][name] == whole.epochs[0][1][name]


def test_tensorboard_has_each_point_once(tmp_path):
    """Points come every tenth step; a run stopped between two and resumed has the same ones."""
    epochs = EpochSchedule(100, 4)
    options = {"epochs": epochs, "num_epochs": 2, "learning_rate": lambda step: 0.1}
    whole, state = tmp_path / "whole", TrainState()
    with tf.summary.create_file_writer(str(whole)).as_default():
        tf.summary.scalar("mine", 1.0, step=999)
    board = Scalars(Events(whole, epochs, state))
    keras.utils.set_random_seed(1)
    training.fit(
        linear_trainer(linear_model()),
        linear_batches(50),
        state=state,
        callbacks=[board],
        **options,
    )
    keras.utils.set_random_seed(1)
    resumed, state, trainer = tmp_path / "resumed", TrainState(), linear_trainer(linear_model())
    source = linear_batches(50)
    for stop in (13, 37, 50):
        board = Scalars(Events(resumed, epochs, state))
        stop_options = {"should_stop": stop.__eq__, "on_stop": state.sync}
        training.fit(trainer, source, state=state, callbacks=[board], **stop_options, **options)
        state = TrainState(**state.to_dict())
    found = scalars(whole)
    assert [step for step, _ in found["train/loss"]] == [10, 20, 25, 30, 40, 50]
    assert len({value for _, value in found["train/loss"]}) == 6
    # Points of others are kept.
    assert found.pop("mine") == [(999, 1.0)]
    again = scalars(resumed)
    assert set(again) == set(found)
    assert {"train/learning_rate", "epoch/input_wait_share"} <= set(found)
    for tag in set(found) - {"epoch/videos_per_second", "epoch/input_wait_share"}:
        np.testing.assert_allclose(again[tag], found[tag], rtol=1e-6)


def scalars(directory):
    events = EventAccumulator(str(directory), size_guidance={"tensors": 0})
    events.Reload()
    return {
        # Files of the same second are sorted by their number as text.
        tag: sorted((e.step, float(tf.make_ndarray(e.tensor_proto))) for e in events.Tensors(tag))
        for tag in events.Tags()["tensors"]
    }


def test_fit_ends_an_epoch_that_was_stopped_after_its_last_step():
    sums = {"loss": 3.0, "correct": 6.0, "seconds": 2.0, "waited": 0.5}
    state = TrainState(step=3, epoch=0, **sums)
    listener = Listener()
    fit(linear_trainer(linear_model()), 0, state, callbacks=[listener], num_epochs=1)
    ((epoch, logs, _),) = listener.epochs
    assert epoch == 0
    expected = {"loss": 1.0, "accuracy": 0.5, "videos_per_second": 6.0, "learning_rate": 0.5 / 3}
    assert logs == pytest.approx({**expected, "input_wait_share": 0.25})


def test_fit_stops_on_request():
    state, stopped = TrainState(), []
    finished = fit(
        linear_trainer(linear_model()),
        20,
        state,
        should_stop=lambda step: step == 4,
        on_stop=lambda: stopped.append(state.step),
    )
    assert not finished
    assert stopped == [4]

    def validate():
        raise Stopped

    state = TrainState()
    assert not fit(linear_trainer(linear_model()), 20, state, validate=validate)
    # Its steps are done, but not its validation.
    assert (state.step, state.epoch) == (3, 0)
    assert state.loss > 0


def test_time_between_steps_is_not_training_time():
    """Validation lasts until the next checkpoint is saved."""
    state = TrainState()
    state.add(1.0, 1)
    state.sync()
    seconds = state.seconds
    assert seconds > 0
    time.sleep(0.01)
    state.sync()
    assert state.seconds == seconds


def test_input_wait_share(monkeypatch):
    """A batch takes three ticks of the clock, its step one."""
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    trainer, listener, state = linear_trainer(linear_model()), Listener(), TrainState()
    train_step = trainer.train_step

    def late(source):
        for batch in source:
            clock[0] += 3.0
            yield batch

    def step(batch):
        clock[0] += 1.0
        return train_step(batch)

    trainer.train_step = step
    options = {"epochs": EpochSchedule(12, 4), "learning_rate": lambda step: 0.1}
    training.fit(
        trainer, late(linear_batches(6)), num_epochs=2, state=state, callbacks=[listener], **options
    )
    assert [logs["input_wait_share"] for _, logs, _ in listener.epochs] == [0.75, 0.75]
    assert [logs["videos_per_second"] for _, logs, _ in listener.epochs] == [1.0, 1.0]


def test_checkpoint_without_waiting_time_is_resumed():
    """Checkpoints of earlier versions have none."""
    info = TrainState(step=3, epoch=1, seconds=2.0, waited=1.0).to_dict()
    assert TrainState.from_dict(info, "x.npz").waited == 1.0
    del info["waited"]
    state = TrainState.from_dict({**info, "best": None}, "x.npz")
    assert (state.step, state.seconds, state.waited) == (3, 2.0, 0.0)


def test_state_with_missing_keys_is_refused():
    with pytest.raises(DataError, match=r"x\.npz is from an older version"):
        TrainState.from_dict({"step": 3, "epoch": 1, "best": None}, "x.npz")


def test_loss_that_is_not_finite_stops_training():
    trainer = linear_trainer(linear_model(), learning_rate=1e38)
    step = r"at step \d+, learning rate 0\.\d+"
    with pytest.raises(DataError, match=rf"loss became (nan|inf) {step}.*--learning_rate"):
        fit(trainer, 20, num_samples=80, num_epochs=1)


def test_error_names_first_step_whose_loss_is_not_finite():
    state = TrainState(step=4)
    for loss in (1.0, 2.0, float("nan"), 1.0):
        state.add(tf.constant(loss), tf.constant(1))
    with pytest.raises(FloatingPointError, match="became nan at step 7"):
        state.sync()

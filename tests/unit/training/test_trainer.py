"""The trainer: its step as in NumPy, its reports, stopping and errors."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_networks import linear_batches, linear_model
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlstm_tf import compat
from rlstm_tf.data.batch_schedule import EpochSchedule
from rlstm_tf.errors import DataError
from rlstm_tf.summaries.events import Events
from rlstm_tf.summaries.scalars import Scalars
from rlstm_tf.training import optimizers
from rlstm_tf.training.preemption import Stopped
from rlstm_tf.training.state import TrainState
from rlstm_tf.training.trainer import Trainer


def trainer_of(model, learning_rate=0.1, momentum=0.9, weight_decay=0.0, **options):
    optimizer = optimizers.sgd(learning_rate, momentum, model.trainable_variables)
    return Trainer(model, optimizer, tf.distribute.get_strategy(), weight_decay, **options)


# Balanced weights of classes with 6, 2 and 4 videos.
@pytest.mark.parametrize("class_weights", [None, [12 / 18, 12 / 6, 12 / 12]])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_step_is_sgd_with_momentum_and_decay_of_kernels_only(class_weights, accumulate):
    model = linear_model()
    kernel, bias = (w.astype("float64") for w in model.get_weights())
    bias += [0.1, 0.2, 0.3]
    model.set_weights([kernel, bias])
    options = {"class_weights": class_weights, "accumulate": accumulate}
    trainer = trainer_of(model, 0.1, 0.9, 0.01, **options)
    velocity = [np.zeros_like(kernel), np.zeros_like(bias)]
    for batch in linear_batches(3):
        x = (np.asarray(batch["frames"], "float64") / 127.5 - 1).mean(axis=(1, 2, 3))
        logits = x @ kernel + bias
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        labels = np.asarray(batch["label"])
        weights = np.ones(4) if class_weights is None else np.array(class_weights)[labels]
        loss = -(weights * np.log(p[np.arange(4), labels])).mean()
        correct = (logits.argmax(axis=1) == labels).sum()
        error = weights[:, None] * (p - np.eye(3)[labels]) / 4
        gradients = [x.T @ error + 0.01 * kernel, error.sum(axis=0)]
        velocity = [0.9 * v - 0.1 * g for v, g in zip(velocity, gradients)]
        kernel, bias = kernel + velocity[0], bias + velocity[1]
        step_loss, step_correct = trainer.train_step(batch)
        np.testing.assert_allclose(step_loss, loss, rtol=1e-5)
        assert int(step_correct) == correct
    np.testing.assert_allclose(model.get_weights()[0], kernel, atol=1e-6)
    np.testing.assert_allclose(model.get_weights()[1], bias, atol=1e-6)


def test_schedule_drops_after_given_steps():
    schedule = optimizers.StepSchedule(0.1, (10, 15))
    rates = [float(schedule(step)) for step in (0, 9, 10, 14, 15, 100)]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rtol=1e-6)
    assert float(optimizers.StepSchedule(0.1, ())(1000)) == pytest.approx(0.1)


def test_schedule_rises_over_the_first_steps():
    schedule = optimizers.StepSchedule(0.1, (6,), warmup_steps=4)
    rates = [float(schedule(step)) for step in range(8)]
    expected = [0.025, 0.05, 0.075, 0.1, 0.1, 0.1, 0.01, 0.01]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


@pytest.mark.parametrize("scale_loss", [False, True])
@pytest.mark.parametrize("norm", [0.5, 1e3, 1e30])
def test_gradients_are_clipped_by_their_global_norm(norm, scale_loss):
    """Without momentum, a step is minus the rate times the clipped gradients and the decay."""
    model = linear_model()
    weights = model.trainable_variables
    optimizer = optimizers.sgd(0.1, 0.0, weights, scale_loss)
    strategy = tf.distribute.get_strategy()
    trainer = Trainer(model, optimizer, strategy, weight_decay=0.01, clip_norm=norm)
    before = model.get_weights()
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=w.shape).astype("float32") for w in before]
    scaled = [compat.scale_loss(optimizer, tf.constant(g)) for g in gradients]
    strategy.run(trainer._apply, args=(scaled,))
    length = np.sqrt(sum((g**2).sum() for g in gradients))
    assert length > 1
    kernel, bias = (g * min(1.0, norm / length) for g in gradients)
    kernel += 0.01 * before[0]
    for w, start, g in zip(model.get_weights(), before, (kernel, bias)):
        np.testing.assert_allclose(w, start - 0.1 * g, atol=1e-6)


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
    return trainer.fit(
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
    assert fit(trainer_of(model), 7, state, validate=lambda: scores, callbacks=[listener])
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
    trainer = trainer_of(linear_model())
    fit(trainer, 3, callbacks=[whole], num_epochs=1)
    keras.utils.set_random_seed(1)
    trainer, source, state = trainer_of(linear_model()), linear_batches(3), TrainState()
    for _ in range(2):
        state.add(*trainer.train_step(next(source)))
    state.sync()
    info = state.to_dict()
    trainer.fit(
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
    trainer_of(linear_model()).fit(linear_batches(50), state=state, callbacks=[board], **options)
    keras.utils.set_random_seed(1)
    resumed, state, trainer = tmp_path / "resumed", TrainState(), trainer_of(linear_model())
    source = linear_batches(50)
    for stop in (13, 37, 50):
        board = Scalars(Events(resumed, epochs, state))
        stop_options = {"should_stop": stop.__eq__, "on_stop": state.sync}
        trainer.fit(source, state=state, callbacks=[board], **stop_options, **options)
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
    fit(trainer_of(linear_model()), 0, state, callbacks=[listener], num_epochs=1)
    ((epoch, logs, _),) = listener.epochs
    assert epoch == 0
    expected = {"loss": 1.0, "accuracy": 0.5, "videos_per_second": 6.0, "learning_rate": 0.5 / 3}
    assert logs == pytest.approx({**expected, "input_wait_share": 0.25})


def test_fit_stops_on_request():
    state, stopped = TrainState(), []
    finished = fit(
        trainer_of(linear_model()),
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
    assert not fit(trainer_of(linear_model()), 20, state, validate=validate)
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
    trainer, listener, state = trainer_of(linear_model()), Listener(), TrainState()
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
    trainer.fit(late(linear_batches(6)), num_epochs=2, state=state, callbacks=[listener], **options)
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
    trainer = trainer_of(linear_model(), learning_rate=1e38)
    step = r"at step \d+, learning rate 0\.\d+"
    with pytest.raises(DataError, match=rf"loss became (nan|inf) {step}.*--learning_rate"):
        fit(trainer, 20, num_samples=80, num_epochs=1)


def test_error_names_first_step_whose_loss_is_not_finite():
    state = TrainState(step=4)
    for loss in (1.0, 2.0, float("nan"), 1.0):
        state.add(tf.constant(loss), tf.constant(1))
    with pytest.raises(FloatingPointError, match="became nan at step 7"):
        state.sync()


def test_same_seed_same_run():
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        model = linear_model()
        trainer = trainer_of(model)
        for batch in linear_batches(3):
            trainer.train_step(batch)
        results.append(model.get_weights())
    for a, b in zip(*results):
        np.testing.assert_array_equal(a, b)

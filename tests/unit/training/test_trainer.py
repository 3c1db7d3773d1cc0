"""The trainer: its step as in NumPy."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_networks import linear_batches, linear_model, linear_trainer

from rlstm_tf import compat
from rlstm_tf.training import optimizers
from rlstm_tf.training.trainer import Trainer


# Balanced weights of classes with 6, 2 and 4 videos.
@pytest.mark.parametrize("class_weights", [None, [12 / 18, 12 / 6, 12 / 12]])
@pytest.mark.parametrize(("accumulate", "smoothing"), [(1, 0.0), (2, 0.0), (1, 0.3), (2, 0.3)])
def test_step_is_sgd_with_momentum_and_decay_of_kernels_only(class_weights, accumulate, smoothing):
    model = linear_model()
    kernel, bias = (w.astype("float64") for w in model.get_weights())
    bias += [0.1, 0.2, 0.3]
    model.set_weights([kernel, bias])
    options = {"class_weights": class_weights, "label_smoothing": smoothing}
    trainer = linear_trainer(model, 0.1, 0.9, 0.01, accumulate=accumulate, **options)
    velocity = [np.zeros_like(kernel), np.zeros_like(bias)]
    for batch in linear_batches(3):
        x = (np.asarray(batch["frames"], "float64") / 127.5 - 1).mean(axis=(1, 2, 3))
        logits = x @ kernel + bias
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        labels = np.asarray(batch["label"])
        weights = np.ones(4) if class_weights is None else np.array(class_weights)[labels]
        targets = (1 - smoothing) * np.eye(3)[labels] + smoothing / 3
        loss = -(weights * (targets * np.log(p)).sum(axis=1)).mean()
        correct = (logits.argmax(axis=1) == labels).sum()
        error = weights[:, None] * (p - targets) / 4
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


def test_cosine_falls_to_zero_over_the_training():
    schedule = optimizers.make_schedule("cosine", 0.1, (2,), 10)
    expected = [0.05 * (1 + math.cos(math.pi * step / 10)) for step in range(11)]
    rates = [float(schedule(step)) for step in range(11)]
    np.testing.assert_allclose(rates, expected, atol=1e-7)
    assert rates[0] == np.float32(0.1)
    assert rates[10] == 0


@pytest.mark.parametrize("name", ["steps", "cosine"])
def test_schedule_rises_over_the_first_steps(name):
    after = {"steps": [0.1] * 6 + [0.01] * 2}
    after["cosine"] = [0.05 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
    schedule = optimizers.make_schedule(name, 0.1, (6,), 8, warmup_steps=4)
    rates = [float(schedule(step)) for step in range(8)]
    expected = np.array(after[name]) * [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    np.testing.assert_allclose(rates, expected, rtol=1e-5)


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


def test_same_seed_same_run():
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        model = linear_model()
        trainer = linear_trainer(model)
        for batch in linear_batches(3):
            trainer.train_step(batch)
        results.append(model.get_weights())
    for a, b in zip(*results):
        np.testing.assert_array_equal(a, b)

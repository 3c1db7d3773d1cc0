"""The loop: its step against NumPy, one device against two, what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from rlstm_tf import optimization, training
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.layers import FoldTime, PixelScaling, UnfoldTime

ROOT = Path(__file__).parent.parent


def linear_model(classes=3):
    """Frames [batch, 2, 4, 4, 3] -> mean over space and time -> logits."""
    inputs = keras.Input((2, 4, 4, 3), dtype="uint8")
    x = keras.layers.GlobalAveragePooling2D()(PixelScaling()(FoldTime()(inputs)))
    x = keras.layers.GlobalAveragePooling1D()(UnfoldTime(2)(x))
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(x))


def batches(count, batch=4, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield {
            "frames": tf.constant(rng.integers(0, 256, (batch, 2, 4, 4, 3), dtype="uint8")),
            "label": tf.constant(rng.integers(0, classes, batch), tf.int32),
        }


def trainer_of(model, learning_rate=0.1, momentum=0.9, weight_decay=0.0):
    optimizer = optimization.sgd(learning_rate, momentum, model.trainable_variables)
    return training.Trainer(model, optimizer, tf.distribute.get_strategy(), weight_decay)


def test_step_is_sgd_with_momentum_and_decay_of_kernels_alone():
    model = linear_model()
    kernel, bias = (w.astype("float64") for w in model.get_weights())
    bias += [0.1, 0.2, 0.3]
    model.set_weights([kernel, bias])
    trainer = trainer_of(model, 0.1, 0.9, 0.01)
    velocity = [np.zeros_like(kernel), np.zeros_like(bias)]
    for batch in batches(3):
        x = (np.asarray(batch["frames"], "float64") / 127.5 - 1).mean(axis=(1, 2, 3))
        logits = x @ kernel + bias
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        labels = np.asarray(batch["label"])
        loss = -np.log(p[np.arange(4), labels]).mean()
        correct = (logits.argmax(axis=1) == labels).sum()
        error = (p - np.eye(3)[labels]) / 4
        gradients = [x.T @ error + 0.01 * kernel, error.sum(axis=0)]
        velocity = [0.9 * v - 0.1 * g for v, g in zip(velocity, gradients)]
        kernel, bias = kernel + velocity[0], bias + velocity[1]
        step_loss, step_correct = trainer.train_step(batch)
        np.testing.assert_allclose(step_loss, loss, rtol=1e-5)
        assert int(step_correct) == correct
    np.testing.assert_allclose(model.get_weights()[0], kernel, atol=1e-6)
    np.testing.assert_allclose(model.get_weights()[1], bias, atol=1e-6)


def test_schedule_drops_after_the_epochs_named():
    schedule = optimization.StepSchedule(0.1, (2, 3), steps_per_epoch=5)
    rates = [float(schedule(step)) for step in (0, 9, 10, 14, 15, 100)]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rtol=1e-6)
    assert float(optimization.StepSchedule(0.1, (), 5)(1000)) == pytest.approx(0.1)


def test_fit_reports_through_keras_callbacks():
    seen = []

    class Listener(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((epoch, dict(logs), self.model))

    model = linear_model()
    trainer = trainer_of(model)
    trainer.fit(
        batches(6),
        first_step=2,
        steps_per_epoch=2,
        epochs=4,
        batch_size=4,
        learning_rate=lambda step: 0.5 / (step + 1),
        validate=lambda: {"loss": 1.5, "accuracy": 0.25},
        callbacks=[Listener()],
    )
    assert [epoch for epoch, _, _ in seen] == [1, 2, 3]
    logs = seen[0][1]
    assert logs["val_accuracy"] == 0.25
    assert logs["learning_rate"] == 0.5 / 4
    assert logs["loss"] > 0
    assert logs["videos_per_second"] > 0
    assert 0 <= logs["accuracy"] <= 1
    assert seen[0][2] is model


def test_a_loss_that_is_no_number_stops_the_run():
    trainer = trainer_of(linear_model(), learning_rate=1e38)
    with pytest.raises(DataError, match=r"loss became (nan|inf).*--learning_rate"):
        trainer.fit(
            batches(20),
            first_step=0,
            steps_per_epoch=20,
            epochs=1,
            batch_size=4,
            learning_rate=lambda step: 1e38,
        )


def test_same_seed_same_run():
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        model = linear_model()
        trainer = trainer_of(model)
        for batch in batches(3):
            trainer.train_step(batch)
        results.append(model.get_weights())
    for a, b in zip(*results):
        np.testing.assert_array_equal(a, b)


MIRRORED = """
import json
import keras
import numpy as np
import tensorflow as tf
from rlstm_tf import devices, optimization, training
from rlstm_tf.models import build_model

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
rng = np.random.default_rng(0)
frames = rng.integers(0, 256, (6, 4, 3, 32, 32, 3), dtype="uint8")
labels = rng.integers(0, 5, (6, 4)).astype("int32")
result = {}
for name in ("none", "mirrored"):
    keras.utils.set_random_seed(1)
    strategy = devices.make_strategy(name)
    with strategy.scope():
        model = build_model(
            5, "tiny_resnetv2", None, "none", 32, "population", 0.9, num_segments=3, dropout=0.0
        )
        optimizer = optimization.sgd(0.01, 0.9, model.trainable_variables)
    trainer = training.Trainer(model, optimizer, strategy, 5e-4)
    dataset = tf.data.Dataset.from_tensor_slices({"frames": frames, "label": labels})
    batches = devices.distribute(strategy, dataset, 4)
    losses = [float(trainer.train_step(batch)[0]) for batch in batches]
    moving = [w for w in model.weights if "moving" in w.name]
    result[name] = {
        "replicas": strategy.num_replicas_in_sync,
        "losses": losses,
        "statistics": [np.asarray(w.numpy()).tolist() for w in moving],
    }
    uneven = ""
    try:
        devices.distribute(strategy, dataset, 3)
    except Exception as error:
        uneven = f"{type(error).__name__}: {error}"
    result[name]["uneven"] = uneven
print(json.dumps(result))
"""


def test_two_replicas_give_the_losses_of_one_device():
    """Dropout off, population statistics; in a process with two logical CPU devices."""
    output = subprocess.run(
        [sys.executable, "-c", MIRRORED],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    result = json.loads(output.splitlines()[-1])
    one, two = result["none"], result["mirrored"]
    assert (one["replicas"], two["replicas"]) == (1, 2)
    assert len(one["losses"]) == 6
    assert len(set(one["losses"])) == 6
    np.testing.assert_allclose(two["losses"], one["losses"], atol=1e-5)
    for a, b in zip(one["statistics"], two["statistics"]):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert one["uneven"] == ""
    assert two["uneven"].startswith(UsageError.__name__)

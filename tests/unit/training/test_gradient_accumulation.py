"""Micro-batches, mixed precision and XLA give the same step as the whole batch."""

import functools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import warm_python
from small_networks import batches, run, trainer_of

from rlstm_tf import compat
from rlstm_tf.errors import UsageError
from rlstm_tf.training import optimizers
from rlstm_tf.training.trainer import Trainer


@pytest.fixture(autouse=True)
def full_precision_afterwards():
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize(
    ("model", "accumulate", "momentum"), [("two_branch", 2, 0.9), (None, 6, 0.999)]
)
def test_micro_batches_equal_whole_batch(model, accumulate, momentum):
    """Compares losses, weights and moving statistics, with population statistics."""
    whole = trainer_of(model=model, momentum=momentum)
    accumulated = trainer_of(model=model, momentum=momentum, accumulate=accumulate)
    start = [w.copy() for w in whole.model.get_weights()]
    np.testing.assert_allclose(run(accumulated), run(whole), rtol=2e-5)
    for before, a, b in zip(start, whole.model.get_weights(), accumulated.model.get_weights()):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=2e-6)
        assert np.abs(a - before).max() > 0


def test_moving_statistics_are_updated_by_whole_batch():
    """Computes the first normalized layer's statistics from the pixels with NumPy."""
    trainer = trainer_of(momentum=0.75, accumulate=3)
    layer = next(layer for layer in trainer.model.get_layer("trunk").layers if "bn" in layer.name)
    before = keras.Model(trainer.model.get_layer("trunk").input, layer.input)
    batch = next(batches(1))
    images = np.asarray(batch["frames"], "float32").reshape(-1, 32, 32, 3) / 127.5 - 1
    maps = np.asarray(before(images), "float64")
    trainer.train_step(batch)
    mean, variance = maps.mean(axis=(0, 1, 2)), maps.var(axis=(0, 1, 2))
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.25 * mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.75 + 0.25 * variance, rtol=1e-4)


def test_micro_batches_run_with_batch_statistics():
    trainer = trainer_of("batch", accumulate=2)
    assert np.isfinite(run(trainer)).all()


@functools.cache
def full_precision():
    return run(trainer_of())


@pytest.mark.parametrize(("policy", "scale"), [("mixed_bfloat16", False), ("mixed_float16", True)])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_mixed_precision_follows_full_precision(policy, scale, accumulate):
    reference = full_precision()
    keras.mixed_precision.set_global_policy(policy)
    trainer = trainer_of(scale_loss=scale, accumulate=accumulate)
    assert all("float32" in str(w.dtype) for w in trainer.model.weights)
    got = run(trainer)
    np.testing.assert_allclose(np.array(got)[:, 0], np.array(reference)[:, 0], rtol=0.05)
    assert got[-1][0] != reference[-1][0]


def test_loss_scale_is_saved_last():
    """Both stacks save it after the other variables, so either can resume the other's run."""
    keras.mixed_precision.set_global_policy("mixed_float16")
    states = [compat.optimizer_state(trainer_of(scale_loss=s).optimizer) for s in (False, True)]
    plain, scaled = ([np.asarray(value) for value in state] for state in states)
    assert [value.shape for value in scaled] == [*(value.shape for value in plain), (), ()]
    assert [float(value) for value in scaled[-2:]] == [2**15, 0]


def test_weight_decay_is_independent_of_loss_scale():
    """A weight without gradient shrinks by rate * decay."""
    keras.mixed_precision.set_global_policy("mixed_float16")
    inputs = keras.Input((2, 4, 4, 3), dtype="uint8")
    x = keras.layers.Lambda(lambda x: tf.reduce_mean(tf.cast(x, tf.float16), (1, 2, 3)) * 0)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, dtype="float32", name="logits")(x))
    optimizer = optimizers.sgd(0.1, 0.0, model.trainable_variables, scale_loss=True)
    trainer = Trainer(model, optimizer, tf.distribute.get_strategy(), 0.5)
    kernel = model.get_weights()[0]
    frames = tf.zeros((4, 2, 4, 4, 3), tf.uint8)
    trainer.train_step({"frames": frames, "label": tf.constant([0, 1, 2, 0])})
    np.testing.assert_allclose(model.get_weights()[0], kernel * (1 - 0.1 * 0.5), rtol=1e-5)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_xla_takes_same_step(accumulate):
    plain, compiled = trainer_of(accumulate=accumulate), trainer_of(accumulate=accumulate, jit=True)
    np.testing.assert_allclose(run(compiled, 2), run(plain, 2), rtol=1e-4)


@pytest.mark.parametrize(("model", "accumulate"), [("two_branch", 1), ("tsn", 2)])
def test_xla_takes_same_step_with_networks(thorough, model, accumulate):
    plain = trainer_of(model=model, accumulate=accumulate)
    compiled = trainer_of(model=model, accumulate=accumulate, jit=True)
    np.testing.assert_allclose(run(compiled, 2), run(plain, 2), rtol=1e-4)


REPLICAS = """
import json
import keras
import numpy as np
import tensorflow as tf
from rlstm_tf.distributed.strategy import distribute_batches, make_strategy
from rlstm_tf.training.trainer import Trainer
import small_networks as t

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
result = {}
for name, accumulate in (("none", 1), ("mirrored", 3)):
    strategy = make_strategy(name)
    t.tf.distribute.get_strategy = lambda strategy=strategy: strategy
    with strategy.scope():
        trainer = t.trainer_of(accumulate=accumulate)
    data = [b for b in t.batches(4)]
    dataset = tf.data.Dataset.from_tensor_slices(
        {k: tf.stack([b[k] for b in data]) for k in ("frames", "label")}
    )
    def make_dataset(replicas):
        return dataset.unbatch().batch(replicas.rows_per_replica(6), drop_remainder=True)

    batches = distribute_batches(strategy, make_dataset)
    losses = [float(trainer.train_step(batch)[0]) for batch in batches]
    moving = [w.numpy().tolist() for w in trainer.model.weights if "moving" in w.name]
    result[name] = [losses, moving]
# Gradients that overflow on the second replica only.
keras.mixed_precision.set_global_policy("mixed_float16")
with strategy.scope():
    trainer = t.trainer_of(scale_loss=True)
weights = trainer.model.trainable_variables
before = [w.numpy() for w in weights]

def overflowing(gradients):
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    worst = tf.where(tf.cast(replica, tf.int32) == 1, float("inf"), 1.0)
    return [gradient * tf.cast(worst, gradient.dtype) for gradient in gradients]

apply = trainer._apply
trainer._apply = lambda gradients: apply(overflowing(gradients))
trainer.train_step(next(iter(distribute_batches(strategy, make_dataset))))
result["kept"] = all((w.numpy() == b).all() for w, b in zip(weights, before))
trainer = Trainer(trainer.model, trainer.optimizer, strategy)
trainer.train_step(next(iter(distribute_batches(strategy, make_dataset))))
result["moved"] = any((w.numpy() != b).any() for w, b in zip(weights, before))
result["finite"] = all(np.isfinite(w.numpy()).all() for w in weights)
try:
    Trainer(trainer.model, trainer.optimizer, strategy, jit=True)
except Exception as error:
    result["jit"] = f"{type(error).__name__}: {error}"
print(json.dumps(result))
"""


def test_two_replicas_with_micro_batches_equal_one_device():
    output = warm_python.check(["-c", REPLICAS])
    result = json.loads(output.splitlines()[-1])
    (one, moving), (two, moving_two) = result["none"], result["mirrored"]
    assert len(set(one)) == 4
    np.testing.assert_allclose(two, one, rtol=2e-5)
    for a, b in zip(moving, moving_two):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert (result["kept"], result["moved"], result["finite"]) == (True, True, True)
    assert result["jit"] == f"{UsageError.__name__}: --jit takes one device, not 2"

"""Rematerialization: the same training step, from less memory."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import warm_python
from small_networks import run, trainer_of

from rlstm_tf.models.backbone import build_backbone
from rlstm_tf.models.dropout import Dropout, dropout_seed
from rlstm_tf.models.rematerialization import Trunk, rematerialize, split_into_blocks


@pytest.fixture(autouse=True)
def full_precision_afterwards():
    yield
    keras.mixed_precision.set_global_policy("float32")


def weights_after(steps=2, **options):
    trainer = trainer_of(**options)
    run(trainer, steps)
    return trainer.model.get_weights()


@pytest.mark.parametrize(
    ("model", "statistics", "accumulate"), [(None, "population", 2), ("tsn", "batch", 1)]
)
def test_weights_and_statistics_are_the_same(model, statistics, accumulate):
    """With a low momentum, which would show statistics that were updated twice."""
    options = {"statistics": statistics, "momentum": 0.5, "accumulate": accumulate}
    options["model"] = model
    plain, again = weights_after(**options), weights_after(remat=True, **options)
    for a, b in zip(plain, again):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-6)


def test_mixed_precision_and_xla():
    plain = weights_after(jit=True)
    for a, b in zip(plain, weights_after(remat=True, jit=True)):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-5)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    plain = weights_after(steps=1)
    for a, b in zip(plain, weights_after(steps=1, remat=True)):
        np.testing.assert_allclose(b, a, rtol=0.02, atol=2e-3)


@pytest.mark.parametrize("name", ["tiny_resnetv2", "mobilenet_v2", "vgg16"])
def test_the_blocks_are_the_trunk(name):
    trunk = build_backbone(name, weights="none", image_size=64).trunk
    found = split_into_blocks(trunk)
    assert len(found) > 2
    images = maps = tf.random.stateless_uniform((2, 64, 64, 3), (1, 2))
    for block in found:
        maps = block(maps)
    np.testing.assert_allclose(maps, trunk(images), rtol=1e-5, atol=1e-6)
    inner = sum(len(block.layers) - 1 for block in found)
    assert inner == len(trunk.layers) - 1


def test_both_passes_drop_the_same():
    images = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(images)
    trunk = Trunk(images, keras.layers.Conv2D(4, 3)(Dropout(0.5, name="dropout")(x)))
    X = tf.random.stateless_normal((2, 8, 8, 3), (1, 2))

    def gradients(step):
        with dropout_seed(0, step):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.square(trunk(X, training=True)))
            return tape.gradient(loss, trunk.trainable_variables)

    plain, other = gradients(1), gradients(2)
    with rematerialize():
        again = gradients(1)
    for a, b, c in zip(plain, again, other):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)
        assert not np.allclose(c, a)


def operations(function, kind):
    """Counts the operations of a kind in a traced function."""
    return sum(operation.type == kind for operation in function.graph.get_operations())


def test_the_trunk_is_computed_twice():
    """Otherwise no memory is saved."""
    trunk = build_backbone("tiny_resnetv2", weights="none", image_size=32).trunk

    def gradients(images):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(trunk(images, training=True))
        return tape.gradient(loss, trunk.trainable_variables)

    signature = tf.TensorSpec((2, 32, 32, 3))
    plain = operations(tf.function(gradients).get_concrete_function(signature), "Conv2D")
    with rematerialize():
        again = operations(tf.function(gradients).get_concrete_function(signature), "Conv2D")
    assert plain > 10
    assert again == 2 * plain


REPLICAS = """
import json
import numpy as np
import tensorflow as tf
from rlstm_tf.distributed.strategy import distribute_batches, make_strategy
import small_networks as t

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = make_strategy("mirrored")
tf.distribute.get_strategy = lambda: strategy
weights = []
for remat in (False, True):
    with strategy.scope():
        trainer = t.trainer_of(momentum=0.5, remat=remat)
    data = list(t.batches(3))
    dataset = tf.data.Dataset.from_tensor_slices(
        {k: tf.stack([b[k] for b in data]) for k in ("frames", "label")}
    )
    def make_dataset(replicas):
        return dataset.unbatch().batch(replicas.rows_per_replica(6), drop_remainder=True)

    for batch in distribute_batches(strategy, make_dataset):
        trainer.train_step(batch)
    weights.append(trainer.model.get_weights())
errors = [float(np.abs(a - b).max()) for a, b in zip(*weights)]
print(json.dumps([strategy.num_replicas_in_sync, max(errors)]))
"""


def test_two_replicas_get_the_same_weights():
    output = warm_python.check(["-c", REPLICAS])
    replicas, error = json.loads(output.splitlines()[-1])
    assert replicas == 2
    assert error < 1e-5

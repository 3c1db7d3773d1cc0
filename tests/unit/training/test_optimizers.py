"""Optimizers: steps as in NumPy, resumed, with micro-batches, in float16, on two replicas."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import reference
import tensorflow as tf
import warm_python
from optimizer_trainers import DECAY, RECIPE, losses, model_of, trainer_of
from repository import ROOT
from small_networks import linear_batches

from rlstm_tf import addons, compat
from rlstm_tf.choices import OPTIMIZERS
from rlstm_tf.errors import UsageError
from rlstm_tf.runs.checkpoints import Checkpoints, restore


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_equal_reference(name):
    """Six steps with two drops of the rate; the state has the same order on both stacks."""
    trainer = trainer_of(name)
    start = [w.astype("float64") for w in trainer.model.get_weights()]
    assert [w.shape for w in start] == [(3, 7), (7,), (7,), (7,), (7, 3), (3,)]
    rng = np.random.default_rng(1)
    gradients = [[rng.normal(size=w.shape) for w in start] for _ in range(6)]
    apply = tf.function(lambda given: trainer.strategy.run(trainer._apply, args=(given,)))
    for given in gradients:
        apply([tf.constant(g, tf.float32) for g in given])
    rates = [0.02, 0.02, 0.002, 0.002, 0.0002, 0.0002]
    expected, slots = [], []
    for number, w in enumerate(start):
        own = [given[number] for given in gradients]
        after, state = reference.optimizer_steps(name, w, own, rates, DECAY, number in (0, 4))
        expected.append(after)
        slots += state
    for found, wanted in zip(trainer.model.get_weights(), expected):
        # Within the rounding of 1 - 0.999 in float32.
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=2e-5)
    steps, *state = [np.asarray(variable) for variable in compat.optimizer_state(trainer.optimizer)]
    assert steps == 6
    assert len(state) == len(slots)
    for found, wanted in zip(state, slots):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("scale_loss", "options"), [(False, {}), (True, {}), (True, RECIPE)], ids=["", "scale", "all"]
)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_resumed_training_equals_uninterrupted_one(name, scale_loss, options, tmp_path):
    given = list(linear_batches(6))
    whole = trainer_of(name, scale_loss, **options)
    expected = losses(whole, given)
    first = trainer_of(name, scale_loss, **options)
    assert losses(first, given[:3]) == expected[:3]
    state = {key: np.asarray(value) for key, value in first.variables().items()}
    path = Checkpoints(tmp_path).save(3, state, {})
    second = trainer_of(name, scale_loss, model_of(seed=1), **options)
    restore(second.variables(), Checkpoints(tmp_path).load(path)[0], path)
    second.step = 3
    assert losses(second, given[3:]) == expected[3:]
    wanted = whole.variables()
    for key, found in second.variables().items():
        np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted[key]), err_msg=key)


@pytest.mark.parametrize(
    ("jit", "options"), [(False, {}), (True, {}), (True, RECIPE)], ids=["", "jit", "all"]
)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_micro_batches_and_xla_take_same_step(name, jit, options):
    given = list(linear_batches(4))
    whole = trainer_of(name, **options)
    accumulated = trainer_of(name, accumulate=2, jit=jit, **options)
    np.testing.assert_allclose(losses(accumulated, given), losses(whole, given), rtol=1e-4)
    wanted = whole.variables()
    for key, found in accumulated.variables().items():
        if not key.startswith("optimizer/"):
            np.testing.assert_allclose(
                np.asarray(found), np.asarray(wanted[key]), rtol=1e-4, atol=1e-5, err_msg=key
            )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float16_decay_is_independent_of_loss_scale(name):
    """A step whose gradients overflow changes nothing."""
    trainer = trainer_of(name, scale_loss=True)
    before = trainer.model.get_weights()
    apply = tf.function(lambda given: trainer.strategy.run(trainer._apply, args=(given,)))
    apply([tf.fill(w.shape, float("inf")) for w in before])
    for found, wanted in zip(trainer.model.get_weights(), before):
        np.testing.assert_array_equal(found, wanted)
    apply([tf.zeros(w.shape) for w in before])
    for number, (found, wanted) in enumerate(zip(trainer.model.get_weights(), before)):
        left = 1 - 0.02 * DECAY if number in (0, 4) else 1.0
        np.testing.assert_allclose(found, left * wanted, rtol=1e-5)


@pytest.mark.parametrize("name", ["sgd", "sgdw", "adamw"])
def test_pretrained_weights_have_a_rate_of_their_own(name):
    """Steps of the first two weights, with a quarter of the rate, equal those with such a rate."""
    trainer = trainer_of(name, pretrained_factor=0.25)
    start = [w.astype("float64") for w in trainer.model.get_weights()]
    rng = np.random.default_rng(1)
    gradients = [[rng.normal(size=w.shape) for w in start] for _ in range(6)]

    @tf.function
    def apply(given, step):
        with trainer._update(step):
            trainer.strategy.run(trainer._apply, args=(given,))

    for number, given in enumerate(gradients):
        apply([tf.constant(g, tf.float32) for g in given], tf.constant(number, tf.int64))
    for number, (found, w) in enumerate(zip(trainer.model.get_weights(), start)):
        rates = np.array([0.02, 0.02, 0.002, 0.002, 0.0002, 0.0002])
        rates *= 0.25 if number < 2 else 1
        own = [given[number] for given in gradients]
        wanted, _ = reference.optimizer_steps(name, w, own, rates, DECAY, number in (0, 4))
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=2e-5)


REPLICAS = """
import json
import numpy as np
import tensorflow as tf
from rlstm_tf import compat
from rlstm_tf.distributed.strategy import distribute_batches, make_strategy
from rlstm_tf.choices import OPTIMIZERS
import optimizer_trainers as t
from small_networks import linear_batches

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
data = list(linear_batches(6))
dataset = tf.data.Dataset.from_tensor_slices(
    {k: tf.stack([b[k] for b in data]) for k in ("frames", "label")}
)
def make_dataset(replicas):
    return dataset.unbatch().batch(replicas.rows_per_replica(4), drop_remainder=True)

# One of each: collectives of two equal strategies in a process would share keys.
strategies = {kind: make_strategy(kind) for kind in ("none", "mirrored")}
result = {}
for name, scale_loss, accumulate in [("sgd", False, 1), *((name, True, 2) for name in OPTIMIZERS)]:
    for kind, strategy in strategies.items():
        options = {"clip_norm": 0.1} if accumulate == 1 else t.RECIPE
        trainer = t.trainer_of(name, scale_loss, None, strategy, accumulate=accumulate, **options)
        t.losses(trainer, distribute_batches(strategy, make_dataset))
        arrays = [*compat.tensorflow_variables(trainer.model.variables)]
        arrays += [v for key, v in trainer.variables().items() if key.startswith("model/")]
        arrays += compat.optimizer_state(trainer.optimizer)
        result[f"{name} {scale_loss} {kind}"] = [
            [np.asarray(copy).tolist() for copy in strategy.experimental_local_results(w)]
            for w in arrays
        ]
print(json.dumps(result))
"""


def test_two_replicas_equal_one_device():
    output = warm_python.check(["-c", REPLICAS])
    result = json.loads(output.splitlines()[-1])
    start = model_of().get_weights()
    for name in ("sgd False", *(f"{name} True" for name in OPTIMIZERS)):
        one, two = (result[f"{name} {kind}"] for kind in ("none", "mirrored"))
        assert np.abs(np.array(one[0][0]) - start[0]).max() > 1e-3
        assert [len(copies) for copies in two[:6]] == [2] * 6
        for (a,), copies in zip(one, two):
            for b in copies:
                np.testing.assert_allclose(b, a, rtol=1e-4, atol=2e-6, err_msg=name)


@pytest.mark.skipif(compat.KERAS_3, reason="Keras 3 has its own LAMB")
def test_lamb_without_tensorflow_addons_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_addons", None)
    with pytest.raises(UsageError, match=r"--optimizer=lamb needs tensorflow-addons.*\[addons\]"):
        trainer_of("lamb")
    trainer_of("adamw")


ADDONS = """
import sys
import warnings
from rlstm_tf import addons, models
from rlstm_tf.training import optimizers, trainer
assert "tensorflow_addons" not in sys.modules
addons.tensorflow_addons("--x")
assert not any("Addons" in str(message) for _, message, *_ in warnings.filters)
"""


def test_tensorflow_addons_is_imported_on_demand_without_warning():
    if compat.KERAS_3:
        with pytest.raises(UsageError, match=r"--x needs .* Keras 3 cannot load: .*\[addons\]"):
            addons.tensorflow_addons("--x")
        return
    done = subprocess.run(
        [sys.executable, "-c", ADDONS],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Addons" not in done.stderr

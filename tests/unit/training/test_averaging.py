"""The average of the weights: as in NumPy, in checkpoints."""

import numpy as np
import pytest
from optimizer_trainers import trainer_of
from small_networks import linear_batches


@pytest.mark.parametrize(("momentum", "accumulate"), [(0.99, 1), (0.3, 2)])
def test_average_equals_reference(momentum, accumulate):
    trainer = trainer_of("sgd", momentum=momentum, accumulate=accumulate)
    averages = [w.astype("float64") for w in trainer.model.get_weights()]
    for step, batch in enumerate(linear_batches(6), 1):
        trainer.train_step(batch)
        m = min(momentum, (1 + step) / (10 + step))
        weights = trainer.model.get_weights()
        averages = [m * a + (1 - m) * w for a, w in zip(averages, weights)]
    with trainer.final_weights():
        found = trainer.model.get_weights()
    for a, wanted in zip(found, averages):
        np.testing.assert_allclose(a, wanted, rtol=1e-5, atol=1e-6)
    for a, wanted in zip(trainer.model.get_weights(), weights):
        np.testing.assert_array_equal(a, wanted)


def test_an_error_leaves_the_weights_in_training():
    trainer = trainer_of("sgd", momentum=0.9)
    trainer.train_step(next(linear_batches(1)))
    before = trainer.model.get_weights()

    def fail():
        with trainer.final_weights():
            assert (trainer.model.get_weights()[0] != before[0]).any()
            raise FloatingPointError

    with pytest.raises(FloatingPointError):
        fail()
    np.testing.assert_array_equal(trainer.model.get_weights()[0], before[0])


def test_average_in_a_checkpoint():
    trainer = trainer_of("adamw", momentum=0.9)
    plain = trainer_of("adamw").variables()
    trainer.train_step(next(linear_batches(1)))
    variables = trainer.variables()
    raw = [name for name in variables if name.startswith("raw/model/")]
    assert len(raw) == 6
    assert {*variables} == {*plain, *raw}
    with trainer.final_weights():
        averages = trainer.model.get_weights()
    for name, weight, average in zip(raw, trainer.model.get_weights(), averages):
        np.testing.assert_array_equal(np.asarray(variables[name]), weight)
        np.testing.assert_array_equal(np.asarray(variables[name[4:]]), average)

"""A step on mixed clips and labels, as in NumPy; with micro-batches and XLA."""

from operator import itemgetter

import numpy as np
import pytest
import tensorflow as tf
from small_networks import linear_batches, linear_model, linear_trainer

from rlstm_tf.data.device_augmentation import make_preprocess
from rlstm_tf.data.input_config import InputConfig

MIXUP = make_preprocess(InputConfig(4, 2, 32, mixup=0.4))
# In sixteenths, so that float32 rounds as float64 does.
SHARES = np.array([[14, 3, 8, 16], [0, 11, 9, 7], [5, 5, 13, 1]], np.float32) / 16
WEIGHTS = [12 / 18, 12 / 6, 12 / 12]


def mixed_batches():
    for batch, shares in zip(linear_batches(3), SHARES):
        yield {**batch, "share": tf.constant(shares)}


def trainer_of(preprocess=MIXUP, **options):
    model = linear_model()
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return linear_trainer(model, 0.1, 0.0, preprocess=preprocess, **options)


@pytest.mark.parametrize("class_weights", [None, WEIGHTS])
@pytest.mark.parametrize(
    "options", [{}, {"accumulate": 2, "label_smoothing": 0.1}, {"jit": True}], ids=str
)
def test_step_is_that_of_mixed_inputs_and_labels(class_weights, options):
    trainer = trainer_of(class_weights=class_weights, **options)
    kernel, bias = (w.astype("float64") for w in trainer.model.get_weights())
    weights = np.ones(3) if class_weights is None else np.array(class_weights)
    for batch, share in zip(mixed_batches(), SHARES.astype("float64")):
        frames = np.asarray(batch["frames"], "float64")
        own = np.eye(3)[np.asarray(batch["label"])]
        pair = [1, 0, 3, 2]
        mixed = np.rint(
            share[:, None, None, None, None] * frames
            + (1 - share)[:, None, None, None, None] * frames[pair]
        )
        x = (mixed / 127.5 - 1).mean(axis=(1, 2, 3))
        logits = x @ kernel + bias
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        smoothing = options.get("label_smoothing", 0)
        # A label counts by the weight of its class.
        pull = (own @ weights)[:, None] * (own * (1 - smoothing) + smoothing / 3)
        pull = share[:, None] * pull + (1 - share)[:, None] * pull[pair]
        loss = -(pull * np.log(p)).sum(axis=1).mean()
        error = (pull.sum(axis=1, keepdims=True) * p - pull) / 4
        larger = np.where(share < 0.5, own[pair].argmax(axis=1), own.argmax(axis=1))
        kernel, bias = kernel - 0.1 * x.T @ error, bias - 0.1 * error.sum(axis=0)
        step_loss, correct = trainer.train_step(batch)
        np.testing.assert_allclose(step_loss, loss, rtol=1e-5)
        assert int(correct) == (logits.argmax(axis=1) == larger).sum()
    np.testing.assert_allclose(trainer.model.get_weights()[0], kernel, atol=1e-6)
    np.testing.assert_allclose(trainer.model.get_weights()[1], bias, atol=1e-6)


def test_shares_of_one_are_no_mixup():
    plain, mixed = trainer_of(itemgetter("frames")), trainer_of()
    for batch in linear_batches(2):
        plain.train_step(batch)
        mixed.train_step({**batch, "share": tf.ones(4)})
    for a, b in zip(plain.model.get_weights(), mixed.model.get_weights()):
        np.testing.assert_array_equal(a, b)

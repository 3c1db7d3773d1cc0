"""Training with a frozen trunk: what changes, what is computed, what is saved."""

import numpy as np
import pytest
import tensorflow as tf
from small_networks import batches, run, tiny_network
from trainings import arrays, assert_same_run, train_here

from rlstm_tf.models.dropout import Dropout, dropout_seed
from rlstm_tf.training import optimizers
from rlstm_tf.training.trainer import Trainer


def trainer_of(freeze, **options):
    network = tiny_network(5, freeze, model="tsn", batch_norm_momentum=0.5)
    optimizer = optimizers.sgd(0.1, 0.9, network.trainable_variables)
    return Trainer(network, optimizer, tf.distribute.get_strategy(), 0.5, **options)


@pytest.mark.parametrize("options", [{}, {"accumulate": 2, "remat": True}])
def test_a_frozen_trunk_stays_as_it_is(options):
    """Weights, which decay would shrink, and statistics; all others change."""
    trainer = trainer_of("trunk", **options)
    trunk, tail = (trainer.model.get_layer(name) for name in ("trunk", "tail"))
    before, above = trunk.get_weights(), tail.get_weights()
    run(trainer, 2)
    for old, new in zip(before, trunk.get_weights()):
        np.testing.assert_array_equal(old, new)
    assert all((old != new).any() for old, new in zip(above, tail.get_weights()))


def operations(trainer):
    batch = next(batches(1))
    graph = trainer._full_step.get_concrete_function(batch, tf.constant(0, tf.int64)).graph
    return [operation.type for operation in graph.get_operations()]


def test_a_frozen_trunk_is_not_differentiated():
    def gradients(freeze):
        found = operations(trainer_of(freeze))
        kinds = "Conv2DBackpropFilter", "Conv2DBackpropInput", "FusedBatchNormGradV3"
        return [found.count(kind) for kind in kinds]

    # The tail has a block of three convolutions and as many normalizations, and one at its end.
    assert gradients("trunk") == [3, 3, 4]
    # All but the last block of the trunk, which ends in a sum.
    assert gradients("4") == [6, 6, 7]
    assert gradients("none")[0] > 15


def test_frozen_dropout_drops_nothing():
    layer = Dropout(0.5)
    layer.trainable = False
    with dropout_seed(1, 2):
        np.testing.assert_array_equal(layer(np.ones((4, 8)), training=True), np.ones((4, 8)))


FROZEN = ("--freeze=trunk", "--model=lstm", "--optimizer=adamw", "--val_subset=val")


def test_resumed(tiny_shards, tmp_path, capsys):
    """As it would be without the stop; it warns of random weights when it starts."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert train_here(tiny_shards, whole, *FROZEN, "--epochs=2") == 0
    assert train_here(tiny_shards, stopped, *FROZEN, "--epochs=1") == 0
    assert capsys.readouterr().err.count("warning: --freeze=trunk keeps random weights") == 2
    assert train_here(tiny_shards, stopped, *FROZEN, "--epochs=2") == 0
    assert "warning" not in capsys.readouterr().err
    assert_same_run(stopped, whole)
    saved = arrays(sorted(whole.glob("checkpoints/step-*"))[-1])
    kernels = [name for name in saved if name.startswith("model/trunk/") and "kernel" in name]
    assert kernels  # whole, for evaluation and export
    slots = [saved[name].shape for name in saved if name.startswith("optimizer/")]
    assert saved["model/trunk/conv1_conv/kernel"].shape not in slots

"""Relational LSTMs with random weights, as `reference` takes them."""

import numpy as np

from rlstm_tf.layers import RelationalLSTM
from rlstm_tf.layers.relational_lstm_cell import GATES

UNITS = 4


def operations_of(cell):
    """The eight operations of eq. 3 by the names that `reference` uses."""
    operations = {}
    for gate in GATES:
        for source, relation in (("x", cell.relation_x), ("h", cell.relation_h)):
            operation = {
                name: [
                    0.0 if w is None else np.asarray(w)
                    for w in cell.embedding(f"{name}_{source}", gate)
                ]
                for name in ("theta", "phi", "g")
            }
            k = GATES.index(gate)
            for name in ("w_f", "gain", "displacement"):
                if getattr(relation, name) is not None:
                    operation[name] = np.asarray(getattr(relation, name))[k]
            if relation.local_kernel is not None:
                kernel = np.asarray(relation.local_kernel)[..., 0]
                operation["local_kernel"] = np.split(kernel, len(GATES), axis=-1)[k]
            operations[gate + source] = operation
    return operations


def layer_and_input(T=3, maps=(2, 3), channels=5, dtype="float32", seed=0, **kwargs):
    """A layer with every weight random, biases too, and an input for it."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(2, T, *maps, channels)).astype(
        dtype if dtype in ("float32", "float64") else "float32"
    )
    layer = RelationalLSTM(UNITS, dtype=dtype, **kwargs)
    layer.build(X.shape)
    layer.set_weights([rng.normal(scale=0.5, size=w.shape) for w in layer.get_weights()])
    return layer, X


def flat(maps):
    """Positions on one axis, in order: `[..., H, W, C]` -> `[..., N, C]`."""
    maps = np.asarray(maps)
    return maps.reshape(*maps.shape[:-3], -1, maps.shape[-1])

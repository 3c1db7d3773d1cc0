"""A trunk whose activations are recomputed in the backward pass, to save memory.

Source: Chen et al., *Training Deep Nets with Sublinear Memory Cost* (arXiv 1604.06174).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from math import prod
from typing import Any

import keras

from rlstm_tf.compat import TENSORFLOW
from rlstm_tf.layers.batch_normalization import freeze_statistics

if TENSORFLOW:
    # For `rematerialize`, which only the training loop enters.
    import tensorflow as tf

_rematerialize: ContextVar[bool] = ContextVar("rematerialize", default=False)


@contextlib.contextmanager
def rematerialize() -> Iterator[None]:
    """Makes each `Trunk` that trains within the context keep only the maps between its blocks.

    Take the gradients within the context too, and update the moving statistics after them
    (`rlstm_tf.layers.batch_normalization.defer_statistics_updates`): the second pass then sees the
    same statistics as the first.
    """
    token = _rematerialize.set(True)
    try:
        yield
    finally:
        _rematerialize.reset(token)


# Keras derives paths in .keras files from the class's name: renaming it would orphan them.
@keras.saving.register_keras_serializable("rlstm_tf")
class Trunk(keras.Model):
    """A functional model of one input and one output that `rematerialize` has an effect on."""

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Returns the model's output."""
        if not _rematerialize.get() or training is not True:
            return super().call(inputs, training=training, mask=mask)
        maps = inputs
        for block in split_into_blocks(self):
            maps = tf.recompute_grad(_training_pass(block))(maps)
        return maps


def _training_pass(block: keras.Model) -> Callable[[Any], Any]:
    """Wraps a block's forward pass, which updates the moving statistics the first time only."""
    calls = 0

    def run(maps: Any) -> Any:
        nonlocal calls
        calls += 1
        with freeze_statistics() if calls > 1 else contextlib.nullcontext():
            return block(maps, training=True)

    return run


def split_into_blocks(model: keras.Model) -> list[keras.Model]:
    """Splits a functional model into consecutive blocks that share its layers.

    The maps between the blocks are kept, and for a while all activations of one block. Each
    candidate ends a block where its activations exceed a budget; the one that keeps least wins.

    Args:
        model: one input, one output, every size but the batch's known.
    """
    cuts = _single_maps(model)
    total = sum(size for size, _ in cuts)
    candidates = [_block_ends(cuts, total / count) for count in range(1, len(cuts) + 1)]
    best = min(candidates, key=lambda ends: _kept_numbers(cuts, ends))
    maps = [model.input, *(cuts[k][1] for k in best)]
    return [keras.Model(begin, end) for begin, end in zip(maps, maps[1:])]


def _single_maps(model: keras.Model) -> list[tuple[int, Any]]:
    """Finds the maps that everything after them depends on alone.

    Returns:
        For each, the numbers computed since the previous one, and the map; the last is the
        model's output.
    """
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    # Position of each map, and of the last layer that takes it; -1 is the model's input.
    position = {id(model.input): -1, **{id(layer.output): k for k, layer in enumerate(layers)}}
    last_use = {k: k for k in position.values()}
    for k, layer in enumerate(layers):
        inputs = layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]
        for tensor in inputs:
            last_use[position[id(tensor)]] = k
    found, size, needed_until = [], 0, last_use[-1]
    for k, layer in enumerate(layers):
        size += prod(layer.output.shape[1:])
        if needed_until <= k:
            found.append((size, layer.output))
            size = 0
        needed_until = max(needed_until, last_use[k])
    return found


def _block_ends(cuts: list[tuple[int, Any]], budget: float) -> list[int]:
    """Chooses the cuts that end a block, so that blocks stay within the budget where they can."""
    ends, size = [], 0
    for k, (added, _) in enumerate(cuts):
        if size and size + added > budget:
            ends.append(k - 1)
            size = 0
        size += added
    return [*ends, len(cuts) - 1]


def _kept_numbers(cuts: list[tuple[int, Any]], ends: list[int]) -> int:
    """Counts the numbers in the maps between the blocks and in the largest block."""
    firsts = [0, *(k + 1 for k in ends)]
    largest = max(
        sum(size for size, _ in cuts[first : last + 1]) for first, last in zip(firsts, ends)
    )
    return largest + sum(prod(cuts[k][1].shape[1:]) for k in ends[:-1])

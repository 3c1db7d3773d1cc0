"""A trunk whose activations are computed again in the backward pass, to save memory.

Source: Chen et al., *Training Deep Nets with Sublinear Memory Cost* (arXiv 1604.06174).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from math import prod
from typing import Any

import keras
import tensorflow as tf

from rlstm_tf.layers.batch_normalization import statistics_kept

_again: ContextVar[bool] = ContextVar("again", default=False)


@contextlib.contextmanager
def recomputed() -> Iterator[None]:
    """While it lasts, a `Trunk` that trains keeps the maps between its parts alone.

    Gradients must be taken within it too, and the moves of the statistics be made after that
    (`rlstm_tf.layers.batch_normalization.moves_after`): what is computed again is then the same.
    """
    token = _again.set(True)
    try:
        yield
    finally:
        _again.reset(token)


@keras.saving.register_keras_serializable("rlstm_tf")
class Trunk(keras.Model):
    """A functional model of one input and one output; see `recomputed`."""

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Returns the maps."""
        if not _again.get() or training is not True:
            return super().call(inputs, training=training, mask=mask)
        maps = inputs
        for part in parts(self):
            maps = tf.recompute_grad(_counted(part))(maps)
        return maps


def _counted(part: keras.Model) -> Callable[[Any], Any]:
    """A part in training, as a function that moves the statistics the first time only."""
    calls = 0

    def run(maps: Any) -> Any:
        nonlocal calls
        calls += 1
        with statistics_kept() if calls > 1 else contextlib.nullcontext():
            return part(maps, training=True)

    return run


def parts(model: keras.Model) -> list[keras.Model]:
    """Cuts a functional model in parts, one behind the other, that share its layers.

    Kept are the maps between the parts, and for a while all activations of one part. Of the
    divisions that end a part where its activations exceed a budget, the one that keeps least.

    Args:
        model: of one input and one output, every size but the batch's known.
    """
    ends = _single_maps(model)
    total = sum(size for size, _ in ends)
    divisions = [_division(ends, total / count) for count in range(1, len(ends) + 1)]
    best = min(divisions, key=lambda division: _kept(ends, division))
    edges = [model.input, *(ends[k][1] for k in best)]
    return [keras.Model(begin, end) for begin, end in zip(edges, edges[1:])]


def _single_maps(model: keras.Model) -> list[tuple[int, Any]]:
    """Where a model can be cut: all that comes after depends on this one map.

    Returns:
        numbers computed since the one before, and the map; the last is the model's output.
    """
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    # Of each map, the last layer that takes it; -1 is the model's input.
    place = {id(model.input): -1, **{id(layer.output): k for k, layer in enumerate(layers)}}
    last = {k: k for k in place.values()}
    for k, layer in enumerate(layers):
        for tensor in tf.nest.flatten(layer.input):
            last[place[id(tensor)]] = k
    found, size, needed = [], 0, last[-1]
    for k, layer in enumerate(layers):
        size += prod(layer.output.shape[1:])
        if needed <= k:
            found.append((size, layer.output))
            size = 0
        needed = max(needed, last[k])
    return found


def _division(ends: list[tuple[int, Any]], budget: float) -> list[int]:
    """Ends of parts that stay within a budget where they can."""
    chosen, size = [], 0
    for k, (own, _) in enumerate(ends):
        if size and size + own > budget:
            chosen.append(k - 1)
            size = 0
        size += own
    return [*chosen, len(ends) - 1]


def _kept(ends: list[tuple[int, Any]], division: list[int]) -> int:
    """Numbers that are kept: the maps between the parts, and the largest part."""
    firsts = [0, *(k + 1 for k in division)]
    largest = max(
        sum(size for size, _ in ends[first : last + 1]) for first, last in zip(firsts, division)
    )
    return largest + sum(prod(ends[k][1].shape[1:]) for k in division[:-1])

"""The order in which a run shows its samples, as a function of seed and epoch.

An epoch has as many samples as the training set. `uniform` shows each sample once an epoch.
`balanced` shows each class equally often, and the samples of a class equally often in the long run:
a class goes through all its samples in one random order after the other, across epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from rlstm_tf.data.rng import rng_at


@lru_cache(maxsize=4)
def epoch_order(num_samples: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the order of an epoch's samples: int64 [N], read-only."""
    order = rng_at(seed, epoch, 0, purpose=0).permutation(num_samples)
    order.flags.writeable = False
    return order


class SampleClasses:
    """The samples of each class that has any.

    Args:
        labels: class of each of N samples, [N].
    """

    def __init__(self, labels: np.ndarray) -> None:
        order = np.argsort(labels, kind="stable")
        firsts = np.flatnonzero(np.diff(labels[order])) + 1
        self.samples: Sequence[np.ndarray] = np.split(order, firsts)


@lru_cache(maxsize=4)
def balanced_order(classes: SampleClasses, seed: int, epoch: int) -> np.ndarray:
    """Returns the order of an epoch that shows each class equally often.

    N samples are divided among K classes. Where N % K are left over, they go to the classes in
    turn, from epoch to epoch: of two classes, neither is ever shown more than once more.

    Returns:
        Positions of samples, int64 [N], read-only.
    """
    num_samples, num_classes = sum(map(len, classes.samples)), len(classes.samples)
    shown = [
        _draws_of_class(
            own,
            seed,
            number,
            *(
                (slots + num_classes - 1 - number) // num_classes
                for slots in (epoch * num_samples, (epoch + 1) * num_samples)
            ),
        )
        for number, own in enumerate(classes.samples)
    ]
    order = np.concatenate(shown)[epoch_order(num_samples, seed, epoch)]
    order.flags.writeable = False
    return order


def _draws_of_class(
    samples: np.ndarray, seed: int, number: int, first: int, end: int
) -> np.ndarray:
    """Returns draws `first` to `end` - 1, counted through the run, of class `number`."""
    size = len(samples)
    passes = range(first // size, -(-end // size))
    orders = [rng_at(seed, which, number, purpose=2).permutation(size) for which in passes]
    start = first - size * passes.start
    return samples[np.concatenate(orders or [np.zeros(0, int)])[start : start + end - first]]

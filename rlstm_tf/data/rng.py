"""Random numbers as a function of position, without a state to save."""

from __future__ import annotations

import threading

import numpy as np


class _ThreadState(threading.local):
    """One generator per thread: creating one reads entropy from the system, which is slow."""

    def __init__(self):
        self.philox = np.random.Philox(0)
        self.generator = np.random.Generator(self.philox)


_thread = _ThreadState()


def rng_at(seed: int, epoch: int, position: int, purpose: int) -> np.random.Generator:
    """Returns this thread's generator, set to a position; valid until the thread's next call.

    Args:
        seed: seed of the run, 0 or more.
        epoch: 0 or more.
        position: position in the epoch.
        purpose: number of the kind of draw; each kind has independent numbers.
    """
    # Philox is a function of a key and a counter, so positions cannot collide as hashes could, and
    # each has 2**64 blocks of numbers.
    counter = np.array([0, position, epoch, purpose], np.uint64)
    _thread.philox.state = {
        "bit_generator": "Philox",
        "state": {"counter": counter, "key": np.array([seed, 0], np.uint64)},
        "buffer": np.zeros(4, np.uint64),
        "buffer_pos": 4,
        "has_uint32": 0,
        "uinteger": 0,
    }
    return _thread.generator

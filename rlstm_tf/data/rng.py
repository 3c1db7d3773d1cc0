"""Random numbers as a function of position: no state, and none to save."""

from __future__ import annotations

import threading

import numpy as np


class _OfThread(threading.local):
    """A thread's generator: a new one asks the system for entropy, which is then not used."""

    def __init__(self):
        self.philox = np.random.Philox(0)
        self.generator = np.random.Generator(self.philox)


_of_thread = _OfThread()


def rng_at(seed: int, epoch: int, position: int, purpose: int) -> np.random.Generator:
    """The thread's generator, set to the numbers of a position: good until the thread's next call.

    Args:
        seed: of the run, 0 or more.
        epoch: 0 or more.
        position: in the epoch.
        purpose: what is drawn; each has numbers of its own.
    """
    # Philox is a function of a key and a counter: nothing is hashed, so nothing can collide, and
    # every position has 2**64 blocks of numbers to itself.
    counter = np.array([0, position, epoch, purpose], np.uint64)
    _of_thread.philox.state = {
        "bit_generator": "Philox",
        "state": {"counter": counter, "key": np.array([seed, 0], np.uint64)},
        "buffer": np.zeros(4, np.uint64),
        "buffer_pos": 4,
        "has_uint32": 0,
        "uinteger": 0,
    }
    return _of_thread.generator

"""Reuses the memory of batches, so that the system need not map and clear new pages for each."""

from __future__ import annotations

import math
import weakref

import numpy as np

# Bytes. TensorFlow takes over arrays with this alignment, and copies all others.
_ALIGNMENT = 64


def aligned_empty(shape: tuple[int, ...]) -> np.ndarray:
    """Returns an uninitialized uint8 array that TensorFlow takes over without a copy."""
    size = math.prod(shape)
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    skip = -memory.ctypes.data % _ALIGNMENT
    return memory[skip : skip + size].reshape(shape)


class BufferPool:
    """A pool of equal-shaped buffers, reused when an array is freed. Thread-safe.

    The pool never shrinks: it keeps as many buffers as were in use at the same time.

    Args:
        shape: shape of the uint8 arrays.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._free: list[np.ndarray] = []

    def empty(self) -> np.ndarray:
        """Returns an uninitialized array.

        Keep it as long as views of it: NumPy's views do not keep it alive, only its memory.
        """
        try:
            memory = self._free.pop()
        except IndexError:
            memory = aligned_empty(self._shape)
        array = memory[...]
        weakref.finalize(array, self._free.append, memory).atexit = False
        return array

"""Memory of batches, used again: the system need not find and clear new pages for each."""

from __future__ import annotations

import math
import weakref

import numpy as np

# TensorFlow takes over an array that begins at a multiple of this, and copies any other.
_ALIGNMENT = 64


def aligned_empty(shape: tuple[int, ...]) -> np.ndarray:
    """A uint8 array of this shape that TensorFlow takes over without a copy; contents undefined."""
    size = math.prod(shape)
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    skip = -memory.ctypes.data % _ALIGNMENT
    return memory[skip : skip + size].reshape(shape)


class BufferPool:
    """Arrays of one shape. The memory of one that is gone is that of a later one.

    As many as have been there at once stay for as long as this does. Safe from any thread.

    Args:
        shape: of the arrays, uint8.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._free: list[np.ndarray] = []

    def empty(self) -> np.ndarray:
        """An array, its contents undefined.

        It must outlive its views, which do not keep it: NumPy's views know the memory alone.
        """
        try:
            memory = self._free.pop()
        except IndexError:
            memory = aligned_empty(self._shape)
        array = memory[...]
        weakref.finalize(array, self._free.append, memory).atexit = False
        return array

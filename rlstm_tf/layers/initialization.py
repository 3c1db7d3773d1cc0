"""Initialization of kernels that share one weight."""

from __future__ import annotations

from typing import Any

from rlstm_tf.compat import ops


def reseed(initializer: Any, number: int) -> Any:
    """Copies a `keras.initializers.Initializer` with seed + number, or with a new seed if unset."""
    config = initializer.get_config()
    if isinstance(config.get("seed"), int):
        config["seed"] += number
    return type(initializer).from_config(config)


class BlockwiseInitializer:
    """Initializes a weight whose last axis holds equal blocks, each block as a separate kernel.

    Glorot's limit depends on a kernel's fan-out, so blocks drawn as one kernel would be too small.

    Args:
        initializer: `keras.initializers.Initializer` of one block.
        num_blocks: number of blocks.
        plus_one: number of a block to add 1 to.
    """

    def __init__(self, initializer: Any, num_blocks: int, plus_one: int | None = None) -> None:
        self.initializer = initializer
        self.num_blocks = num_blocks
        self.plus_one = plus_one

    def __call__(self, shape: tuple[int, ...], dtype: Any = None, **kwargs: Any) -> Any:
        """Returns the initial value, `[..., num_blocks * size]`."""
        block = (*shape[:-1], shape[-1] // self.num_blocks)
        blocks = [
            reseed(self.initializer, k)(block, dtype=dtype, **kwargs)
            for k in range(self.num_blocks)
        ]
        if self.plus_one is not None:
            blocks[self.plus_one] += 1
        return ops.concatenate(blocks, -1)

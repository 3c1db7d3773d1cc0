"""Kernels that are stored side by side, each drawn as if it stood alone."""

from __future__ import annotations

from typing import Any

from rlstm_tf.compat import ops


def nth(initializer: Any, number: int) -> Any:
    """An initializer of the same kind that draws other numbers, also where a seed was given.

    Args:
        initializer: a `keras.initializers.Initializer`.
        number: which of several weights it is for; 0 keeps a given seed.
    """
    config = initializer.get_config()
    if isinstance(config.get("seed"), int):
        config["seed"] += number
    return type(initializer).from_config(config)


class SideBySide:
    """Fills a weight `[..., parts * size]` part by part.

    Glorot's limit comes from the fans of a kernel, so a kernel of 16 parts drawn at once would be
    four times too small.

    Args:
        initializer: of one part.
        parts: how many stand side by side on the last axis.
    """

    def __init__(self, initializer: Any, parts: int) -> None:
        self.initializer = initializer
        self.parts = parts

    def __call__(self, shape: tuple[int, ...], dtype: Any = None, **kwargs: Any) -> Any:
        """Returns the weight's first value."""
        part = (*shape[:-1], shape[-1] // self.parts)
        return ops.concatenate(
            [nth(self.initializer, k)(part, dtype=dtype, **kwargs) for k in range(self.parts)], -1
        )

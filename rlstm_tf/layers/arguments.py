"""Checks of arguments, and arguments that were saved by earlier versions."""

from __future__ import annotations

from numbers import Integral
from typing import Any


def check_units(units: int) -> int:
    """Returns `units` if it is a positive integer.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(units, Integral) or units < 1:
        raise ValueError(f"units must be a positive integer. Received: units={units!r}")
    return int(units)


def check_pairwise(pairwise: str, allowed: tuple[str, ...]) -> str:
    """Returns `pairwise` if it is allowed.

    Raises:
        ValueError: it is not.
    """
    if pairwise not in allowed:
        raise ValueError(f"pairwise must be one of {allowed}. Received: pairwise={pairwise!r}")
    return pairwise


def check_shape(name: str, shape: Any, expected: tuple[int, ...]) -> None:
    """Checks the last axes of a tensor, as far as they are known.

    Raises:
        ValueError: they are not those that the layer was built with.
    """
    ending = tuple(shape)[-len(expected) :]
    if len(ending) < len(expected) or any(
        size not in (None, size_of_layer) for size, size_of_layer in zip(ending, expected)
    ):
        raise ValueError(
            f"{name} must end with the axes {expected} that the layer was built with. "
            f"Received: {name} of shape {tuple(shape)}"
        )


def upgrade_config(config: dict[str, Any]) -> dict[str, Any]:
    """Converts the configuration of a Relational LSTM that version 0.1.0 saved.

    Its `kernel_regularizer` covered the recurrent kernel too.

    Raises:
        ValueError: the layer had shared embeddings.
    """
    config = dict(config)
    embeddings = config.pop("embeddings", "separate")
    if embeddings != "separate":
        raise ValueError(
            "shared embeddings were removed: each gate has its own. "
            f"Received: embeddings={embeddings!r}"
        )
    config.setdefault("recurrent_regularizer", config.get("kernel_regularizer"))
    return config

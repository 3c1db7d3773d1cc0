"""Flags of the windows that a long video is classified in."""

from __future__ import annotations

from typing import Any

from absl import flags

_WINDOW = 4.0


def define(values: flags.FlagValues) -> None:
    """Defines --window and --stride."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_float("window", None, f"Length of a window, seconds; default {_WINDOW:g}.", **own)
    flags.DEFINE_float(
        "stride", None, "Time between two windows, seconds; default half of --window.", **own
    )


def get(values: flags.FlagValues) -> tuple[float, float]:
    """Returns the window and the stride in seconds, by default or as given."""
    window = _WINDOW if values.window is None else values.window
    return window, window / 2 if values.stride is None else values.stride

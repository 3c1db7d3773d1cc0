"""Flags of a backbone that is not trained, and of its cached maps."""

from __future__ import annotations

from typing import Any

from absl import flags

from rlstm_tf.choices import CACHE_VIEWS, MAX_SEGMENTS
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import UsageError


def define(values: flags.FlagValues) -> None:
    """Defines the flags of a frozen backbone."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_string(
        "freeze",
        "none",
        "What of the backbone is not trained: none, trunk (all below the cut), or its first N "
        "blocks.",
        **own,
    )
    define_path(
        "cache_maps",
        None,
        "Compute the frozen trunk's maps once, and train from them: a directory, or auto (beside "
        "--data).",
        **own,
    )
    flags.DEFINE_list(
        "cache_views",
        ["center", "mirrored"],
        f"Views whose maps are cached, of {', '.join(CACHE_VIEWS)}.",
        **own,
    )
    flags.DEFINE_integer(
        "cache_frames", 32, "Snippets to cache of a video that has more.", 1, MAX_SEGMENTS, **own
    )


def check_cache(values: flags.FlagValues) -> None:
    """Raises UsageError if an option of the cached maps was given, and --cache_maps was not."""
    if values.cache_maps:
        return
    for name in ("cache_views", "cache_frames"):
        flag = values[name]
        # Not whether it is present: the flags.cfg of every run gives the defaults too.
        if flag.value != flag.default:
            raise UsageError(f"{flag.serialize()} has no effect without --cache_maps")

"""Progress bars: rate and time left, on a terminal and in a log."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

# A bar that is drawn ten times a second would fill a log file.
_SECONDS_BETWEEN_LINES = 30.0
# tqdm's own, but for the rate, which it turns round where it is below one a second.
_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"


def bar(total: int, desc: str, unit: str, **options: Any) -> tqdm:
    """A progress bar on standard error.

    Args:
        total: units of work, 0 = unknown.
        desc: what is going on.
        unit: what is counted, in the plural.
        **options: of `tqdm`.
    """
    interval = 0.1 if sys.stderr.isatty() else _SECONDS_BETWEEN_LINES
    options = {"bar_format": _FORMAT, "mininterval": interval, **options}
    return tqdm(total=total or None, desc=desc, unit=f" {unit}", **options)

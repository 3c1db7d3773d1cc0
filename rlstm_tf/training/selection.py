"""The best epoch of a run by its validation, and the end of a run that no longer improves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def best_epoch(history: Sequence[Mapping[str, Any]]) -> int | None:
    """Returns the epoch with the highest validation accuracy or mAP, the first of equal ones.

    Args:
        history: a row of metrics for each finished epoch.

    Returns:
        Its number, counted from 1; None without a score.
    """
    best, best_score = None, -math.inf
    for epoch, row in enumerate(history, 1):
        score = row.get("val_accuracy", row.get("val_map"))
        # The mean average precision over no video is NaN, and not above any score.
        if score is not None and score > best_score:
            best, best_score = epoch, score
    return best


def is_exhausted(history: Sequence[Mapping[str, Any]], patience: int | None) -> bool:
    """Returns whether the last `patience` epochs brought no better validation score.

    Keras's EarlyStopping counts alike, but forgets its count when a run is resumed.

    Args:
        history: a row of metrics for each finished epoch.
        patience: number of epochs; None = never.
    """
    return patience is not None and len(history) - (best_epoch(history) or 0) >= patience

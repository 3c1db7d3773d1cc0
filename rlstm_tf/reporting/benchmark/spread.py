"""Numbers of several seeds: mean, deviation, and how far one network is ahead of another."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Numbers of several seeds in short.

    Attributes:
        mean: of them.
        deviation: standard deviation of the sample, with `count - 1`; None of a single number.
        count: how many.
    """

    mean: float
    deviation: float | None
    count: int


@dataclass(frozen=True)
class Lead:
    """How far one spread is ahead of another; negative where it is behind.

    Attributes:
        difference: of the means.
        deviations: `difference` in pooled standard deviations of a seed (not of the mean); None
            where nothing deviates, or both have a single seed.
    """

    difference: float
    deviations: float | None


def spread_of(values: Sequence[float]) -> Spread | None:
    """None if there are no values."""
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), deviation, len(values))


def lead_of(ours: Spread, other: Spread) -> Lead:
    """How far `ours` is ahead of `other`.

    Pooled: the variances weighted by their degrees of freedom, `count - 1`.
    """
    difference = ours.mean - other.mean
    freedom = ours.count + other.count - 2
    squares = sum((s.count - 1) * (s.deviation or 0) ** 2 for s in (ours, other))
    if not squares:
        return Lead(difference, None)
    return Lead(difference, difference / math.sqrt(squares / freedom))

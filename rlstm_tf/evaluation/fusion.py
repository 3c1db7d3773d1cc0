"""Late fusion: a weighted average of logits, before softmax, by video.

Source: arXiv 1811.07059, section 4: streams are fused with weights near one half, two models with
equal ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.evaluation import metrics
from rlstm_tf.evaluation.score_files import Scores

_NAMED = 3
# A grid over more parts than this takes minutes.
_SEARCHED = 4


def fuse(parts: Sequence[Scores], weights: Sequence[float], names: Sequence[str]) -> Scores:
    """Averages logits, video by video.

    Args:
        parts: of the same videos, in any order, with the same labels and classes.
        weights: one a part; they sum to 1.
        names: of the parts, for errors.

    Returns:
        Scores in the order of the first part.

    Raises:
        DataError: videos, labels or classes differ; names them.
        UsageError: the weights do not fit.
    """
    check_weights(weights, len(parts))
    parts = align(parts, names)
    first = parts[0]
    return Scores(first.ids, first.labels, _average(parts, weights), first.classes)


def _average(parts: Sequence[Scores], weights: Sequence[float]) -> np.ndarray:
    logits = sum(weight * part.logits.astype(np.float64) for weight, part in zip(weights, parts))
    return np.asarray(logits, np.float32)


def check_weights(weights: Sequence[float], count: int) -> None:
    """Refuses weights that are not one a part, each at least 0, 1 in sum.

    Raises:
        UsageError: they are not.
    """
    text = ",".join(f"{weight:g}" for weight in weights)
    if len(weights) != count:
        raise UsageError(f"--weights={text}: {len(weights)} weights for {count} score files")
    if not all(weight >= 0 for weight in weights) or abs(sum(weights) - 1) > 1e-6:
        raise UsageError(
            f"--weights={text}: must be at least 0 and sum to 1, they sum to {sum(weights):g}"
        )


def align(parts: Sequence[Scores], names: Sequence[str]) -> list[Scores]:
    """The parts with their videos in the order of the first.

    Raises:
        DataError: videos, labels or classes differ; names them.
    """
    first = parts[0]
    done = [first]
    for part, name in zip(parts[1:], names[1:]):
        pair = f"{names[0]} and {name}"
        if part.classes != first.classes:
            differ = [f"{a!r}, {b!r}" for a, b in zip(first.classes, part.classes) if a != b]
            counts = f"{len(first.classes)} and {len(part.classes)} of them"
            raise DataError(f"{pair} have different classes: {differ[0] if differ else counts}")
        alone = sorted(set(first.ids) ^ set(part.ids))
        if alone:
            raise DataError(f"{pair} are of different videos: {_listed(alone)} in one alone")
        place = {video: row for row, video in enumerate(part.ids)}
        rows = [place[video] for video in first.ids]
        labels = part.labels[rows]
        if labels.shape != first.labels.shape:
            raise DataError(f"{pair}: one has one label a video, the other any number")
        same = (labels == first.labels).reshape(len(labels), -1).all(axis=1)
        if not same.all():
            wrong = [first.ids[row] for row in np.flatnonzero(~same)]
            raise DataError(f"{pair} have different labels of {_listed(wrong)}")
        done.append(Scores(first.ids, labels, part.logits[rows], part.classes))
    return done


def search_weights(
    parts: Sequence[Scores], names: Sequence[str], steps: int = 20
) -> tuple[float, ...]:
    """The weights, in steps of 1 / `steps`, that score best.

    Of several that score alike, the ones nearest to equal weights.

    Args:
        parts: of a validation set, two to four.
        names: of the parts, for errors.
        steps: the grid.

    Raises:
        DataError: videos, labels or classes differ.
        UsageError: there are more parts than a grid is for.
    """
    if not 2 <= len(parts) <= _SEARCHED:
        raise UsageError(f"--search: takes 2 to {_SEARCHED} scores, not {len(parts)}")
    parts = align(parts, names)

    def rank(weights: tuple[float, ...]) -> tuple[float, float]:
        values = metrics.compute_metrics(parts[0].labels, _average(parts, weights))
        distance = sum((weight - 1 / len(parts)) ** 2 for weight in weights)
        return round(next(iter(values.values())), 9), -round(distance, 9)

    grid = [
        tuple(part / steps for part in (*shares, steps - sum(shares)))
        for shares in itertools.product(range(steps + 1), repeat=len(parts) - 1)
        if sum(shares) <= steps
    ]
    return max(grid, key=rank)


def combine_metadata(facts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a fused result is of: what all parts say, None where they differ.

    `stream` becomes `two_stream` where the streams differ, `model` the names with `+` between.

    Raises:
        DataError: the parts are of different subsets or splits of data sets.
    """
    result: dict[str, Any] = {}
    for name in ("dataset", "split", "subset", "num_segments", "cut", "backbone", "protocol"):
        values = [part.get(name) for part in facts]
        result[name] = values[0] if all(value == values[0] for value in values) else None
        if name in ("dataset", "split", "subset") and result[name] != values[0]:
            given = ", ".join(map(str, values))
            raise DataError(f"the scores are of different data: {name} is {given}")
    streams = {part["stream"] for part in facts}
    result["stream"] = streams.pop() if len(streams) == 1 else "two_stream"
    result["model"] = "+".join(dict.fromkeys(part["model"] for part in facts))
    return result


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_NAMED]))
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown

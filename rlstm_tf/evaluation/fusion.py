"""Late fusion: a weighted average of the logits of each video, before softmax.

Source: arXiv 1811.07059, section 4: streams are fused with weights near one half, two models with
equal weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.evaluation import metrics
from rlstm_tf.evaluation.score_files import Scores

_NUM_LISTED = 3
# The grid search over more takes minutes.
_MAX_SEARCHED = 4


def fuse(scores: Sequence[Scores], weights: Sequence[float], names: Sequence[str]) -> Scores:
    """Averages the logits of each video.

    Args:
        scores: scores of the same videos, in any order, with the same labels and classes.
        weights: one for each of `scores`; at least 0, sum 1.
        names: one for each of `scores`, for errors.

    Returns:
        Scores in the order of the first.

    Raises:
        DataError: videos, labels or classes differ.
        UsageError: the weights do not fit.
    """
    _check_weights(weights, len(scores))
    scores = align(scores, names)
    first = scores[0]
    return Scores(first.ids, first.labels, _average(scores, weights), first.classes)


def _average(scores: Sequence[Scores], weights: Sequence[float]) -> np.ndarray:
    logits = sum(weight * each.logits.astype(np.float64) for weight, each in zip(weights, scores))
    return np.asarray(logits, np.float32)


def _check_weights(weights: Sequence[float], count: int) -> None:
    """Checks that there are `count` weights, at least 0, with sum 1."""
    text = ",".join(f"{weight:g}" for weight in weights)
    if len(weights) != count:
        raise UsageError(f"--weights={text}: {len(weights)} weights for {count} score files")
    if not all(weight >= 0 for weight in weights) or abs(sum(weights) - 1) > 1e-6:
        raise UsageError(
            f"--weights={text}: must be at least 0 and sum to 1, they sum to {sum(weights):g}"
        )


def align(scores: Sequence[Scores], names: Sequence[str]) -> list[Scores]:
    """Sorts the videos of all scores in the order of the first.

    Raises:
        DataError: videos, labels or classes differ.
    """
    first = scores[0]
    aligned = [first]
    for other, name in zip(scores[1:], names[1:]):
        pair = f"{names[0]} and {name}"
        if other.classes != first.classes:
            differ = [f"{a!r}, {b!r}" for a, b in zip(first.classes, other.classes) if a != b]
            counts = f"{len(first.classes)} and {len(other.classes)} of them"
            raise DataError(f"{pair} have different classes: {differ[0] if differ else counts}")
        unshared = sorted(set(first.ids) ^ set(other.ids))
        if unshared:
            raise DataError(f"{pair} are of different videos: {_list(unshared)} in one alone")
        row_of = {video: row for row, video in enumerate(other.ids)}
        rows = [row_of[video] for video in first.ids]
        labels = other.labels[rows]
        if labels.shape != first.labels.shape:
            raise DataError(f"{pair}: one has one label a video, the other any number")
        same = (labels == first.labels).reshape(len(labels), -1).all(axis=1)
        if not same.all():
            wrong = [first.ids[row] for row in np.flatnonzero(~same)]
            raise DataError(f"{pair} have different labels of {_list(wrong)}")
        aligned.append(Scores(first.ids, labels, other.logits[rows], other.classes))
    return aligned


def search_weights(
    scores: Sequence[Scores], names: Sequence[str], steps: int = 20
) -> tuple[float, ...]:
    """Finds the weights with the best first metric on a grid with spacing 1 / `steps`.

    Of equally good weights, returns those closest to equal ones.

    Args:
        scores: two to four scores of a validation set.
        names: one for each of `scores`, for errors.
        steps: number of grid steps from 0 to 1.

    Raises:
        DataError: videos, labels or classes differ.
        UsageError: there are not two to four scores.
    """
    count = len(scores)
    if not 2 <= count <= _MAX_SEARCHED:
        raise UsageError(f"--search: takes 2 to {_MAX_SEARCHED} scores, not {count}")
    scores = align(scores, names)

    def rank(weights: tuple[float, ...]) -> tuple[float, float]:
        values = metrics.compute_metrics(scores[0].labels, _average(scores, weights))
        distance = sum((weight - 1 / count) ** 2 for weight in weights)
        return round(next(iter(values.values())), 9), -round(distance, 9)

    grid = [
        tuple(number / steps for number in (*numbers, steps - sum(numbers)))
        for numbers in itertools.product(range(steps + 1), repeat=count - 1)
        if sum(numbers) <= steps
    ]
    return max(grid, key=rank)


def combine_metadata(metadata: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Combines the metadata of fused scores: equal entries, None for entries that differ.

    If the streams differ, `stream` becomes `two_stream`; `model` joins the names with `+`.

    Raises:
        DataError: data set, split or subset differ.
    """
    result: dict[str, Any] = {}
    for name in ("dataset", "split", "subset", "num_segments", "cut", "backbone", "protocol"):
        values = [each.get(name) for each in metadata]
        result[name] = values[0] if all(value == values[0] for value in values) else None
        if name in ("dataset", "split", "subset") and result[name] != values[0]:
            given = ", ".join(map(str, values))
            raise DataError(f"the scores are of different data: {name} is {given}")
    streams = {each["stream"] for each in metadata}
    result["stream"] = streams.pop() if len(streams) == 1 else "two_stream"
    result["model"] = "+".join(dict.fromkeys(each["model"] for each in metadata))
    return result


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_NUM_LISTED]))
    more = len(names) - _NUM_LISTED
    return f"{shown} and {more} more" if more > 0 else shown

"""Finds and reads the evaluations of `rlstm_tf.evaluate` and `rlstm_tf.fuse`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlstm_tf.errors import DataError
from rlstm_tf.evaluation import metrics, score_files
from rlstm_tf.evaluation.score_files import METRICS, SCORES, Scores

ACCURACY = "accuracy"
MAP = "map"
# Keys and types of a network in metrics.json; null where the parts of a fused result differ.
_PART_KEYS = {
    "stream": str,
    "model": str,
    "num_segments": int,
    "cut": str,
    "backbone": str,
    "protocol": str,
    "run": str,
    "data": str,
}


@dataclass(frozen=True)
class Part:
    """One network of a result; a result that is not fused has one part of weight 1.

    Attributes:
        weight: weight of its logits; for a part of a part the product.
        stream, model, num_segments, cut, backbone, protocol, run, data: from its metrics.json;
            None = missing there.
    """

    weight: float
    stream: str | None
    model: str | None
    num_segments: int | None
    cut: str | None
    backbone: str | None
    protocol: str | None
    run: str | None
    data: str | None


@dataclass(frozen=True, eq=False)
class Result:
    """One evaluation, fused or not.

    Attributes:
        path: directory of the evaluation.
        dataset, split, subset, stream, model, protocol: from its metrics.json; None where its
            parts differ.
        measure: `accuracy`, or `map` (multi-label).
        value: value of the measure, 0..1.
        parts: networks that were averaged.
        scores: logits and labels of its videos.
    """

    path: str
    dataset: str | None
    split: int | None
    subset: str | None
    stream: str | None
    model: str | None
    protocol: str | None
    measure: str
    value: float
    parts: tuple[Part, ...]
    scores: Scores


def read_results(directories: Sequence[str]) -> list[Result]:
    """Reads all evaluations below some directories, each once, sorted by path.

    Raises:
        DataError: a directory does not exist, none has an evaluation, or one is damaged.
    """
    found: dict[str, str] = {}
    for directory in directories:
        if not os.path.isdir(directory):
            raise DataError(f"--runs: {directory} is not a directory")
        for path in _evaluations(directory):
            found.setdefault(os.path.realpath(path), path)
    if not found:
        raise DataError(
            f"no evaluation ({METRICS} with {SCORES}) in {', '.join(directories)}: "
            "python -m rlstm_tf.evaluate writes them"
        )
    return [read_result(path) for path in sorted(found.values())]


def read_result(directory: str) -> Result:
    """Reads one evaluation.

    Raises:
        DataError: a file is missing or damaged, or the two belong to different evaluations.
    """
    found, facts = score_files.load(Path(directory))
    where = os.path.join(directory, METRICS)
    _check_types(facts, _PART_KEYS, where)
    # Computed from the scores: metrics.json may belong to others.
    measure, value = next(iter(metrics.compute_metrics(found.labels, found.logits).items()))
    recorded, videos = facts.get(measure), facts.get("videos")
    if videos != len(found.ids) or not _is_near(recorded, value):
        raise DataError(
            f"{where} has {measure} {recorded}, {videos} videos; {SCORES} beside it gives "
            f"{value:.6g}, {len(found.ids)} videos: evaluate again"
        )
    names = ("dataset", "split", "subset", "stream", "model")
    return Result(
        path=directory,
        **{name: facts[name] for name in names},
        protocol=facts.get("protocol"),
        measure=measure,
        value=value,
        parts=tuple(_parts(facts, 1.0, where)),
        scores=found,
    )


def _evaluations(directory: str) -> Iterator[str]:
    for path, _, names in os.walk(directory):
        found = {METRICS, SCORES} & set(names)
        if len(found) == 1:
            (missing,) = {METRICS, SCORES} - found
            raise DataError(f"{os.path.join(path, *found)} has no {missing} beside it")
        if found:
            yield path


def _check_types(facts: Any, kinds: dict[str, type], where: str) -> None:
    if not isinstance(facts, dict):
        raise DataError(f"{where} must be an object, found {type(facts).__name__}")
    for name, kind in kinds.items():
        value = facts.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise DataError(f"{where}: {name} must be {kind.__name__}, found {value!r}")


def _is_near(recorded: Any, value: float) -> bool:
    return isinstance(recorded, (int, float)) and math.isclose(recorded, value, abs_tol=1e-6)


def _parts(facts: dict[str, Any], weight: float, where: str) -> Iterator[Part]:
    """Yields the networks of an evaluation, recursively."""
    if "fused" not in facts:
        yield Part(weight, **{name: facts.get(name) for name in _PART_KEYS})
        return
    fused = facts["fused"]
    if not isinstance(fused, list) or not fused:
        raise DataError(f"{where}: fused must be a list of parts, found {fused!r}")
    for part in fused:
        _check_types(part, _PART_KEYS, f"{where}: a fused part")
        share = part.get("weight")
        if not isinstance(share, (int, float)) or not 0 <= share <= 1:
            raise DataError(f"{where}: a fused part has weight {share!r}, must be from 0 to 1")
        yield from _parts(part, weight * share, where)

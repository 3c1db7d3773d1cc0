"""Finds evaluations and reads them: what `rlstm_tf.evaluate` and `rlstm_tf.fuse` wrote."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlstm_tf.errors import DataError
from rlstm_tf.evaluation import metrics
from rlstm_tf.evaluation import score_files as scores
from rlstm_tf.evaluation.score_files import METRICS, SCORES, Scores

ACCURACY = "accuracy"
MAP = "map"
# What describes a network's share, and its type; null where the parts of a fused one differ.
_FACTS = {
    "stream": str,
    "model": str,
    "num_segments": int,
    "cut": str,
    "backbone": str,
    "protocol": str,
    "run": str,
    "data": str,
}
_SET_FACTS = {"dataset": str, "split": int, "subset": str}


@dataclass(frozen=True)
class Part:
    """One network's share of a result; a result that is not fused is one part of weight 1.

    Attributes:
        weight: of its logits; for a part of a part the product.
        stream, model, num_segments, cut, backbone, protocol, run, data: as its evaluation says;
            None where that does not say.
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
        path: its directory, as it was found.
        dataset, split, subset, stream, model, protocol: None where its parts differ.
        measure: `accuracy`, or `map` (multi-label).
        value: of the measure, 0..1.
        parts: the networks that were averaged.
        scores: of its videos.
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
    """Reads every evaluation below some directories, each once, in the order of their paths.

    Raises:
        DataError: no such directory, no evaluation, or one that is damaged: names the file.
    """
    found: dict[str, str] = {}
    for directory in directories:
        if not os.path.isdir(directory):
            raise DataError(f"--runs: {directory} is no directory")
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
        DataError: a file is missing or damaged, or the two are not of one evaluation.
    """
    found, facts = scores.load(Path(directory))
    where = os.path.join(directory, METRICS)
    _check_facts(facts, {**_FACTS, **_SET_FACTS}, where)
    # Of the scores themselves: the file that says it may be of others.
    measure, value = next(iter(metrics.compute_metrics(found.labels, found.logits).items()))
    said = facts.get(measure), facts.get("videos")
    if said[1] != len(found.ids) or not _is_near(said[0], value):
        raise DataError(
            f"{where} says {measure} {said[0]}, {said[1]} videos; {SCORES} beside it gives "
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
        there = {METRICS, SCORES} & set(names)
        if len(there) == 1:
            (lacking,) = {METRICS, SCORES} - there
            raise DataError(f"{os.path.join(path, *there)} has no {lacking} beside it")
        if there:
            yield path


def _check_facts(facts: Any, kinds: dict[str, type], where: str) -> None:
    if not isinstance(facts, dict):
        raise DataError(f"{where} must be an object, found {type(facts).__name__}")
    for name, kind in kinds.items():
        value = facts.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise DataError(f"{where}: {name} must be {kind.__name__}, found {value!r}")


def _is_near(said: Any, value: float) -> bool:
    return isinstance(said, (int, float)) and math.isclose(said, value, abs_tol=1e-6)


def _parts(facts: dict[str, Any], weight: float, where: str) -> Iterator[Part]:
    """The networks of an evaluation, of its fused parts' and so on."""
    if "fused" not in facts:
        yield Part(weight, **{name: facts.get(name) for name in _FACTS})
        return
    fused = facts["fused"]
    if not isinstance(fused, list) or not fused:
        raise DataError(f"{where}: fused must be a list of parts, found {fused!r}")
    for part in fused:
        _check_facts(part, _FACTS, f"{where}: a fused part")
        share = part.get("weight")
        if not isinstance(share, (int, float)) or not 0 <= share <= 1:
            raise DataError(f"{where}: a fused part has weight {share!r}, not one from 0 to 1")
        yield from _parts(part, weight * share, where)

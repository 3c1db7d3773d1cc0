"""Finds evaluations and reads them: `metrics.json` and the `scores.npz` beside it.

A score file may come from anywhere: no pickled object is loaded from it.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlstm_tf.errors import DataError

METRICS = "metrics.json"
SCORES = "scores.npz"
ACCURACY = "accuracy"
MAP = "map"
_ARRAYS = ("ids", "labels", "logits", "classes")
# What describes an evaluation, and its type; null where the parts of a fused one differ.
_KEYS = {
    "dataset": str,
    "split": int,
    "subset": str,
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
        ids: str [V].
        labels: int32 [V], or bool [V, K] (multi-label).
        logits: float32 [V, K].
        classes: K names.
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
    ids: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    classes: list[str]


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
    where, scores = os.path.join(directory, METRICS), os.path.join(directory, SCORES)
    metrics = _read_metrics(where)
    ids, labels, logits, classes = _read_scores(scores)
    measure = MAP if labels.ndim == 2 else ACCURACY
    value = metrics.get(measure)
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise DataError(f"{where}: {measure} must be a number from 0 to 1, found {value!r}")
    if metrics.get("videos") != len(ids):
        raise DataError(f"{where} is of {metrics.get('videos')} videos, {scores} of {len(ids)}")
    if measure == ACCURACY:
        found = float((logits.argmax(axis=1) == labels).mean())
        if not math.isclose(value, found, abs_tol=1e-6):
            raise DataError(
                f"{where} says accuracy {value}, {scores} gives {found}: evaluate again"
            )
    own = {name: metrics[name] for name in ("dataset", "split", "subset", "stream", "model")}
    return Result(
        path=directory,
        **own,
        protocol=metrics["protocol"],
        measure=measure,
        value=float(value),
        parts=tuple(_parts(metrics, 1.0, where)),
        ids=ids,
        labels=labels,
        logits=logits,
        classes=classes,
    )


def _evaluations(directory: str) -> Iterator[str]:
    for path, _, names in os.walk(directory):
        there = {METRICS, SCORES} & set(names)
        if len(there) == 1:
            (lacking,) = {METRICS, SCORES} - there
            raise DataError(f"{os.path.join(path, *there)} has no {lacking} beside it")
        if there:
            yield path


def _read_metrics(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            metrics = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    _check_keys(metrics, path)
    return metrics


def _check_keys(metrics: Any, where: str) -> None:
    if not isinstance(metrics, dict):
        raise DataError(f"{where} must hold an object, found {type(metrics).__name__}")
    for name, kind in _KEYS.items():
        if name not in metrics:
            raise DataError(f"{where} lacks {name!r}: evaluate again")
        value = metrics[name]
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise DataError(f"{where}: {name} must be {kind.__name__}, found {value!r}")


def _parts(metrics: dict[str, Any], weight: float, where: str) -> Iterator[Part]:
    """The networks of an evaluation, of its fused parts' and so on."""
    if "fused" not in metrics:
        names = ("stream", "model", "num_segments", "cut", "backbone", "protocol", "run", "data")
        yield Part(weight, **{name: metrics[name] for name in names})
        return
    fused = metrics["fused"]
    if not isinstance(fused, list) or not fused:
        raise DataError(f"{where}: fused must be a list of parts, found {fused!r}")
    for part in fused:
        _check_keys(part, f"{where}: a fused part")
        share = part.get("weight")
        if not isinstance(share, (int, float)) or not 0 <= share <= 1:
            raise DataError(f"{where}: a fused part has weight {share!r}, not one from 0 to 1")
        yield from _parts(part, weight * share, where)


def _read_scores(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            ids, labels, logits, classes = (file[name] for name in _ARRAYS)
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is damaged, or no score file: {error}") from None
    except (zlib.error, NotImplementedError) as error:
        raise DataError(f"{path} is damaged: {error}") from None
    kinds = "".join(array.dtype.kind for array in (ids, labels, logits, classes))
    expected = {"UifU": (len(logits),), "UbfU": logits.shape}
    if (
        kinds not in expected
        or logits.ndim != 2
        or 0 in logits.shape
        or ids.shape != logits.shape[:1]
        or classes.shape != logits.shape[1:]
        or labels.shape != expected[kinds]
    ):
        shapes = ", ".join(
            f"{name} {array.dtype} {list(array.shape)}"
            for name, array in zip(_ARRAYS, (ids, labels, logits, classes))
        )
        raise DataError(f"{path} holds other arrays than an evaluation writes: {shapes}")
    _check_scores(path, ids, labels, logits)
    return ids, labels, logits, [str(name) for name in classes]


def _check_scores(path: str, ids: np.ndarray, labels: np.ndarray, logits: np.ndarray) -> None:
    if len(set(ids.tolist())) != len(ids):
        raise DataError(f"{path}: a video occurs twice")
    if not np.isfinite(logits).all():
        raise DataError(f"{path}: a score is not finite")
    if labels.ndim == 1 and not 0 <= labels.min() <= labels.max() < logits.shape[1]:
        raise DataError(f"{path}: labels run to {labels.max()}, classes to {logits.shape[1] - 1}")

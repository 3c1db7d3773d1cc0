"""Files with the scores of a set of videos, written by `evaluate` and `fuse`.

A directory holds `scores.npz` (video ids, labels, logits before softmax, class names) and
`metrics.json` (metrics, and metadata of the network and the videos).
"""

from __future__ import annotations

import io
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlstm_tf.errors import DataError
from rlstm_tf.storage.arrays import read_arrays
from rlstm_tf.storage.atomic import atomic_file, sync, writing
from rlstm_tf.storage.bounded import parse_json_text
from rlstm_tf.storage.files import read_text

SCORES = "scores.npz"
METRICS = "metrics.json"
# Metadata in metrics.json; None where fused scores differ.
METADATA = {
    **dict.fromkeys(("dataset", "subset", "stream", "model", "cut", "backbone"), str),
    **dict.fromkeys(("split", "num_segments"), int),
}
# Never None, even of fused scores.
_NEVER_NONE = ("dataset", "subset", "stream", "model")


@dataclass(frozen=True)
class Scores:
    """Scores of V videos.

    Attributes:
        ids: video ids, all different.
        labels: int32 `[V]`; or bool `[V, classes]` where a video has any number of labels.
        logits: float32 `[V, classes]`, before softmax.
        classes: class names.
    """

    ids: list[str]
    labels: np.ndarray
    logits: np.ndarray
    classes: list[str]


def save(directory: Path, scores: Scores, metadata: dict[str, Any]) -> None:
    """Writes both files atomically; metrics never stand beside the scores of another call.

    Args:
        directory: created if it does not exist.
        scores: content of `scores.npz`.
        metadata: content of `metrics.json`.

    Raises:
        DataError: the files cannot be written.
    """
    archive = io.BytesIO()
    np.savez(
        archive,
        ids=np.array(scores.ids, np.str_),
        labels=scores.labels,
        logits=scores.logits,
        classes=np.array(scores.classes, np.str_),
    )
    text = json.dumps(metadata, indent=1) + "\n"
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        # The inner file is renamed first.
        with atomic_file(directory / METRICS) as file, atomic_file(directory / SCORES) as inner:
            inner.write(archive.getvalue())
            file.write(text.encode())
            sync(inner)
            sync(file)
            # From here on, an interruption must not leave metrics of the old scores.
            (directory / METRICS).unlink(missing_ok=True)


def check_writable(directory: Path) -> None:
    """Creates the directory and a file in it, to fail before an evaluation rather than after.

    Raises:
        DataError: the directory cannot be written.
    """
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass


def load(path: Path) -> tuple[Scores, dict[str, Any]]:
    """Reads scores and their metadata.

    Args:
        path: the directory, or the `scores.npz` in it.

    Raises:
        DataError: a file is missing, damaged, or contradicts itself.
    """
    directory = scores_directory(path)
    return _load_scores(directory / SCORES), _load_metadata(directory / METRICS)


def scores_directory(path: Path) -> Path:
    """Returns the directory of scores, given it or the `scores.npz` in it."""
    return path.parent if path.name == SCORES else path


def _load_scores(path: Path) -> Scores:
    try:
        with path.open("rb") as stream:
            file = read_arrays(stream)
            ids, labels, logits, classes = (
                file[name] for name in ("ids", "labels", "logits", "classes")
            )
    except FileNotFoundError:
        raise DataError(f"there are no scores: {path} is missing") from None
    # A changed byte can cause almost any error in NumPy and zipfile.
    except Exception as error:
        raise DataError(f"{path} is damaged or holds no scores: {error}") from None
    kinds = ids.dtype.kind, classes.dtype.kind, logits.dtype.kind, labels.dtype.kind
    shape = len(ids), len(classes)
    fits = kinds in (("U", "U", "f", "i"), ("U", "U", "f", "b")) and logits.shape == shape
    fits = fits and labels.shape == (shape if labels.dtype.kind == "b" else shape[:1])
    if not fits or not len(ids):
        raise DataError(f"{path} does not hold scores of videos: write it again with evaluate")
    if not np.isfinite(logits).all():
        raise DataError(f"{path} holds scores that are not finite")
    if labels.ndim == 1 and not (labels.min() >= 0 and labels.max() < len(classes)):
        raise DataError(f"{path} holds labels that are none of its {len(classes)} classes")
    names = ids.tolist()
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path} holds video {twice!r} twice")
    return Scores(names, labels, logits, classes.tolist())


def _load_metadata(path: Path) -> dict[str, Any]:
    try:
        metadata = parse_json_text(read_text(str(path)))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is missing or damaged: {error}") from None
    missing = [name for name in METADATA if not isinstance(metadata, dict) or name not in metadata]
    if missing:
        raise DataError(f"{path} has no {', '.join(missing)}: write it again with evaluate")
    for name, kind in METADATA.items():
        value = metadata[name]
        fits = isinstance(value, kind) and not isinstance(value, bool)
        if not fits and (value is not None or name in _NEVER_NONE):
            raise DataError(f"{path}: {name} must be {kind.__name__}, found {value!r}")
    return metadata

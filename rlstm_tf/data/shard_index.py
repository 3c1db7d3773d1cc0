"""Loads the index of a shard and checks it, for opening, verification and repair."""

from __future__ import annotations

import hashlib
import threading

import numpy as np

from rlstm_tf.data import schema
from rlstm_tf.data.descriptors import open_error_reason
from rlstm_tf.data.manifest import Manifest, Shard
from rlstm_tf.errors import DataError
from rlstm_tf.storage.arrays import parse_array
from rlstm_tf.storage.files import open_file

# NumPy parses headers with Python's parser, which is not always thread-safe in CPython 3.11: "AST
# constructor recursion depth mismatch" (python/cpython issue 106905).
_PARSER_LOCK = threading.Lock()
# As long as a path can be. Shards are joined to the width of the longest id.
_MAX_ID_BYTES = 4096


def load_index(path: str, sha256: str) -> np.ndarray:
    """Loads an index file, local or remote.

    Args:
        path: `*.records.npy`, `*.frames.npy` or `*.samples.npy`.
        sha256: its checksum in the manifest, hexadecimal.

    Raises:
        DataError: the file cannot be read, has another checksum, or is not a NumPy array.
    """
    try:
        file = open_file(path)
        content = file.read(0, file.size)
    except OSError as error:
        raise DataError(f"{path}: {open_error_reason(error)}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(f"{path} has sha256 {found}, the manifest says {sha256}")
    try:
        with _PARSER_LOCK:
            return parse_array(content)
    except ValueError as error:
        raise DataError(f"{path} is not an index: {error}") from None


def find_record_problems(shard: Shard, records: np.ndarray, frames: np.ndarray) -> list[str]:
    """Checks the indexes of records and frames against each other and the manifest.

    Args:
        shard: the shard's entry in the manifest.
        records: contents of `*.records.npy`.
        frames: contents of `*.frames.npy`.

    Returns:
        One line for each problem.
    """
    name = shard.name
    id_bytes = records.dtype["id"].itemsize if "id" in (records.dtype.names or ()) else 1
    types = schema.record_dtype(min(id_bytes, _MAX_ID_BYTES)), schema.FRAME
    if (records.dtype, frames.dtype) != types or (records.ndim, frames.ndim) != (1, 1):
        return [f"{name}: the index has other columns than this program reads"]
    first_frame = records["first_frame"].astype(np.int64)
    count = records["num_frames"].astype(np.int64)
    begins = first_frame == 0
    problems = []
    found = len(records), int(begins.sum()), len(frames)
    if found != (shard.records, shard.videos, shard.frames):
        problems.append(
            f"{name}: the index has {found[0]} records, {found[1]} videos, {found[2]} frames; "
            f"the manifest says {shard.records}, {shard.videos}, {shard.frames}"
        )
    end_row = np.cumsum(count)
    if not (
        (count > 0).all()
        and (end_row - count == records["first_row"]).all()
        and end_row[-1:].sum() == len(frames)
    ):
        problems.append(f"{name}: the index of records and the index of frames do not fit together")
    offset = frames["offset"].astype(np.int64)
    end = offset + frames["size"]
    in_order = (offset >= 0).all() and (offset[1:] >= end[:-1]).all()
    if not (in_order and (end[-1:] <= shard.bytes).all()):
        problems.append(f"{name}: frames of the index overlap or lie beyond the end of the shard")
    follows = (records["id"][1:] == records["id"][:-1]) & (
        first_frame[1:] == first_frame[:-1] + count[:-1]
    )
    gaps = np.flatnonzero(~begins & ~np.concatenate([[False], follows])[: len(begins)])
    problems += [
        f"{name}: video {_decode_id(video)!r} lacks the frames before {first}"
        for video, first in zip(records["id"][gaps], first_frame[gaps])
    ]
    # NaN compares false.
    if not ((records["fps"] >= 0) & np.isfinite(records["fps"])).all():
        problems.append(f"{name}: a video has no possible frame rate")
    if not ((records["height"] > 0) & (records["width"] > 0)).all():
        problems.append(f"{name}: a video has frames without pixels")
    if any(_decode_id(video).encode() != video for video in records["id"].tolist()):
        problems.append(f"{name}: the id of a video is not UTF-8")
    ids, occurrences = np.unique(records["id"][begins], return_counts=True)
    twice = ids[occurrences > 1]
    return problems + [f"{name}: video {_decode_id(video)!r} occurs twice" for video in twice]


def find_sample_problems(
    shard: Shard, manifest: Manifest, records: np.ndarray, samples: np.ndarray
) -> list[str]:
    """Checks the index of samples: every label is in the class list, every interval in its video.

    Args:
        shard: the shard's entry in the manifest.
        manifest: manifest of the shards, for its classes and `multi_label`.
        records: contents of `*.records.npy`, for which `find_record_problems` found none.
        samples: contents of `*.samples.npy`.

    Returns:
        One line for each problem.
    """
    name = shard.name
    if samples.dtype != schema.SAMPLE or samples.ndim != 1:
        return [f"{name}: the index of samples has other columns than this program reads"]
    problems = []
    num_samples = int((samples["num_frames"] > 0).sum())
    if num_samples != shard.samples:
        problems.append(
            f"{name}: the index has {num_samples} samples, the manifest says {shard.samples}"
        )
    begins = np.flatnonzero(records["first_frame"] == 0)
    ids = [_decode_id(video) for video in records["id"][begins]]
    num_frames = np.diff(records["first_row"][begins].astype(np.int64), append=shard.frames)
    video, label, first, count = (
        samples[column].astype(np.int64)
        for column in ("video", "label", "first_frame", "num_frames")
    )
    if (video[1:] < video[:-1]).any():
        problems.append(f"{name}: the index of samples is not in the order of the videos")
    unknown = video >= len(ids)
    problems += [f"{name}: a sample of video {v}, there are {len(ids)}" for v in video[unknown]]
    video, label, first, count = (column[~unknown] for column in (video, label, first, count))
    end = first + count
    for row in np.flatnonzero(end > num_frames[video]):
        problems.append(
            f"{name}: video {ids[video[row]]!r}: a sample up to frame {end[row]}, "
            f"the video has {num_frames[video[row]]}"
        )
    last = len(manifest.classes) - 1
    for row in np.flatnonzero((label < 0) | (label > last)):
        problems.append(
            f"{name}: video {ids[video[row]]!r} has label {label[row]}, "
            f"the class list allows 0 to {last}"
        )
    if not manifest.multi_label:
        labels = np.bincount(video, minlength=len(ids))
        for number in np.flatnonzero(labels != 1):
            problems.append(
                f"{name}: video {ids[number]!r} has {labels[number]} labels, expected one"
            )
        for row in np.flatnonzero((labels[video] == 1) & (count != num_frames[video])):
            problems.append(
                f"{name}: video {ids[video[row]]!r} has a label for {count[row]} of its "
                f"{num_frames[video[row]]} frames, expected all"
            )
    return problems


def _decode_id(video_id: bytes) -> str:
    return video_id.decode(errors="replace")

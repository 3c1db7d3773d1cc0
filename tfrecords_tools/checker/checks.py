"""Compares shards with their manifest and their index, and lists every difference."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np

from rlstm_tf.cli.terminal import progress_bar
from rlstm_tf.data import schema
from rlstm_tf.data.jpeg import jpeg_shape
from rlstm_tf.data.manifest import Manifest, Shard
from rlstm_tf.data.shard_index import find_record_problems, find_sample_problems, load_index
from rlstm_tf.errors import DataError
from rlstm_tf.storage.files import File, open_file
from tfrecords_tools.builder.sources import load_sources

_BLOCK = 1 << 20


def find_problems(
    directory: str,
    manifest: Manifest,
    decode: bool,
    names: Collection[str] | None = None,
) -> dict[str, list[str]]:
    """Finds all problems of shards.

    Args:
        directory: the shards, local or remote.
        manifest: their manifest.
        decode: also decodes every frame and compares its size with the record's.
        names: what to check, as in the result; None means everything.

    Returns:
        One line for each problem, by name of the shard, or by `schema.SOURCES` for the record of
        the video files; what is intact is left out.
    """
    shards = [shard for shard in manifest.shards if names is None or shard.name in names]
    frames = sum(shard.frames for shard in shards)
    progress = progress_bar(frames, "verify", "frames")
    # Hashing, decoding and reading release Python's global lock.
    with progress, ThreadPoolExecutor(os.cpu_count()) as threads:
        checks = [_Check(directory, shard, manifest, progress) for shard in shards]
        list(threads.map(lambda check: check.run(decode), checks))
    owner: dict[str, str] = {}
    for check in checks:
        for video in check.ids:
            if owner.setdefault(video, check.shard.name) != check.shard.name:
                check.problems.append(
                    f"video {video!r} is in {owner[video]} and in {check.shard.name}"
                )
    problems = {check.shard.name: check.problems for check in checks if check.problems}
    if names is None or schema.SOURCES in names:
        try:
            load_sources(directory, manifest)
        except DataError as error:
            problems[schema.SOURCES] = [str(error)]
    return problems


class _Check:
    """Checks one shard; collects `problems` and the ids of its videos."""

    def __init__(self, directory: str, shard: Shard, manifest: Manifest, progress: Any):
        self.shard = shard
        self.problems: list[str] = []
        self.ids: list[str] = []
        self._directory = directory
        self._manifest = manifest
        self._progress = progress

    def run(self, decode: bool) -> None:
        """Makes all checks that the readable files allow."""
        tfrecord = schema.tfrecord_path(self._directory, self.shard.name)
        try:
            self._run(tfrecord, decode)
        except OSError as error:
            # The checksum was computed without an error a moment ago.
            self._report(f"{tfrecord}: {error.strerror}")

    def _run(self, tfrecord: str, decode: bool) -> None:
        shard = self.shard
        file = self._open(tfrecord, shard.sha256)
        if file and file.size != shard.bytes:
            self._report(f"{tfrecord} has {file.size} bytes, the manifest says {shard.bytes}")
        paths = schema.shard_paths(self._directory, shard.name)[1:]
        checksums = shard.records_sha256, shard.frames_sha256, shard.samples_sha256
        records, frames, samples = map(self._load_index, paths, checksums)
        if file:
            self._count_records(file, tfrecord)
        if records is None or frames is None:
            return
        problems = find_record_problems(shard, records, frames)
        self.problems += problems
        if problems:
            return
        ids = records["id"][records["first_frame"] == 0].tolist()
        self.ids = [video.decode(errors="replace") for video in ids]
        if samples is not None:
            self.problems += find_sample_problems(shard, self._manifest, records, samples)
        if file:
            self._check_frames(file, records, frames, decode)

    def _report(self, problem: str) -> None:
        self.problems.append(problem)

    def _open(self, path: str, sha256: str) -> File | None:
        try:
            file = open_file(path)
            checksum = hashlib.sha256()
            for offset in range(0, file.size, _BLOCK):
                checksum.update(file.read(offset, _BLOCK))
        except OSError as error:
            self._report(f"{path}: {error.strerror}")
            return None
        if checksum.hexdigest() != sha256:
            self._report(f"{path} has sha256 {checksum.hexdigest()}, the manifest says {sha256}")
        return file

    def _load_index(self, path: str, sha256: str) -> np.ndarray | None:
        try:
            return load_index(path, sha256)
        except DataError as error:
            self._report(str(error))
            return None

    def _count_records(self, file: File, path: str) -> None:
        """Counts records as a sequential reader does, from length to length."""
        position = count = 0
        while position < file.size:
            head = file.read(position, schema.RECORD_HEAD)
            position += schema.RECORD_HEAD + schema.RECORD_TAIL + int.from_bytes(head[:8], "little")
            if len(head) < schema.RECORD_HEAD or position > file.size:
                self._report(f"{path} ends inside record {count}")
                return
            count += 1
        if count != self.shard.records:
            self._report(f"{path} has {count} records, the manifest says {self.shard.records}")

    def _check_frames(
        self, file: File, records: np.ndarray, frames: np.ndarray, decode: bool
    ) -> None:
        beyond = 0
        temporal = self._manifest.stream == "temporal"
        for record in records:
            height, width = int(record["height"]), int(record["width"])
            expected = (2 * height, width) if temporal else (height, width, 3)
            rows = frames[record["first_row"] :][: record["num_frames"]].tolist()
            for number, (offset, size, crc32) in enumerate(rows, int(record["first_frame"])):
                if offset + size > file.size:
                    beyond += 1
                else:
                    jpeg = file.read(offset, size)
                    wrong = _frame_problem(jpeg, crc32, expected if decode else None)
                    if wrong:
                        video = record["id"].decode(errors="replace")
                        self._report(f"{self.shard.name}: video {video!r}, frame {number}: {wrong}")
            self._progress.update(len(rows))
        if beyond:
            self._report(f"{self.shard.name}: {beyond} frames lie beyond the end of the file")


def _frame_problem(jpeg: bytes, crc32: int, shape: tuple[int, ...] | None) -> str | None:
    """Describes what is wrong with a frame; decodes it if its `shape` is given."""
    if zlib.crc32(jpeg) != crc32:
        return f"checksum {zlib.crc32(jpeg):08x}, {crc32:08x} when it was written"
    if shape is None:
        return None
    claimed = jpeg_shape(jpeg)
    if claimed is not None and claimed != shape:
        # Not decoded: the decoder asks for the memory that the header claims.
        return f"is {_describe(claimed)}, the record says {_describe(shape)}"
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        return "cannot be decoded"
    if image.shape != shape:
        return f"is {_describe(image.shape)}, the record says {_describe(shape)}"
    return None


def _describe(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}{'' if len(shape) == 3 else ' gray'}"

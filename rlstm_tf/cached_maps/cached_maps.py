"""Files of cached maps: checked when they are opened, each map when it is read.

cache.json          what the maps depend on, written first
maps-00000.npy      float16 [rows, H, W, C], the maps of whole videos
checks-00000.npy    uint32 [rows], zlib.crc32 of each map; a file of maps without it is unfinished
manifest.json       written last: sha256 of the checksums of each file
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlstm_tf.cached_maps.plan import Plan
from rlstm_tf.data.descriptors import open_error_reason, raise_open_file_limit
from rlstm_tf.data.shard_index import load_index
from rlstm_tf.errors import DataError
from rlstm_tf.storage.arrays import map_array
from rlstm_tf.storage.atomic import write_atomic, writing
from rlstm_tf.storage.checksums import verify_checksum, with_checksum
from rlstm_tf.storage.json_values import read_json, require_type

# Not the file: a manifest tells that all of them are there.
_AGAIN = "delete the directory, and the same command makes the cache again"


class CacheFiles:
    """Paths of a cache.

    Args:
        directory: local directory of the cache.
    """

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)
        # Not `.lock`, which a training holds in its own directory: it would wait for itself.
        self.lock = self.directory / ".cache.lock"
        self.key = self.directory / "cache.json"
        self.manifest = self.directory / "manifest.json"

    def maps(self, number: int) -> str:
        """Returns the path of a file of maps."""
        return str(self.directory / f"maps-{number:05d}.npy")

    def checks(self, number: int) -> str:
        """Returns the path of the checksums of a file of maps."""
        return str(self.directory / f"checks-{number:05d}.npy")

    def check_key(self, key: dict[str, Any]) -> None:
        """Checks that the directory has this key, or is empty.

        Raises:
            DataError: it has another key, holds something else, or cannot be read.
        """
        found = read_json(str(self.key))
        if found is None:
            # A killed process may have left a part of the key.
            ours = self.lock.name, self.key.name
            others = [path.name for path in self.directory.iterdir()]
            others = [name for name in others if not name.startswith(ours)]
            if others:
                raise DataError(
                    f"--cache_maps: {self.directory} holds {min(others)} but no {self.key.name}: "
                    "give another directory, or delete what is left of a cache"
                )
            return
        found = verify_checksum(found, str(self.key))
        for name, value in key.items():
            if found.get(name) != value:
                raise DataError(
                    f"--cache_maps: {self.directory} holds maps of another {name}, "
                    f"{json.dumps(found.get(name))} where this training has {json.dumps(value)}: "
                    "give another directory, or delete this one"
                )

    def write_json(self, path: Path, values: dict[str, Any]) -> None:
        """Writes JSON values with their checksum, atomically.

        Raises:
            DataError: they cannot be written.
        """
        with writing(path):
            write_atomic(path, (json.dumps(with_checksum(values), indent=1) + "\n").encode())


class CachedMaps:
    """The maps of a finished cache.

    Args:
        files: its files.
        plan: its maps.

    Raises:
        DataError: a file is missing, has another size, or other checksums.
    """

    def __init__(self, files: CacheFiles, plan: Plan) -> None:
        self.plan, self._files = plan, files
        manifest = str(files.manifest)
        values = verify_checksum(read_json(manifest) or {}, manifest)
        sums = require_type(values.get("checks"), list, f"{manifest}: checks")
        if len(sums) != len(plan.rows):
            raise DataError(f"{manifest}: {len(sums)} files, expected {len(plan.rows)}; {_AGAIN}")
        raise_open_file_limit(len(sums))
        self._checks = [load_index(files.checks(k), str(sha256)) for k, sha256 in enumerate(sums)]
        self._maps = [
            open_maps(files.maps(number), (rows, *plan.map_shape))
            for number, rows in enumerate(plan.rows.tolist())
        ]

    def read(self, video: int, flip: bool, box: int, starts: np.ndarray) -> np.ndarray:
        """Reads the maps that stand for snippets of a view, and checks them. Thread-safe.

        Args:
            video, flip, box, starts: as for `Plan.rows_of`.

        Returns:
            float16 [T, H, W, C].

        Raises:
            DataError: a map has changed since it was written.
        """
        number = int(self.plan.file_of_video[video])
        rows = self.plan.rows_of(video, flip, box, starts)
        maps = self._maps[number][rows]
        for row, checksum, expected in zip(rows, checksums(maps), self._checks[number][rows]):
            if checksum != expected:
                raise DataError(
                    f"{self._files.maps(number)}, map {row}, of video "
                    f"{self.plan.shards.ids[video]!r}: checksum {checksum:08x}, {expected:08x} "
                    f"when it was written; {_AGAIN}"
                )
        return maps


def open_maps(path: str, shape: Sequence[int]) -> np.ndarray:
    """Opens a file of maps: float16, read-only, in memory only where it is read.

    Raises:
        DataError: it cannot be opened, or does not hold maps of this shape.
    """
    try:
        maps = map_array(path)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; {_AGAIN}") from None
    except OSError as error:
        raise DataError(f"{path}: {open_error_reason(error)}") from None
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}; {_AGAIN}") from None
    if maps.shape != tuple(shape) or maps.dtype != np.float16:
        raise DataError(
            f"{path} holds {maps.dtype} {list(maps.shape)}, expected float16 {list(shape)}; "
            f"{_AGAIN}"
        )
    return maps


def checksums(maps: np.ndarray) -> list[int]:
    """Returns the zlib.crc32 of each map: `[N, H, W, C]` -> N numbers."""
    return [zlib.crc32(row) for row in np.ascontiguousarray(maps)]

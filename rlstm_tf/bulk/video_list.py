"""The videos of a bulk prediction: from patterns, CSV files and paths to one list."""

from __future__ import annotations

import csv
import glob
import os
from collections.abc import Iterator, Sequence

from rlstm_tf.data.picture_series import picture_sizes
from rlstm_tf.errors import DataError
from rlstm_tf.storage.files import is_remote, open_text

_COLUMN = "path"


def list_videos(given: Sequence[str]) -> list[str]:
    """Lists videos, each once, in the order given; those of a pattern are sorted.

    Args:
        given: each a video file, a folder of pictures, a pattern as a shell has them, where `**`
            stands for any folders, or a CSV file with a column `path`, whose paths are relative to
            it. Videos and CSV files may be remote.

    Raises:
        DataError: a path does not exist, a pattern matches nothing, or a CSV file cannot be read,
            has no column `path` or no row.
    """
    found: dict[str, None] = {}
    for one in given:
        found.update(dict.fromkeys(_expand(one)))
    return list(found)


def _expand(given: str) -> Sequence[str]:
    is_list = given.lower().endswith(".csv")
    if is_remote(given) or os.path.lexists(given):
        return list(_read_list(given)) if is_list else [given]
    if not glob.has_magic(given):
        raise DataError(f"{given}: No such file or directory")
    # Of folders, those with pictures are videos; `**` matches all.
    videos = [
        path
        for path in sorted(glob.iglob(given, recursive=True))
        if not os.path.isdir(path) or picture_sizes(path)
    ]
    if not videos:
        raise DataError(f"{given} matches no file")
    return videos


def _read_list(path: str) -> Iterator[str]:
    """Yields the paths in a CSV file; its other columns do not matter."""
    count = 0
    try:
        with open_text(path, newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, ())]
            if _COLUMN not in header:
                raise DataError(f"{path}:1: the header must have {_COLUMN}; found {header}")
            column = header.index(_COLUMN)
            for cells in filter(None, reader):
                cell = cells[column].strip() if column < len(cells) else ""
                if not cell:
                    raise DataError(f"{path}:{reader.line_num}: {_COLUMN} is empty")
                count += 1
                yield cell if is_remote(cell) else os.path.join(os.path.dirname(path), cell)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text") from None
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num} is not CSV: {error}") from None
    if not count:
        raise DataError(f"{path} lists no video")

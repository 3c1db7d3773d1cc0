"""Size and content of a video's source: a file, or a folder of pictures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from rlstm_tf.data.picture_series import picture_sizes
from rlstm_tf.storage.checksums import FileDigest, digest_file
from rlstm_tf.storage.files import file_sizes, is_directory

_MAX_REQUESTS = 32


def source_sizes(paths: Sequence[str]) -> list[int | None]:
    """Returns the size of each file, or of all pictures in a folder, bytes; None without any.

    Raises:
        DataError: a size cannot be determined.
    """
    sizes = file_sizes(paths)
    others = [path for path, size in zip(paths, sizes) if size is None]
    with ThreadPoolExecutor(_MAX_REQUESTS) as threads:
        folder_sizes = dict(zip(others, threads.map(_folder_size, others)))
    return [folder_sizes.get(path, size) for path, size in zip(paths, sizes)]


def digest_source(path: str) -> FileDigest:
    """Returns the size and sha256 of a file, or those of the pictures in a folder as one.

    The sha256 of a folder is that of lines with the sha256 and the name of each picture, as
    `sha256sum` prints them.

    Raises:
        DataError: a file cannot be read.
    """
    if not is_directory(path):
        return digest_file(path)
    names = sorted(picture_sizes(path))
    digests = [digest_file(os.path.join(path, name)) for name in names]
    lines = (f"{digest.sha256}  {name}\n" for name, digest in zip(names, digests))
    checksum = hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape"))
    return FileDigest(sum(digest.size for digest in digests), checksum.hexdigest())


def _folder_size(path: str) -> int | None:
    sizes = picture_sizes(path) if is_directory(path) else {}
    return sum(sizes.values()) if sizes else None

"""The record of the video files that shards were built from: `sources.jsonl`.

One line per listed video, in the order of the shards: its id, subset and group, and the size and
sha256 of its file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from rlstm_tf.data.schema import MANIFEST, SOURCES, Manifest, join
from rlstm_tf.errors import DataError
from rlstm_tf.storage.checksums import FileDigest
from rlstm_tf.storage.files import read_text
from tfrecords_tools.builder.plan import Plan


@dataclass(frozen=True)
class Source:
    """A video that a build was given, damaged ones included.

    Attributes:
        id, subset, group: as in the build's list of videos.
        digest: of the file; None if unknown, as for a video that was never read.
    """

    id: str
    subset: str
    group: str
    digest: FileDigest | None


def format_sources(plan: Plan, digests: Mapping[str, FileDigest]) -> str:
    """Returns the text of `sources.jsonl`.

    Args:
        plan: the build.
        digests: of the video files, by id of the video.
    """
    lines = []
    for videos in plan.shards.values():
        for video in videos:
            size, sha256 = digests.get(video.id, (None, None))
            values = {"id": video.id, "subset": video.subset, "group": video.group}
            lines.append(json.dumps({**values, "size": size, "sha256": sha256}) + "\n")
    return "".join(lines)


def load_sources(directory: str, manifest: Manifest) -> tuple[Source, ...]:
    """Loads the sources of finished shards; of shards by version 0.1.0, none are known.

    Args:
        directory: the shards, local or remote.
        manifest: their manifest.

    Raises:
        DataError: the file is missing or was changed.
    """
    if not manifest.sources_sha256:
        return ()
    path = join(directory, SOURCES)
    try:
        text = read_text(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text") from None
    found = text_sha256(text)
    if found != manifest.sources_sha256:
        raise DataError(f"{path} has sha256 {found}, {MANIFEST} says {manifest.sources_sha256}")
    sources = []
    for line in text.splitlines():
        values = json.loads(line)
        size, sha256 = values.pop("size"), values.pop("sha256")
        sources.append(Source(**values, digest=FileDigest(size, sha256) if sha256 else None))
    return tuple(sources)


def text_sha256(text: str) -> str:
    """Returns the hexadecimal sha256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()

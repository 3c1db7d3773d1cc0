"""The record of the video files that shards were built from: `sources.jsonl`.

One line per listed video, in the order of the shards: its id, subset, group and actions, and the
size and sha256 of its file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.schema import MANIFEST, SOURCES, join
from rlstm_tf.errors import DataError
from rlstm_tf.storage.checksums import FileDigest
from rlstm_tf.storage.files import read_text
from rlstm_tf.storage.json_values import parse_json
from tfrecords_tools.builder.output_directory import BUILD
from tfrecords_tools.builder.plan import Plan
from tfrecords_tools.datasets.dataset import Video

# Types of the values of a line.
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "subset", "group"), (str,)),
    "actions": (list,),
    "size": (int, type(None)),
    "sha256": (str, type(None)),
}


@dataclass(frozen=True)
class Source:
    """A video that a build was given, damaged ones included.

    Attributes:
        id, subset, group: as in the build's list of videos.
        digest: of the file; None if unknown, as for a video that was never read.
        actions: its class names with start and end, seconds (`dataset.Action`).
    """

    id: str
    subset: str
    group: str
    digest: FileDigest | None
    actions: tuple[tuple[str, float, float | None], ...] = ()


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
            values = {
                "id": video.id,
                "subset": video.subset,
                "group": video.group,
                "actions": named_actions(video, plan.dataset.classes),
                "size": size,
                "sha256": sha256,
            }
            lines.append(json.dumps(values) + "\n")
    return "".join(lines)


def named_actions(
    video: Video, classes: Sequence[str]
) -> tuple[tuple[str, float, float | None], ...]:
    """Returns the actions of a video with their class names, as in `Source.actions`."""
    return tuple((classes[action.label], action.start, action.end) for action in video.actions)


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
    where = join(directory, SOURCES)
    lines = read_sources(directory, manifest).splitlines()
    return tuple(_parse_source(line, where) for line in lines)


def _parse_source(line: str, where: str) -> Source:
    values = parse_json(line, where)
    fits = values.keys() == _KINDS.keys() and all(
        isinstance(values[name], kinds) for name, kinds in _KINDS.items()
    )
    if not fits or not all(isinstance(action, list) for action in values["actions"]):
        raise DataError(f"{where} has a line that describes no video: {line[:200]!r}")
    size, sha256 = values.pop("size"), values.pop("sha256")
    values["actions"] = tuple(map(tuple, values["actions"]))
    return Source(**values, digest=FileDigest(size, sha256) if sha256 else None)


def read_sources(directory: str, manifest: Manifest) -> str:
    """Reads the text of `sources.jsonl` that belongs to a manifest.

    Raises:
        DataError: the file is missing or was changed.
    """
    path = join(directory, SOURCES)
    try:
        return _read_verified(path, manifest.sources_sha256)
    except DataError as error:
        # A build that adds videos may have been killed between this file and the manifest.
        with contextlib.suppress(DataError):
            return _read_verified(saved_path(directory), manifest.sources_sha256)
        raise error from None


def saved_path(directory: str) -> str:
    """Returns where a build that adds videos keeps the `sources.jsonl` of before."""
    return join(join(directory, BUILD), SOURCES)


def assign_sources(manifest: Manifest, sources: Iterable[Source]) -> dict[str, list[Source]]:
    """Finds the shard of each video, by name of the shard.

    A damaged video is in no shard; it counts to that of the next intact one.

    Args:
        manifest: of the shards.
        sources: all sources of the shards, in order.

    Raises:
        DataError: the counts of the two do not fit.
    """
    damaged = {video["id"] for video in manifest.damaged}
    every = list(sources)
    assigned: dict[str, list[Source]] = {}
    for name, subset in manifest.subsets.items():
        own = iter([source for source in every if source.subset == name])
        for shard in subset.shards:
            members = assigned[shard.name] = []
            count = 0
            while count < shard.videos and (source := next(own, None)):
                members.append(source)
                count += source.id not in damaged
            if count < shard.videos:
                raise DataError(f"{SOURCES} has fewer videos than {MANIFEST}: subset {name}")
        members.extend(own)
    return assigned


def _read_verified(path: str, sha256: str) -> str:
    try:
        text = read_text(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text") from None
    found = text_sha256(text)
    if found != sha256:
        raise DataError(f"{path} has sha256 {found}, {MANIFEST} says {sha256}")
    return text


def text_sha256(text: str) -> str:
    """Returns the hexadecimal sha256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()

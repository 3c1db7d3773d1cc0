"""Copies images from finished shards: another split of the same videos needs no decoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import UsageError
from rlstm_tf.storage.checksums import FileDigest
from tfrecords_tools.builder.plan import Plan
from tfrecords_tools.builder.sources import load_sources

# Settings that the images depend on.
_IMAGE_SETTINGS = ("short_side", "jpeg_quality", "flow", "video_stream", "keep_partial")
_FRAMES_PER_READ = 64


@dataclass(frozen=True)
class StoredVideo:
    """Location of a video's images: index `video` in a subset of a directory of shards.

    `source` is the digest of the video file that they were made from, if it was recorded; `share`
    and `damage` tell how much of it decoded, and why not all.
    """

    directory: str
    subset: str
    video: int
    source: FileDigest | None = None
    share: float = 1.0
    damage: str = ""


def find_stored_videos(directories: Sequence[str], plan: Plan) -> dict[str, StoredVideo]:
    """Finds the videos that finished shards hold.

    Args:
        directories: finished shards, local or remote.
        plan: build that needs the images.

    Returns:
        Locations by id of the video.

    Raises:
        DataError: a directory holds no shards, or damaged ones.
        UsageError: the shards hold other images than this build would make.
    """
    found: dict[str, StoredVideo] = {}
    ours = {"dataset": plan.dataset.name, "stream": plan.stream, **plan.settings}
    for directory in directories:
        manifest = Manifest.load(directory)
        theirs = {"dataset": manifest.dataset, "stream": manifest.stream, **manifest.settings}
        for name in ("dataset", "stream", *_IMAGE_SETTINGS):
            if theirs.get(name) != ours.get(name):
                raise UsageError(
                    f"--reuse={directory}: made with {name} {theirs.get(name)}, "
                    f"this build has {ours.get(name)}"
                )
        sources = {source.id: source.digest for source in load_sources(directory, manifest)}
        partial = {one["id"]: (one["share"], one["reason"]) for one in manifest.partial}
        for subset in manifest.subsets:
            for video, name in enumerate(_open_shards(directory, subset).ids):
                damage = partial.get(name, (1.0, ""))
                found[name] = StoredVideo(directory, subset, video, sources.get(name), *damage)
    return found


def read_stored(stored: StoredVideo) -> tuple[float, int, int, Iterator[bytes]]:
    """Reads a video's images from finished shards.

    Returns:
        Frames per second (0 if unknown), height and width in pixels, and the JPEG files in order.

    Raises:
        DataError: the shards are damaged; a frame's checksum is compared when it is read.
    """
    shards, video = _open_shards(stored.directory, stored.subset), stored.video
    size = int(shards.heights[video]), int(shards.widths[video])
    return float(shards.fps[video]), *size, _read_jpegs(shards, video)


def _read_jpegs(shards: Shards, video: int) -> Iterator[bytes]:
    count = int(shards.num_frames[video])
    for first in range(0, count, _FRAMES_PER_READ):
        yield from shards.read_frames(video, range(first, min(first + _FRAMES_PER_READ, count)))


@cache
def _open_shards(directory: str, subset: str) -> Shards:
    return Shards.open(directory, subset)

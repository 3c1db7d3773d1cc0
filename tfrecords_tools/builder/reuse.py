"""Images that finished shards hold already: another split of the same videos costs no decoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from rlstm_tf.data.schema import Manifest
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import UsageError
from tfrecords_tools.builder.plan import Plan

# What the images depend on.
_OF_IMAGES = ("short_side", "jpeg_quality", "flow")
_READ_AT_ONCE = 64


@dataclass(frozen=True)
class Place:
    """Where a video's images are: position `video` of a subset of a directory of shards."""

    directory: str
    subset: str
    video: int


def places(directories: Sequence[str], plan: Plan) -> dict[str, Place]:
    """The videos that finished shards hold, by id.

    Args:
        directories: of shards.
        plan: of the build that is to use them.

    Raises:
        DataError: no shards, or damaged ones.
        UsageError: they hold other images than this build would make.
    """
    found: dict[str, Place] = {}
    ours = {"dataset": plan.dataset.name, "stream": plan.stream, **plan.settings}
    for directory in directories:
        manifest = Manifest.load(directory)
        theirs = {"dataset": manifest.dataset, "stream": manifest.stream, **manifest.settings}
        for name in ("dataset", "stream", *_OF_IMAGES):
            if theirs.get(name) != ours.get(name):
                raise UsageError(
                    f"--reuse={directory}: made with {name} {theirs.get(name)}, "
                    f"this build has {ours.get(name)}"
                )
        for subset in manifest.subsets:
            ids = _opened(directory, subset).ids
            found.update((name, Place(directory, subset, v)) for v, name in enumerate(ids))
    return found


class StoredImages:
    """A video's images as they are stored, with what is known of the video.

    Attributes:
        fps: average frames per second, 0 = unknown.
        height, width: pixels of a frame, or of a flow field.

    Raises:
        DataError: the shards are damaged.
    """

    def __init__(self, place: Place):
        self._shards = _opened(place.directory, place.subset)
        self._video = place.video
        self.fps = float(self._shards.fps[place.video])
        self.height = int(self._shards.heights[place.video])
        self.width = int(self._shards.widths[place.video])

    def jpegs(self) -> Iterator[bytes]:
        """The files in order, each compared with its checksum.

        Raises:
            DataError: one is damaged.
        """
        count = int(self._shards.num_frames[self._video])
        for first in range(0, count, _READ_AT_ONCE):
            numbers = range(first, min(first + _READ_AT_ONCE, count))
            yield from self._shards.read_frames(self._video, numbers)


@cache
def _opened(directory: str, subset: str) -> Shards:
    return Shards.open(directory, subset)

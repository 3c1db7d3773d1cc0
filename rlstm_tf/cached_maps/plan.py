"""Which maps of a data set are cached, and where each of them lies.

A view is a crop of all frames, mirrored or not. The n snippet starts of a video are divided into K
parts, from floor(k n / K) on, like its segments; the middle start of each is cached and stands for
all of them. With K = n these are all starts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rlstm_tf.choices import CACHE_VIEWS
from rlstm_tf.data import augmentation, sampling
from rlstm_tf.data.augmentation import Box
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import UsageError

# Of a file of maps, which is made in memory.
_FILE_BYTES = 64 << 20


@dataclass(frozen=True)
class CacheConfig:
    """Options of the cache.

    Attributes:
        directory: where it is, or `auto` for a place beside the shards.
        views: names from `rlstm_tf.choices.CACHE_VIEWS`: `center` and `corners`, the crops of
            evaluation; `scales`, a crop in the middle at each of the training's scales; and
            `mirrored`, each of the others mirrored too, unless the training does not mirror.
        frames: K, snippets to cache of a video that has more.

    Raises:
        UsageError: a view is unknown, or there is none but `mirrored`.
    """

    directory: str
    views: tuple[str, ...] = ("center", "mirrored")
    frames: int = 32

    def __post_init__(self) -> None:
        if not set(self.views) <= set(CACHE_VIEWS) or not {*self.views} - {"mirrored"}:
            raise UsageError(
                f"--cache_views={','.join(self.views)}: of {', '.join(CACHE_VIEWS)}, and not "
                "mirrored alone"
            )


def check_augmentation(config: InputConfig) -> None:
    """Raises UsageError if an option changes the frames that maps are cached of."""
    for name in ("color_jitter", "random_erasing"):
        if getattr(config, name):
            raise UsageError(
                f"--{name}={getattr(config, name)} changes the frames of each epoch: "
                "--cache_maps takes mixup, --cache_views and --crop_scales alone"
            )


def view_boxes(height: int, width: int, config: InputConfig, views: tuple[str, ...]) -> list[Box]:
    """Returns the crops of a video's frames, in the order in which their maps are stored."""
    *corners, center = augmentation.evaluation_crops(height, width, config.image_size, 5)
    boxes = [center] if "center" in views else []
    if "corners" in views:
        boxes += corners
    if "scales" in views:
        sides = [max(1, int(min(height, width) * scale)) for scale in config.crop_scales]
        boxes += [augmentation.crop_positions(height, width, side, side)[4] for side in sides]
    return boxes


class Plan:
    """The maps of all videos of a subset, and the files that hold them.

    A file holds whole videos. Its rows are maps, sorted by video, flip, crop and snippet.

    Args:
        shards: the subset.
        config: how its frames are cropped; options of batches have no effect.
        cache: options of the cache.
        map_shape: (H, W, C) of a map.

    Attributes:
        flips: False, and True if mirrored views are cached.
        num_boxes: crops, each of them with each flip.
        counts: int64 [V], K of each video.
        file_of_video: int64 [V], number of the file.
        first_row: int64 [V], row in it of the video's first map.
        rows: int64 [files], maps of each file.
        num_bytes: size of all maps.
    """

    def __init__(
        self, shards: Shards, config: InputConfig, cache: CacheConfig, map_shape: tuple[int, ...]
    ) -> None:
        self.shards, self.config, self.cache, self.map_shape = shards, config, cache, map_shape
        self.flips = (False, True) if "mirrored" in cache.views and config.flip else (False,)
        self.num_boxes = len(self.boxes(0))
        starts = np.maximum(shards.num_frames - config.new_length + 1, 1)
        self._starts = starts
        self.counts = np.minimum(starts, cache.frames)
        rows = self.counts * len(self.flips) * self.num_boxes
        map_bytes = 2 * math.prod(map_shape)
        self.num_bytes = int(rows.sum()) * map_bytes
        per_file = max(_FILE_BYTES // map_bytes, 1)
        self.file_of_video, self.first_row, sizes = _pack(rows, per_file)
        self.rows = np.array(sizes)

    def boxes(self, video: int) -> list[Box]:
        """Returns the crops of a video."""
        size = int(self.shards.heights[video]), int(self.shards.widths[video])
        return view_boxes(*size, self.config, self.cache.views)

    def frames(self, video: int) -> np.ndarray:
        """Returns the frame numbers of a video's cached snippets: int64 [K, new_length]."""
        num_frames, length = int(self.shards.num_frames[video]), self.config.new_length
        count = int(self.counts[video])
        edges = np.arange(count + 1) * int(self._starts[video]) // count
        middles = (edges[:-1] + edges[1:] - 1) // 2
        return sampling.snippet_frames(middles, num_frames, length)

    def rows_of(self, video: int, flip: bool, box: int, starts: np.ndarray) -> np.ndarray:
        """Returns the rows, in the video's file, of the maps that stand for snippets.

        Args:
            video: position in the shards.
            flip: mirrored or not, of `flips`.
            box: number of the crop.
            starts: first frames of the snippets, [T].
        """
        count, num_starts = int(self.counts[video]), int(self._starts[video])
        # A labeled interval may end with the video, and be shorter than a snippet.
        number = (np.minimum(starts + 1, num_starts) * count - 1) // num_starts
        view = self.flips.index(flip) * self.num_boxes + box
        return int(self.first_row[video]) + view * count + number

    def videos_of(self, file: int) -> list[int]:
        """Returns the videos of a file, in order."""
        return np.flatnonzero(self.file_of_video == file).tolist()


def _pack(rows: np.ndarray, per_file: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Puts consecutive videos into files of at most `per_file` rows, or of one video.

    Returns:
        File and first row of each video, and rows of each file.
    """
    files, firsts, sizes = [], [], [0]
    for count in rows.tolist():
        if sizes[-1] and sizes[-1] + count > per_file:
            sizes.append(0)
        files.append(len(sizes) - 1)
        firsts.append(sizes[-1])
        sizes[-1] += count
    return np.array(files), np.array(firsts), sizes

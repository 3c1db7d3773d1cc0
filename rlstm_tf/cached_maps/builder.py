"""Makes the files of a cache, from the first unfinished one on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rlstm_tf.cached_maps.cached_maps import CachedMaps, CacheFiles, checksums, open_maps
from rlstm_tf.cached_maps.key import find_directory, make_key
from rlstm_tf.cached_maps.plan import CacheConfig, Plan
from rlstm_tf.cli.terminal import progress_bar
from rlstm_tf.data.batches import write_cropped
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError
from rlstm_tf.messages import say
from rlstm_tf.storage.arrays import parse_array, write_array
from rlstm_tf.storage.atomic import writing
from rlstm_tf.storage.files import open_file
from rlstm_tf.storage.locks import lock_file

# Images that the trunk takes at a time.
_BATCH = 32
# Checksums, headers and JSON beside the maps, as a share of them.
_OTHER_BYTES = 0.01

Compute = Callable[[np.ndarray], np.ndarray]


def open_cache(
    model: keras.Model, shards: Shards, config: InputConfig, cache: CacheConfig, data: str
) -> CachedMaps:
    """Opens the cache of a network's trunk, and makes what is missing of it before.

    One process makes it; others that open the same directory wait.

    Args:
        model: the network, with its final trunk.
        shards: the subset.
        config: how its frames are cropped.
        cache: options of the cache.
        data: directory of the shards.

    Raises:
        DataError: the directory holds other maps or something else, is damaged, cannot be written
            or has too little room; a frame is damaged; a map does not fit into float16.
        UsageError: there is no place for it.
    """
    plan = Plan(shards, config, cache, tuple(model.get_layer("maps").output.shape[1:]))
    key = make_key(model, plan)
    files = CacheFiles(find_directory(key, plan, data))
    with writing(files.directory):
        files.directory.mkdir(parents=True, exist_ok=True)
        waiting = f"waits for another process, which makes {files.directory}"
        lock = lock_file(files.lock, f"{files.directory} was deleted meanwhile", waiting)
    with lock:
        files.check_key(key)
        if files.manifest.exists():
            say(f"maps of the trunk: {files.directory}, {_size(plan.num_bytes)}")
        else:
            _build(files, plan, key, trunk_function(model))
    return CachedMaps(files, plan)


def _build(files: CacheFiles, plan: Plan, key: dict[str, Any], compute: Compute) -> None:
    numbers = range(len(plan.rows))
    done = [number for number in numbers if _is_finished(files, plan, number)]
    left = [number for number in numbers if number not in done]
    share = plan.rows[left].sum() / plan.rows.sum()
    _check_room(files, plan, int(share * plan.num_bytes))
    # Not before: without room, the directory must take a smaller cache.
    files.write_json(files.key, key)
    if done:
        say(f"{len(done)} of {len(numbers)} files of them are there")
    title = "maps of the trunk"
    with progress_bar(int(plan.rows[left].sum()), title, "maps", leave=False) as bar:
        for number in left:
            maps = np.empty((plan.rows[number], *plan.map_shape), np.float16)
            for video, frames in _decoded(plan, plan.videos_of(number)):
                first = int(plan.first_row[video])
                own = maps[first : first + len(frames)]
                # NumPy converts to float16: oneDNN complains of graphs that hold it.
                with np.errstate(over="ignore"):
                    for begin in range(0, len(frames), _BATCH):
                        own[begin : begin + _BATCH] = compute(frames[begin : begin + _BATCH])
                if not np.isfinite(own).all():
                    raise DataError(
                        f"the trunk's maps of video {plan.shards.ids[video]!r} do not fit into "
                        "float16: train without --cache_maps"
                    )
                bar.update(len(frames))
            write_array(files.maps(number), maps)
            write_array(files.checks(number), np.array(checksums(maps), np.uint32))
    sums = [hashlib.sha256(_content(files.checks(number))).hexdigest() for number in numbers]
    files.write_json(files.manifest, {"checks": sums})


def _check_room(files: CacheFiles, plan: Plan, left: int) -> None:
    """Says what is going to be made, and checks that there is room for it."""
    free = shutil.disk_usage(files.directory).free
    views = plan.num_boxes * len(plan.flips)
    what = (
        f"maps of the trunk: {len(plan.counts)} videos, {plan.counts.sum()} snippets, "
        f"{views} views, {_size(plan.num_bytes)}"
    )
    if left * (1 + _OTHER_BYTES) > free:
        raise DataError(
            f"{what}, of which {_size(left)} are missing; {files.directory} has {_size(free)} "
            "free: fewer --cache_views or --cache_frames, or another --cache_maps"
        )
    say(f"{what} in {files.directory}, {_size(free)} free")


def _is_finished(files: CacheFiles, plan: Plan, number: int) -> bool:
    """Returns whether a file of maps is complete, and as it was written."""
    try:
        checks = parse_array(_content(files.checks(number)))
        maps = open_maps(files.maps(number), (plan.rows[number], *plan.map_shape))
    except (OSError, ValueError, DataError):
        return False
    return checks.tolist() == checksums(maps)


def _content(path: str) -> bytes:
    file = open_file(path)
    return file.read(0, file.size)


def _decoded(plan: Plan, videos: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yields videos and the frames of their rows, and decodes one video ahead."""
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(decode_views, plan, videos[0])
        for video, after in zip(videos, [*videos[1:], None]):
            frames = ahead.result()
            if after is not None:
                ahead = pool.submit(decode_views, plan, after)
            yield video, frames


def decode_views(plan: Plan, video: int) -> np.ndarray:
    """Decodes the images of a video's rows, in order: uint8 `[rows, S, S, C]`.

    Raises:
        DataError: a frame is damaged.
    """
    numbers, boxes = plan.frames(video), plan.boxes(video)
    shape = (len(plan.flips), len(boxes), len(numbers), *plan.config.video_shape[1:])
    out = np.empty(shape, np.uint8)
    for flip, own in zip(plan.flips, out):
        write_cropped(plan.shards, plan.config, video, numbers, boxes, flip, own.swapaxes(0, 1))
    return out.reshape(-1, *shape[3:])


def trunk_function(model: keras.Model) -> Compute:
    """Returns the trunk of a network as a function: uint8 `[N, S, S, C]` -> maps, float32.

    N is at most the number of images that it takes at a time.
    """
    scale, trunk = model.get_layer("scale"), model.get_layer("trunk")
    shape = (_BATCH, *trunk.input_shape[1:])

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8)], autograph=False)
    def apply(frames: Any) -> Any:
        return tf.cast(trunk(scale(frames), training=False), tf.float32)

    def compute(frames: np.ndarray) -> np.ndarray:
        images = np.zeros(shape, np.uint8)
        images[: len(frames)] = frames
        return apply(tf.constant(images)).numpy()[: len(frames)]

    return compute


def _size(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"

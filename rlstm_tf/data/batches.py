"""Batches as a pure function of position, in NumPy: what `pipeline` runs ahead of the training.

A run goes through the samples, a video or an interval of one each, epoch by epoch: the sample at
its place p is at position p % N of epoch p // N, and a batch is B places in a row (see
`rlstm_tf.data.batch_schedule`). An epoch is a permutation of all N samples that depends on (seed,
epoch) alone;
the crop, the flip and the snippets at a position of it depend on (seed, epoch, position) alone. So
any part of any batch of any run can be made again by itself, in any order, on any machine, and no
buffer has to be filled or saved to go on with a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np

from rlstm_tf.data import augmentation, sampling
from rlstm_tf.data.augmentation import Box
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.memory import aligned_empty
from rlstm_tf.data.protocols import CENTER, Protocol
from rlstm_tf.data.rng import rng_at
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError

Batch = dict[str, Any]


def training_rows(
    shards: Shards, config: InputConfig, first: int, count: int, frames: np.ndarray | None = None
) -> Batch:
    """The samples at consecutive places of a run: a batch, or a replica's part of one.

    Args:
        shards: where from.
        config: see there.
        first: place of the first, counted from the start of the run.
        count: rows R.
        frames: to write into, of the shape below; a new array if None.

    Returns:
        `frames` uint8 [R, *training_shape]: RGB 0..255, or levels of flow; `label` int32 [R];
        `video` int64 [R], positions in `shards`. Where the device is to crop, the frames are whole,
        anything may be to the right of them and below, and there are `box` int32 [R, 4], a
        `Box` each, and `flip` bool [R].

    Raises:
        DataError: a frame is damaged; names it.
    """
    places = [divmod(first + row, len(shards.samples)) for row in range(count)]
    views = [draw_sample(shards, config, *place) for place in places]
    if frames is None:
        frames = aligned_empty((count, *training_shape(shards, config)))
    batch = {
        "frames": frames,
        "label": np.array([view.label for view in views], np.int32),
        "video": np.array([view.video for view in views], np.int64),
    }
    if config.augment_on == "device":
        for view, out in zip(views, frames):
            _write_whole(shards, view, out)
        batch["box"] = np.array([view.box for view in views], np.int32)
        batch["flip"] = np.array([view.flip for view in views])
        return batch
    for view, out in zip(views, frames):
        _write_stored(shards, config, view.video, view.frames, [view.box], view.flip, out[:, None])
    return batch


def training_shape(shards: Shards, config: InputConfig) -> tuple[int, ...]:
    """Of the frames of a training sample.

    Returns:
        (T, S, S, C). Where the device is to crop, (T, H, W, 3), or for flow (T, L, 2, H, W), x
        before y, with the height and the width of the shards' largest frames.
    """
    if config.augment_on == "host":
        return config.video_shape
    size = int(shards.heights.max()), int(shards.widths.max())
    if config.stream == "temporal":
        return (config.num_segments, config.new_length, 2, *size)
    return (config.num_segments, *size, 3)


def evaluation_example(
    shards: Shards, config: InputConfig, position: int, protocol: Protocol = CENTER
) -> Batch:
    """One video of an evaluation, V views of it.

    View g * K + k shows the g-th place in time through crop k of K (`evaluation_crops`).

    Args:
        shards: where from.
        config: see there.
        position: of the video; from the number of videos on, what only fills a batch.
        protocol: which views.

    Returns:
        `frames` uint8 [V, T, S, S, C]: RGB 0..255, or levels of flow; `video` int64 []. What only
        fills has zeros, and -1 for its video.

    Raises:
        DataError: a frame is damaged; names it.
    """
    frames = aligned_empty((protocol.num_views, *config.video_shape))
    if position >= len(shards):
        frames[...] = 0
        return {"frames": frames, "video": np.int64(-1)}
    size = int(shards.heights[position]), int(shards.widths[position])
    num_frames = int(shards.num_frames[position])
    starts = protocol.starts(num_frames, config.num_segments, config.new_length)
    numbers = sampling.snippet_frames(starts, num_frames, config.new_length)
    boxes = augmentation.evaluation_crops(*size, config.image_size, protocol.num_crops)
    out = frames.reshape(len(starts), len(boxes), *config.video_shape)
    # Crops last, as `write_views` has them: a view of the same memory.
    _write_stored(shards, config, position, numbers, boxes, False, out.swapaxes(1, 2))
    return {"frames": frames, "video": np.int64(position)}


@lru_cache(maxsize=4)
def epoch_order(num_samples: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch goes through the samples: int64 [N], read-only."""
    order = rng_at(seed, epoch, 0, purpose=0).permutation(num_samples)
    order.flags.writeable = False
    return order


class SampleDraw(NamedTuple):
    """What is drawn for a training sample.

    Attributes:
        video: position in the shards.
        label: of the video, or of its interval.
        box: crop of all its frames.
        flip: whether they are mirrored.
        frames: int64 [T, new_length], numbers in the video.
    """

    video: int
    label: int
    box: Box
    flip: bool
    frames: np.ndarray


def draw_sample(shards: Shards, config: InputConfig, epoch: int, position: int) -> SampleDraw:
    """What position 0 ... N - 1 of an epoch shows."""
    sample = shards.samples[epoch_order(len(shards.samples), config.seed, epoch)[position]]
    video, label, first, num_frames = sample.tolist()
    generator = rng_at(config.seed, epoch, position, purpose=1)
    size = int(shards.heights[video]), int(shards.widths[video])
    box = augmentation.random_crop(*size, generator, config.crop_scales)
    # Drawn in any case, so that the snippets are the same with and without flips.
    flip = bool(generator.integers(2)) and config.flip
    starts = sampling.random_snippets(num_frames, config.num_segments, generator, config.new_length)
    frames = first + sampling.snippet_frames(starts, num_frames, config.new_length)
    return SampleDraw(video, label, box, flip, frames)


def _write_stored(
    shards: Shards,
    config: InputConfig,
    video: int,
    numbers: np.ndarray,
    boxes: Sequence[Box],
    flip: bool,
    out: np.ndarray,
) -> None:
    """`write_views` of a video in shards, its position in `shards` given."""
    # In order, so that neighbours are read at once.
    needed = sorted(set(numbers.ravel().tolist()))
    jpegs = dict(zip(needed, shards.read_frames(video, needed)))
    write_views(
        lambda number: _decoded(shards, video, number, jpegs), config, numbers, boxes, flip, out
    )


def _write_whole(shards: Shards, view: SampleDraw, out: np.ndarray) -> None:
    """Writes the images of a training sample, each decoded once: `out` is of `training_shape`."""
    height, width = int(shards.heights[view.video]), int(shards.widths[view.video])
    temporal = shards.manifest.stream == "temporal"
    targets = out[..., :height, :width] if temporal else out[:, None, :height, :width]
    needed = sorted(set(view.frames.ravel().tolist()))
    jpegs = dict(zip(needed, shards.read_frames(view.video, needed)))
    for number in needed:
        image = _decoded(shards, view.video, number, jpegs)
        image = image.reshape(2, height, width) if temporal else image
        for segment, place in np.argwhere(view.frames == number).tolist():
            targets[segment, place] = image


def write_views(
    image: Callable[[int], np.ndarray],
    config: InputConfig,
    numbers: np.ndarray,
    boxes: Sequence[Box],
    flip: bool,
    out: np.ndarray,
) -> None:
    """Takes every image that is needed once, and writes all crops of all snippets.

    Args:
        image: a frame, uint8 [H, W, 3], RGB, or a field, uint8 [2H, W], by its number. Asked for
            numbers that rise.
        config: see there.
        numbers: int64 [..., new_length], images of each snippet; neighbours, or the last repeated.
        boxes: K crops of the images.
        flip: mirror all of them.
        out: uint8 [..., K, S, S, C].
    """
    place = numbers.shape[:-1]
    for index, images in in_frame_order(image, numbers.reshape(-1, config.new_length)):
        for box, target in zip(boxes, out[np.unravel_index(index, place)]):
            write_crop(images, config, box, flip, target)


def in_frame_order(
    image: Callable[[int], np.ndarray], snippets: np.ndarray
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Positions of snippets and their images, in the order of the first image of each.

    Of snippets that begin alike the first comes first. No image is taken twice. `image` and
    `snippets`, int64 [N, new_length], are those of `write_views`.
    """
    held: dict[int, np.ndarray] = {}
    for index in np.argsort(snippets[:, 0], kind="stable").tolist():
        wanted = snippets[index].tolist()
        # What earlier snippets alone have used is let go.
        held = {number: held[number] for number in wanted if number in held}
        for number in wanted:
            if number not in held:
                held[number] = image(number)
        yield index, [held[number] for number in wanted]


def write_crop(
    images: Sequence[np.ndarray], config: InputConfig, box: Box, flip: bool, out: np.ndarray
) -> None:
    """Writes a crop of the images of one snippet: uint8 [S, S, C], contiguous."""
    if config.stream == "temporal":
        augmentation.crop_flow(images, box, config.image_size, flip, out)
    else:
        augmentation.crop_and_resize(images[0], box, config.image_size, flip, out)


def _decoded(shards: Shards, video: int, frame: int, jpegs: dict[int, bytes]) -> np.ndarray:
    """A frame, uint8 [H, W, 3], RGB, or a field, uint8 [2H, W], of the size the index says."""
    temporal = shards.manifest.stream == "temporal"
    mode = cv2.IMREAD_GRAYSCALE if temporal else cv2.IMREAD_COLOR_RGB
    height, width = int(shards.heights[video]) * (2 if temporal else 1), int(shards.widths[video])
    image = cv2.imdecode(np.frombuffer(jpegs[frame], np.uint8), mode)
    if image is None or image.shape[:2] != (height, width):
        found = "no image" if image is None else f"{image.shape[0]}x{image.shape[1]} pixels"
        raise DataError(f"{shards.name_of(video, frame)}: {found}, the index says {height}x{width}")
    return image

"""Makes batches in NumPy, as a pure function of their position in a run.

A sample is a video or an interval of one. A run is a sequence of samples: element p is at position
p % N of epoch p // N, and a batch is B consecutive elements (`rlstm_tf.data.batch_schedule`). An
epoch is an order of N samples that depends only on (seed, epoch), see `rlstm_tf.data.sample_order`;
the crop, flip and snippets of a sample depend only on (seed, epoch, position). So any slice of any
batch can be reproduced on any machine, and a run resumes without filling or restoring a shuffle
buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from rlstm_tf.data import augmentation, sampling
from rlstm_tf.data.augmentation import Box
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.jpeg import jpeg_shape
from rlstm_tf.data.memory import aligned_empty
from rlstm_tf.data.protocols import CENTER, Protocol
from rlstm_tf.data.sample_draw import SampleDraw, draw_sample
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError

Batch = dict[str, Any]


def training_rows(
    shards: Shards, config: InputConfig, first: int, count: int, frames: np.ndarray | None = None
) -> Batch:
    """Makes consecutive samples of a run: a batch, or a replica's slice of one.

    Args:
        shards: shards of the training subset.
        config: batch options.
        first: index of the first sample, counted from the start of the run.
        count: number of rows R.
        frames: array to write into, uint8 [R, *training_shape]; allocated if None.

    Returns:
        `frames` uint8 [R, *training_shape], RGB 0..255 or flow levels; `label` int32 [R]; `video`
        int64 [R], positions in `shards`; with mixup, `share` float32 [R], see
        `device_augmentation.mix`. If the device crops, the frames are uncropped, with undefined
        padding at the right and bottom, and there are also `box` int32 [R, 4] (`Box`), `flip` bool
        [R] and, as far as they are on, `colors` float32 [R, 3, 4] (`augmentation.color_map`) and
        `erased` int32 [R, 4] (`Box`).

    Raises:
        DataError: a frame is damaged.
    """
    positions = [divmod(first + row, len(shards.samples)) for row in range(count)]
    draws = [draw_sample(shards, config, *position) for position in positions]
    if frames is None:
        frames = aligned_empty((count, *training_shape(shards, config)))
    batch = {
        "frames": frames,
        "label": np.array([draw.label for draw in draws], np.int32),
        "video": np.array([draw.video for draw in draws], np.int64),
    }
    if config.mixup:
        batch["share"] = np.array([draw.share for draw in draws], np.float32)
    if config.augment_on == "device":
        for draw, out in zip(draws, frames):
            _write_uncropped(shards, draw, out)
        batch["box"] = np.array([draw.box for draw in draws], np.int32)
        batch["flip"] = np.array([draw.flip for draw in draws])
        if config.color_jitter:
            batch["colors"] = np.array([draw.colors for draw in draws])
        if config.random_erasing:
            batch["erased"] = np.array([draw.erased for draw in draws], np.int32)
        return batch
    for draw, out in zip(draws, frames):
        write_cropped(shards, config, draw.video, draw.frames, [draw.box], draw.flip, out[:, None])
        if draw.colors is not None:
            augmentation.change_colors(out, draw.colors)
        augmentation.erase(out, draw.erased)
    return batch


def training_shape(shards: Shards, config: InputConfig) -> tuple[int, ...]:
    """Returns the shape of a training sample's frames.

    Returns:
        (T, S, S, C). If the device crops: (T, H, W, 3) for RGB or (T, L, 2, H, W) for flow (x, then
        y), with the largest height and width in the shards.
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
    """Makes the V views of one video for evaluation.

    View g * K + k is crop k of K (`evaluation_crops`) of group or clip g.

    Args:
        shards: shards of the subset.
        config: batch options.
        position: position of the video in `shards`; a position past the last video is padding.
        protocol: the views to make.

    Returns:
        `frames` uint8 [V, T, S, S, C], RGB 0..255 or flow levels; `video` int64 []. Padding has
        frames of zeros and video -1.

    Raises:
        DataError: a frame is damaged.
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
    # `write_views` takes the crops after the segments; swapaxes does not copy.
    write_cropped(shards, config, position, numbers, boxes, False, out.swapaxes(1, 2))
    return {"frames": frames, "video": np.int64(position)}


def write_cropped(
    shards: Shards,
    config: InputConfig,
    video: int,
    numbers: np.ndarray,
    boxes: Sequence[Box],
    flip: bool,
    out: np.ndarray,
) -> None:
    """Writes crops of a video's snippets into `out`: `write_views` with its images in `shards`.

    Args:
        shards: shards that hold the video.
        config: batch options.
        video: position of the video in `shards`.
        numbers: int64 [..., new_length], frames of each snippet.
        boxes: K crops.
        flip: mirror all crops.
        out: array to write into, uint8 [..., K, S, S, C].

    Raises:
        DataError: a frame is damaged.
    """
    # Sorted, so that neighbors are read at once.
    needed = sorted(set(numbers.ravel().tolist()))
    jpegs = dict(zip(needed, shards.read_frames(video, needed)))
    write_views(
        lambda number: _decode_frame(shards, video, number, jpegs),
        config,
        numbers,
        boxes,
        flip,
        out,
    )


def _write_uncropped(shards: Shards, draw: SampleDraw, out: np.ndarray) -> None:
    """Writes the images of a training sample into `out`, of `training_shape`."""
    height, width = int(shards.heights[draw.video]), int(shards.widths[draw.video])
    temporal = shards.manifest.stream == "temporal"
    targets = out[..., :height, :width] if temporal else out[:, None, :height, :width]
    needed = sorted(set(draw.frames.ravel().tolist()))
    jpegs = dict(zip(needed, shards.read_frames(draw.video, needed)))
    for number in needed:
        image = _decode_frame(shards, draw.video, number, jpegs)
        image = image.reshape(2, height, width) if temporal else image
        for segment, offset in np.argwhere(draw.frames == number).tolist():
            targets[segment, offset] = image


def write_views(
    image: Callable[[int], np.ndarray],
    config: InputConfig,
    numbers: np.ndarray,
    boxes: Sequence[Box],
    flip: bool,
    out: np.ndarray,
) -> None:
    """Writes all crops of all snippets, calling `image` once for each image.

    Args:
        image: returns an image by its number: a frame, uint8 [H, W, 3], RGB, or a flow field, uint8
            [2H, W]. Called in ascending order.
        config: batch options.
        numbers: int64 [..., new_length], images of each snippet: consecutive, the last may repeat.
        boxes: K crops of the images.
        flip: mirror all crops.
        out: array to write into, uint8 [..., K, S, S, C].
    """
    shape = numbers.shape[:-1]
    for index, images in in_frame_order(image, numbers.reshape(-1, config.new_length)):
        for box, target in zip(boxes, out[np.unravel_index(index, shape)]):
            write_crop(images, config, box, flip, target)


def in_frame_order(
    image: Callable[[int], np.ndarray], snippets: np.ndarray
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yields the position of each snippet and its images, sorted (stably) by its first image.

    Calls `image` once for each image.

    Args:
        image: returns an image by its number, as for `write_views`.
        snippets: int64 [N, new_length], images of each snippet.
    """
    held: dict[int, np.ndarray] = {}
    for index in np.argsort(snippets[:, 0], kind="stable").tolist():
        wanted = snippets[index].tolist()
        # Frees the images that no later snippet needs.
        held = {number: held[number] for number in wanted if number in held}
        for number in wanted:
            if number not in held:
                held[number] = image(number)
        yield index, [held[number] for number in wanted]


def write_crop(
    images: Sequence[np.ndarray], config: InputConfig, box: Box, flip: bool, out: np.ndarray
) -> None:
    """Writes a crop of a snippet's images into `out`: uint8 [S, S, C], contiguous."""
    if config.stream == "temporal":
        augmentation.crop_flow(images, box, config.image_size, flip, out)
    else:
        augmentation.crop_and_resize(images[0], box, config.image_size, flip, out)


def _decode_frame(shards: Shards, video: int, frame: int, jpegs: dict[int, bytes]) -> np.ndarray:
    """Decodes a frame, uint8 [H, W, 3], RGB, or a flow field, uint8 [2H, W]; checks its size."""
    temporal = shards.manifest.stream == "temporal"
    mode = cv2.IMREAD_GRAYSCALE if temporal else cv2.IMREAD_COLOR_RGB
    height, width = int(shards.heights[video]) * (2 if temporal else 1), int(shards.widths[video])
    shape = jpeg_shape(jpegs[frame])
    # The decoder asks for the memory that the JPEG's header claims.
    fits = shape is not None and shape[:2] == (height, width)
    image = cv2.imdecode(np.frombuffer(jpegs[frame], np.uint8), mode) if fits else None
    if image is None:
        found = "no image" if fits or shape is None else f"{shape[0]}x{shape[1]} pixels"
        raise DataError(f"{shards.name_of(video, frame)}: {found}, the index says {height}x{width}")
    return image

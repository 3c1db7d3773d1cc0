"""The attention of one position, snippet after snippet, as an animated GIF."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rlstm_tf.attention import heat
from rlstm_tf.attention.clip import Clip
from rlstm_tf.attention.maps import AttentionMaps

_SIDE, _MARGIN, _HEAD, _FOOT = 288, 12, 30, 58
_MILLISECONDS = 900
_PAPER, _INK, _SOFT = (20, 22, 26), (236, 236, 236), (176, 180, 186)


def render(clip: Clip, maps: AttentionMaps, position: int) -> bytes:
    """Renders an endless GIF from weights averaged over the four gates.

    On the right, each frame with its spatial attention; on the left, the frame before it with the
    temporal attention.

    Args:
        clip: clip to show.
        maps: attention maps of the clip.
        position: position i whose weights are shown, from 0.
    """
    images = [_draw_frame(clip, maps, position, t) for t in range(len(clip.pictures))]
    file = io.BytesIO()
    images[0].save(
        file,
        "GIF",
        save_all=True,
        append_images=images[1:],
        duration=_MILLISECONDS,
        loop=0,
    )
    return file.getvalue()


def _draw_frame(clip: Clip, maps: AttentionMaps, position: int, t: int) -> Image.Image:
    left, right = _MARGIN, 2 * _MARGIN + _SIDE
    image = Image.new("RGB", (right + _SIDE + _MARGIN, _HEAD + _SIDE + _FOOT), _PAPER)
    draw = ImageDraw.Draw(image)
    font, small = ImageFont.load_default(15), ImageFont.load_default(13)
    row, column = (number + 1 for number in divmod(position, maps.map_shape[1]))
    title = f"row {row}, column {column}, mean of the four gates"
    draw.text((left, 7), title, _INK, font)
    _draw_panel(image, _background(clip, t), maps, maps.spatial[t], position, heat.SPATIAL, right)
    below = _HEAD + _SIDE + 8
    draw.text((right, below), f"Frame {t + 1}: {clip.times[t]}", _INK, small)
    draw.text((right, below + 20), "Spatial: the same frame", heat.SPATIAL, small)
    if t == 0:
        draw.text((left + 8, _HEAD + 8), "No past yet.", _SOFT, font)
        return image
    before = _background(clip, t - 1)
    _draw_panel(image, before, maps, maps.temporal[t], position, heat.TEMPORAL, left)
    seen = "frame 1" if t == 1 else f"frames 1 to {t}"
    draw.text((left, below), f"Frame {t}: {clip.times[t - 1]}", _INK, small)
    draw.text((left, below + 20), f"Temporal: the state after {seen}", heat.TEMPORAL, small)
    return image


def _background(clip: Clip, t: int) -> np.ndarray:
    picture = clip.pictures[t]
    if not clip.is_flow:
        return picture
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, 2)


def _draw_panel(
    image: Image.Image,
    picture: np.ndarray,
    maps: AttentionMaps,
    weights: np.ndarray,
    position: int,
    color: tuple[int, int, int],
    left: int,
) -> None:
    """Draws a picture with the heat map of a position, from weights [gates, N, N]."""
    w = weights[:, position].mean(axis=0)
    top = heat.top_of_scale(w, maps.are_shares)
    large = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
    heat_map = heat.overlay(large, w.reshape(maps.map_shape), top, color)
    image.paste(Image.fromarray(heat_map), (left, _HEAD))
    rows, columns = maps.map_shape
    row, column = divmod(position, columns)
    box = (
        *(left + _SIDE * column // columns, _HEAD + _SIDE * row // rows),
        *(left + _SIDE * (column + 1) // columns, _HEAD + _SIDE * (row + 1) // rows),
    )
    draw = ImageDraw.Draw(image)
    draw.rectangle(box, outline=(0, 0, 0), width=4)
    draw.rectangle(box, outline=(255, 255, 255), width=2)

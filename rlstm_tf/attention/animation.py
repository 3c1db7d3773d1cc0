"""The relations of one position, snippet after snippet, as an animated GIF."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rlstm_tf.attention import heat
from rlstm_tf.attention.clip import Clip
from rlstm_tf.attention.maps import Relations

_SIDE, _MARGIN, _HEAD, _FOOT = 288, 12, 30, 58
_MILLISECONDS = 900
_PAPER, _INK, _SOFT = (20, 22, 26), (236, 236, 236), (176, 180, 186)


def animation(clip: Clip, relations: Relations, position: int) -> bytes:
    """A GIF without end: on the right each frame with its spatial relation, on the left the frame
    before it with the temporal one. Weights are the means of the four gates.

    Args:
        clip: what is looked at.
        relations: of the clip.
        position: whose, from 0.
    """
    images = [_image(clip, relations, position, t) for t in range(len(clip.pictures))]
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


def _image(clip: Clip, relations: Relations, position: int, t: int) -> Image.Image:
    left, right = _MARGIN, 2 * _MARGIN + _SIDE
    image = Image.new("RGB", (right + _SIDE + _MARGIN, _HEAD + _SIDE + _FOOT), _PAPER)
    draw = ImageDraw.Draw(image)
    font, small = ImageFont.load_default(15), ImageFont.load_default(13)
    row, column = (number + 1 for number in divmod(position, relations.map_shape[1]))
    title = f"row {row}, column {column}, mean of the four gates"
    draw.text((left, 7), title, _INK, font)
    _panel(image, _beneath(clip, t), relations, relations.spatial[t], position, heat.SPATIAL, right)
    below = _HEAD + _SIDE + 8
    draw.text((right, below), f"Frame {t + 1}: {clip.times[t]}", _INK, small)
    draw.text((right, below + 20), "Spatial: the same frame", heat.SPATIAL, small)
    if t == 0:
        draw.text((left + 8, _HEAD + 8), "No past yet.", _SOFT, font)
        return image
    _panel(
        image,
        _beneath(clip, t - 1),
        relations,
        relations.temporal[t],
        position,
        heat.TEMPORAL,
        left,
    )
    seen = "frame 1" if t == 1 else f"frames 1 to {t}"
    draw.text((left, below), f"Frame {t}: {clip.times[t - 1]}", _INK, small)
    draw.text((left, below + 20), f"Temporal: the state after {seen}", heat.TEMPORAL, small)
    return image


def _beneath(clip: Clip, t: int) -> np.ndarray:
    picture = clip.pictures[t]
    return (
        cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, 2)
        if clip.is_flow
        else picture
    )


def _panel(
    image: Image.Image,
    picture: np.ndarray,
    relations: Relations,
    weights: np.ndarray,
    position: int,
    colour: tuple[int, int, int],
    left: int,
) -> None:
    """Draws a picture lit by the weights of a position, [gates, N, N], its cell outlined."""
    w = weights[:, position].mean(axis=0)
    top = heat.top_of_scale(w, relations.are_shares)
    large = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
    lit = heat.lit(large, w.reshape(relations.map_shape), top, colour)
    image.paste(Image.fromarray(lit), (left, _HEAD))
    rows, columns = relations.map_shape
    row, column = divmod(position, columns)
    box = (
        *(left + _SIDE * column // columns, _HEAD + _SIDE * row // rows),
        *(left + _SIDE * (column + 1) // columns, _HEAD + _SIDE * (row + 1) // rows),
    )
    draw = ImageDraw.Draw(image)
    draw.rectangle(box, outline=(0, 0, 0), width=4)
    draw.rectangle(box, outline=(255, 255, 255), width=2)

"""Pictures with captions, drawn by OpenCV and NumPy: uint8 [H, W, 3], RGB."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

import cv2
import numpy as np

from rlstm_tf.data import flow

BLACK, RED, GREEN = (0, 0, 0), (176, 0, 0), (0, 112, 0)
WHITE = 255
LINE = 16  # height of a line of text, pixels
_GAP = 4
_FONT, _SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.4

Line = tuple[str, tuple[int, int, int]]  # a text and its colour


def plain(text: str) -> str:
    """A text as the font has it: accents dropped, `?` for what has no ASCII form."""
    letters = unicodedata.normalize("NFKD", text)
    letters = "".join(c for c in letters if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" else "?" for c in letters)


def text_width(text: str, scale: float = _SCALE) -> int:
    """Width of a `plain` text, pixels."""
    return cv2.getTextSize(text, _FONT, scale, 1)[0][0]


def fitted(text: str, width: int, scale: float = _SCALE) -> str:
    """A `plain` text, cut where it would be wider than `width` pixels."""
    if text_width(text, scale) <= width:
        return text
    # As many letters as surely fit nowhere are not looked at.
    end = min(len(text), width)
    while end and text_width(text[:end] + "..", scale) > width:
        end -= 1
    return text[:end] + ".." if end else ""


def write(image: np.ndarray, line: Line, x: int, baseline: int, scale: float = _SCALE) -> None:
    """Draws a `plain` text into an image."""
    cv2.putText(image, line[0], (x, baseline), _FONT, scale, line[1], 1, cv2.LINE_AA)


def rgb(snippets: np.ndarray) -> np.ndarray:
    """Snippets as one sees them.

    Args:
        snippets: uint8 [..., S, S, C]: RGB, or levels x_1, y_1, x_2, ... of flow fields.

    Returns:
        uint8 [..., S, S, 3]: RGB as it is. Of flow the first field, in `flow.to_rgb`; full is the
        longest motion in all these snippets.
    """
    if snippets.shape[-1] == 3:
        return snippets
    x, y = (snippets[..., axis].astype(np.float32) - flow.ZERO for axis in (0, 1))
    return flow.to_rgb(x, y, float(np.hypot(x, y).max()))


def enlarged(image: np.ndarray, side: int) -> np.ndarray:
    """Every pixel as a square of as many as it takes to make the image `side` pixels high."""
    factor = max(1, math.ceil(side / image.shape[0]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def captioned(image: np.ndarray, lines: Sequence[Line]) -> np.ndarray:
    """An image below lines of text, cut to its width."""
    strip = np.full((LINE * len(lines) + _GAP, image.shape[1], 3), WHITE, np.uint8)
    for number, (text, colour) in enumerate(lines, 1):
        text = fitted(plain(text), image.shape[1] - 2)
        write(strip, (text, colour), 1, LINE * number - _GAP)
    return np.concatenate([strip, image])


def tiled(images: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Images of one size side by side, row after row, on white."""
    height, width = images[0].shape[:2]
    rows, columns = math.ceil(len(images) / columns), min(columns, len(images))
    height, width = height + _GAP, width + _GAP
    sheet = np.full((rows * height + _GAP, columns * width + _GAP, 3), WHITE, np.uint8)
    for number, image in enumerate(images):
        top, left = (_GAP + k * size for k, size in zip(divmod(number, columns), (height, width)))
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet

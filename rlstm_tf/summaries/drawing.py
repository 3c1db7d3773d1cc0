"""Drawing of captioned pictures with OpenCV and NumPy: uint8 [H, W, 3], RGB."""

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

Line = tuple[str, tuple[int, int, int]]  # text and RGB color


def to_ascii(text: str) -> str:
    """Converts a text to the font's characters: drops accents, replaces others by `?`."""
    letters = unicodedata.normalize("NFKD", text)
    letters = "".join(c for c in letters if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" else "?" for c in letters)


def text_width(text: str, scale: float = _SCALE) -> int:
    """Returns the width of an ASCII text, in pixels."""
    return cv2.getTextSize(text, _FONT, scale, 1)[0][0]


def shorten(text: str, width: int, scale: float = _SCALE) -> str:
    """Cuts an ASCII text to `width` pixels."""
    if text_width(text, scale) <= width:
        return text
    # A letter is at least a pixel wide.
    end = min(len(text), width)
    while end and text_width(text[:end] + "..", scale) > width:
        end -= 1
    return text[:end] + ".." if end else ""


def put_text(image: np.ndarray, line: Line, x: int, baseline: int, scale: float = _SCALE) -> None:
    """Draws an ASCII text into an image, from (x, baseline) in pixels."""
    cv2.putText(image, line[0], (x, baseline), _FONT, scale, line[1], 1, cv2.LINE_AA)


def to_rgb(snippets: np.ndarray) -> np.ndarray:
    """Converts snippets to pictures.

    Args:
        snippets: uint8 [..., S, S, C]: RGB, or flow levels x_1, y_1, x_2, ...

    Returns:
        uint8 [..., S, S, 3]: RGB snippets unchanged; for flow the first field, drawn with
        `flow.to_rgb`, whose colors saturate at the longest motion in all snippets.
    """
    if snippets.shape[-1] == 3:
        return snippets
    x, y = (snippets[..., axis].astype(np.float32) - flow.ZERO for axis in (0, 1))
    return flow.to_rgb(x, y, float(np.hypot(x, y).max()))


def enlarge(image: np.ndarray, side: int) -> np.ndarray:
    """Repeats pixels so that the image is at least `side` pixels high."""
    factor = max(1, math.ceil(side / image.shape[0]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def add_caption(image: np.ndarray, lines: Sequence[Line]) -> np.ndarray:
    """Puts lines of text above an image, cut to its width."""
    strip = np.full((LINE * len(lines) + _GAP, image.shape[1], 3), WHITE, np.uint8)
    for number, (text, color) in enumerate(lines, 1):
        text = shorten(to_ascii(text), image.shape[1] - 2)
        put_text(strip, (text, color), 1, LINE * number - _GAP)
    return np.concatenate([strip, image])


def tile(images: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Arranges images of equal size in rows, on white."""
    height, width = images[0].shape[:2]
    rows, columns = math.ceil(len(images) / columns), min(columns, len(images))
    height, width = height + _GAP, width + _GAP
    sheet = np.full((rows * height + _GAP, columns * width + _GAP, 3), WHITE, np.uint8)
    for number, image in enumerate(images):
        top, left = (_GAP + k * size for k, size in zip(divmod(number, columns), (height, width)))
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet

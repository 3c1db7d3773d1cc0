"""A confusion matrix as an image, with class names up to 120 classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlstm_tf.summaries.drawing import BLACK, LINE, WHITE, put_text, shorten, text_width, to_ascii

MAX_CLASSES = 1000
DESCRIPTION = (
    "Rows are true classes, columns predicted ones. Darker is a larger share of the row's videos: "
    "blue is right, red wrong. A gray row has no videos."
)
_SIDE = 720  # approximate side of the matrix, pixels
_MAX_CELL, _MIN_NAMED_CELL = 48, 10  # side of a cell, at most and to have a name, pixels
_MAX_NAMED_CLASSES = 120
_MAX_NAME_WIDTH = 170  # pixels
_RIGHT, _WRONG = np.array([8.0, 48.0, 107.0]), np.array([165.0, 15.0, 21.0])
_AXES = ("rows: true", "columns: predicted")
_EMPTY = (214, 214, 214)


def draw(counts: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Draws the matrix, with class names above and beside it where they fit.

    Args:
        counts: int64 [K, K], returned by `evaluation.metrics.confusion_matrix`.
        names: names of the K classes, any text.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    size = cell_size(len(counts))
    matrix = cells(counts, size)
    if size < _MIN_NAMED_CELL:
        return matrix
    scale = 0.4 if size >= 14 else 0.3
    texts = [shorten(to_ascii(name), _MAX_NAME_WIDTH, scale) for name in names]
    margin = 6 + max(text_width(text, scale) for text in (*texts, *_AXES))
    beside = np.full((len(matrix), margin, 3), WHITE, np.uint8)
    above = beside.copy()
    for number, text in enumerate(texts):
        baseline = number * size + (size + int(24 * scale)) // 2
        put_text(beside, (text, BLACK), margin - 3 - text_width(text, scale), baseline, scale)
        put_text(above, (text, BLACK), 3, baseline, scale)
    corner = np.full((margin, margin, 3), WHITE, np.uint8)
    for number, axis in enumerate(_AXES, 1):
        put_text(corner, (axis, BLACK), 3, LINE * number, scale)
    # Rotated to the left, the names read upwards, the first one leftmost.
    top = np.concatenate([corner, np.rot90(above)], axis=1)
    return np.concatenate([top, np.concatenate([beside, matrix], axis=1)])


def cell_size(num_classes: int) -> int:
    """Returns the side of a cell, in pixels."""
    smallest = _MIN_NAMED_CELL if num_classes <= _MAX_NAMED_CLASSES else 1
    return min(_MAX_CELL, max(_SIDE // num_classes, smallest))


def cells(counts: np.ndarray, size: int) -> np.ndarray:
    """Draws the cells, with numbers where they fit: uint8 [K * size, K * size, 3], RGB."""
    videos = counts.sum(axis=1, keepdims=True)
    share = (counts / np.maximum(videos, 1))[..., None]
    full = np.where(np.eye(len(counts), dtype=bool)[..., None], _RIGHT, _WRONG)
    # The square root keeps a single error among many videos visible.
    color = np.rint(WHITE + np.sqrt(share) * (full - WHITE)).astype(np.uint8)
    color[videos[:, 0] == 0] = _EMPTY
    image = color.repeat(size, axis=0).repeat(size, axis=1)
    if size >= _MIN_NAMED_CELL:
        image[::size] = image[:, ::size] = _EMPTY
    for row, column in zip(*np.nonzero(counts)):
        text = str(counts[row, column])
        width = text_width(text)
        if size >= 24 and width <= size - 4:
            ink = (WHITE,) * 3 if share[row, column] > 0.3 else BLACK
            x, y = column * size + (size - width) // 2, row * size + (size + 10) // 2
            put_text(image, (text, ink), x, y)
    return image

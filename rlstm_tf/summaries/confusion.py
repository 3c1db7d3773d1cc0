"""A confusion matrix as an image that can be read up to a hundred classes and more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlstm_tf.summaries.drawing import BLACK, LINE, WHITE, fitted, plain, text_width, write

MOST_CLASSES = 1000
DESCRIPTION = (
    "Rows are true classes, columns what was predicted. The darker, the larger the share of the "
    "row's videos: blue right, red wrong. A grey row has no videos."
)
_SIDE = 720  # of the matrix, about, pixels
_LARGEST, _NAMED = 48, 10  # sides of a cell: the largest, and the smallest that has a name
_NAMED_CLASSES = 120
_MARGIN = 170  # the longest name, pixels
_RIGHT, _WRONG = np.array([8.0, 48.0, 107.0]), np.array([165.0, 15.0, 21.0])
_AXES = ("rows: true", "columns: predicted")
_EMPTY = (214, 214, 214)


def draw(counts: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The matrix with class names where they fit, in its lower right the cells.

    Args:
        counts: int64 [K, K], returned by `evaluation.metrics.confusion_matrix`.
        names: of the K classes; whatever is in them.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    size = cell_size(len(counts))
    matrix = cells(counts, size)
    if size < _NAMED:
        return matrix
    scale = 0.4 if size >= 14 else 0.3
    texts = [fitted(plain(name), _MARGIN, scale) for name in names]
    margin = 6 + max(text_width(text, scale) for text in (*texts, *_AXES))
    beside = np.full((len(matrix), margin, 3), WHITE, np.uint8)
    above = beside.copy()
    for number, text in enumerate(texts):
        baseline = number * size + (size + int(24 * scale)) // 2
        write(beside, (text, BLACK), margin - 3 - text_width(text, scale), baseline, scale)
        write(above, (text, BLACK), 3, baseline, scale)
    corner = np.full((margin, margin, 3), WHITE, np.uint8)
    for number, axis in enumerate(_AXES, 1):
        write(corner, (axis, BLACK), 3, LINE * number, scale)
    # Turned to the left, the names read upwards, the first of them leftmost.
    top = np.concatenate([corner, np.rot90(above)], axis=1)
    return np.concatenate([top, np.concatenate([beside, matrix], axis=1)])


def cell_size(num_classes: int) -> int:
    """Side of a cell, pixels."""
    least = _NAMED if num_classes <= _NAMED_CLASSES else 1
    return min(_LARGEST, max(_SIDE // num_classes, least))


def cells(counts: np.ndarray, size: int) -> np.ndarray:
    """The cells alone: uint8 [K * size, K * size, 3], RGB, with numbers where they fit."""
    videos = counts.sum(axis=1, keepdims=True)
    share = (counts / np.maximum(videos, 1))[..., None]
    full = np.where(np.eye(len(counts), dtype=bool)[..., None], _RIGHT, _WRONG)
    # A single error among many videos is still to be seen.
    colour = np.rint(WHITE + np.sqrt(share) * (full - WHITE)).astype(np.uint8)
    colour[videos[:, 0] == 0] = _EMPTY
    image = colour.repeat(size, axis=0).repeat(size, axis=1)
    if size >= _NAMED:
        image[::size] = image[:, ::size] = _EMPTY
    for row, column in zip(*np.nonzero(counts)):
        text = str(counts[row, column])
        width = text_width(text)
        if size >= 24 and width <= size - 4:
            ink = (WHITE,) * 3 if share[row, column] > 0.3 else BLACK
            x, y = column * size + (size - width) // 2, row * size + (size + 10) // 2
            write(image, (text, ink), x, y)
    return image

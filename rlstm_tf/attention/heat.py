"""Weights as colours: what is looked at is lit in a colour, the rest goes dark."""

from __future__ import annotations

import numpy as np

# RGB. Kept apart by those who see no red or no green too (IBM's palette, two of them brighter).
SPATIAL = (255, 176, 0)
TEMPORAL = (84, 168, 255)
NEGATIVE = (255, 64, 140)
# Opacity of the colour where the weight is at the top of the scale, of the dark where it is zero.
TINT, VEIL = 0.55, 0.7
# Weights that add up to 1 are on a scale up to this times the even weight 1 / N at least, so that
# an even spread looks even and not bright all over.
EVEN_AT_LEAST = 4


def top_of_scale(weights: np.ndarray, are_shares: bool) -> float:
    """The weight that is lit fully.

    Args:
        weights: w_ij of one i, [N].
        are_shares: see `rlstm_tf.attention.maps.Relations`.
    """
    largest = float(np.abs(weights).max())
    return max(largest, EVEN_AT_LEAST / weights.size) if are_shares else largest or 1.0


def lit(picture: np.ndarray, weights: np.ndarray, top: float, colour: tuple) -> np.ndarray:
    """A picture with the cells of a map lit by their weights.

    Args:
        picture: uint8 [S, S, 3], RGB.
        weights: of the cells, [H, W]; below zero they are lit in `NEGATIVE`.
        top: of `top_of_scale`.
        colour: RGB, of weights above zero.

    Returns:
        uint8 [S, S, 3].
    """
    rows, columns = (
        np.arange(side) * cells // side for side, cells in zip(picture.shape, weights.shape)
    )
    share = (weights / top)[rows][:, columns, None]
    colours = np.where(share < 0, NEGATIVE, colour)
    strength = np.clip(np.abs(share), 0, 1)
    dark = picture * (1 - VEIL * (1 - strength))
    return np.rint(dark + TINT * strength * (colours - dark)).astype(np.uint8)

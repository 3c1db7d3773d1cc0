"""Heat maps: a color where the weight is high, dark where it is low."""

from __future__ import annotations

import numpy as np

# RGB, distinguishable with color blindness (IBM's palette, two of the colors brighter).
SPATIAL = (255, 176, 0)
TEMPORAL = (84, 168, 255)
NEGATIVE = (255, 64, 140)
# Opacity of the color at the top of the scale, and of black at zero.
TINT, VEIL = 0.55, 0.7
# The scale of weights that sum to 1 ends at this times the uniform weight 1 / N or higher:
# uniform weights then look dim, not bright everywhere.
MIN_SCALE = 4


def top_of_scale(weights: np.ndarray, are_shares: bool) -> float:
    """Returns the weight that has the full color.

    Args:
        weights: w_ij of one i, [N].
        are_shares: whether the weights sum to 1.
    """
    largest = float(np.abs(weights).max())
    return max(largest, MIN_SCALE / weights.size) if are_shares else largest or 1.0


def overlay(picture: np.ndarray, weights: np.ndarray, top: float, color: tuple) -> np.ndarray:
    """Overlays a picture with a heat map.

    Args:
        picture: uint8 [S, S, 3], RGB.
        weights: weights of the cells, [H, W]; negative ones are drawn in `NEGATIVE`.
        top: weight with the full color, from `top_of_scale`.
        color: RGB of positive weights.

    Returns:
        uint8 [S, S, 3].
    """
    rows, columns = (
        np.arange(side) * cells // side for side, cells in zip(picture.shape, weights.shape)
    )
    share = (weights / top)[rows][:, columns, None]
    colors = np.where(share < 0, NEGATIVE, color)
    strength = np.clip(np.abs(share), 0, 1)
    dark = picture * (1 - VEIL * (1 - strength))
    return np.rint(dark + TINT * strength * (colors - dark)).astype(np.uint8)

"""Pixels of PNG files."""

import io

import matplotlib.image
import numpy as np


def pixels(png):
    """Returns [H, W, 3], 0..255."""
    image = matplotlib.image.imread(io.BytesIO(png))
    return np.rint(image[..., :3] * 255).astype(int)


def is_color(png, color):
    """Returns [H, W]: true where a pixel has a color, within 2 levels."""
    return abs(pixels(png) - color).max(axis=-1) <= 2


def dots_of(png, color):
    """Counts the pixels of a color."""
    return int(is_color(png, color).sum())

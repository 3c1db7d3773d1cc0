"""Describes pairs of classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Content = TypeVar("Content")


@dataclass(frozen=True)
class Pair(Generic[Content]):
    """Two classes, and what distinguishes them.

    Attributes:
        group: kind of difference, as listed in the docstring of the pair's module.
        classes: names of the two classes.
        one_frame: True if a single frame suffices.
        draw_content: draws the shapes of a clip, from a random generator, the number of frames and
            True for the first class.
    """

    group: str
    classes: tuple[str, str]
    one_frame: bool
    draw_content: Callable[[np.random.Generator, int, bool], Content]

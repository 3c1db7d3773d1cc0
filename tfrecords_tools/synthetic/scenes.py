"""Lists the kinds of clips that can be drawn, with their classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfrecords_tools.synthetic import matching, relations, shapes
from tfrecords_tools.synthetic.pairs import Pair


@dataclass(frozen=True)
class Scenes:
    """A kind of clips.

    Attributes:
        classes: names of the classes.
        draw_scene: draws a clip, as `relations.draw_scene`; that of `shapes` has no distractors.
        pairs: which classes form pairs; the first two, the next two, and so on.
    """

    classes: tuple[str, ...]
    draw_scene: Callable[..., np.ndarray]
    pairs: tuple[Pair, ...] = ()

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups of pairs."""
        return tuple(dict.fromkeys(pair.group for pair in self.pairs))


def _draw_either(class_name: str, *args: Any, **kwargs: Any) -> np.ndarray:
    """Draws a clip of a class of `relations` or `matching`, as these do."""
    module = relations if class_name in relations.CLASSES else matching
    return module.draw_scene(class_name, *args, **kwargs)


SCENES = {
    "shapes": Scenes(shapes.CLASSES, shapes.draw_scene),
    "relations": Scenes(relations.CLASSES, relations.draw_scene, relations.PAIRS),
    "matching": Scenes(matching.CLASSES, matching.draw_scene, matching.PAIRS),
    "relations,matching": Scenes(
        relations.CLASSES + matching.CLASSES, _draw_either, relations.PAIRS + matching.PAIRS
    ),
}

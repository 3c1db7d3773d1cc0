"""The page: pictures, weights and script in one file; every text from elsewhere is escaped."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any, NamedTuple

import jinja2
import numpy as np
from markupsafe import Markup

from rlstm_tf.attention import heat
from rlstm_tf.attention.clip import Clip
from rlstm_tf.attention.maps import Relations
from rlstm_tf.data.video import encode_jpeg
from rlstm_tf.errors import DataError
from rlstm_tf.layers.relational_lstm_cell import GATES

# A page of 22 megabytes. 8 snippets of 14x14 positions, at 224 pixels, have 2.5 million.
MOST_WEIGHTS = 2**23
# Of a weight from zero to the largest of its row: what 16 bits have, and a sign.
LEVELS = 2**15 - 1
_QUALITY = 95
# Pictures of less pixels are shown as pixels, not smoothed.
_SMALL = 128

_GATES = (
    ("i", "input gate", "How much is written into the state."),
    ("f", "forget gate", "How much of the state is kept."),
    ("o", "output gate", "How much of the state is shown."),
    ("g", "candidate", "What may be written into the state."),
    ("m", "mean of the four", "The weights of the four gates, averaged."),
)
_KINDS = (
    {
        "id": "spatial",
        "title": "Spatial: the same frame",
        "where": "Shown on the frame itself.",
    },
    {"id": "temporal", "title": "Temporal: the past", "where": ""},
)


class Source(NamedTuple):
    """What the page is about.

    Attributes:
        title: name of the video.
        run, checkpoint: the trained network.
        network: its kind.
    """

    title: str
    run: str
    checkpoint: str
    network: str


def check_size(num_segments: int, map_shape: tuple[int, ...]) -> None:
    """Refuses what would not fit into a page.

    Args:
        num_segments: T.
        map_shape: (H, W) of the Relational LSTM.

    Raises:
        DataError: a browser would have more than `MOST_WEIGHTS` weights to hold.
    """
    weights = 2 * len(GATES) * num_segments * int(np.prod(map_shape)) ** 2
    if weights > MOST_WEIGHTS:
        raise DataError(
            f"{num_segments} maps of {map_shape[0]}x{map_shape[1]} positions have {weights:,} "
            f"weights, a page holds up to {MOST_WEIGHTS:,}: --gif has no such limit"
        )


def render(clip: Clip, relations: Relations, start: tuple[int, int], source: Source) -> bytes:
    """The page as HTML in UTF-8.

    Args:
        clip: what is looked at.
        relations: of the clip.
        start: (t, position) that is chosen at first, from 0.
        source: what to say of it.

    Raises:
        DataError: see `check_size`.
    """
    check_size(len(clip.pictures), relations.map_shape)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    pictures = [_data_uri(picture) for picture in clip.pictures]
    script = "\n" + _read("page.js")
    page = environment.from_string(_read("page.html.j2")).render(
        **source._asdict(),
        style=Markup("\n" + _read("page.css")),
        script=Markup(script),
        script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        classes=clip.classes,
        frames=[{"source": uri, "time": time} for uri, time in zip(pictures, clip.times)],
        side=clip.pictures.shape[1],
        is_flow=clip.is_flow,
        is_small=clip.pictures.shape[1] < _SMALL,
        across=_across(len(clip.pictures)),
        gates=[{"key": key, "name": name, "what": what} for key, name, what in _GATES],
        kinds=_KINDS,
        spatial=_css(heat.SPATIAL),
        temporal=_css(heat.TEMPORAL),
        even=f"1 / {np.prod(relations.map_shape)}: if all cells were looked at alike",
        scale=_scale(relations),
        data=_data(relations, start),
    )
    # A name may hold bytes that are no UTF-8.
    return page.encode("utf-8", "replace")


def _read(name: str) -> str:
    return resources.files("rlstm_tf.attention").joinpath(name).read_text("utf-8")


def quantised(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights in 16 bits.

    Args:
        weights: float [..., N].

    Returns:
        levels int16 [..., N] and scales float32 [...]: a weight is scale * level.
    """
    scales = (np.abs(weights).max(axis=-1) / LEVELS).astype(np.float32)
    levels = np.rint(weights / np.where(scales, scales, 1)[..., None])
    return levels.clip(-LEVELS, LEVELS).astype("<i2"), scales


def _data(relations: Relations, start: tuple[int, int]) -> dict[str, Any]:
    return {
        "rows": relations.map_shape[0],
        "columns": relations.map_shape[1],
        "gates": len(GATES),
        "shares": relations.are_shares,
        "frame": start[0],
        "cell": start[1],
        "even": heat.EVEN_AT_LEAST,
        "tint": heat.TINT,
        "veil": heat.VEIL,
        "colours": {
            "spatial": heat.SPATIAL,
            "temporal": heat.TEMPORAL,
            "negative": heat.NEGATIVE,
        },
        "spatial": _packed(relations.spatial),
        "temporal": _packed(relations.temporal),
    }


def _packed(weights: np.ndarray) -> dict[str, str]:
    levels, scales = quantised(weights)
    return {
        "levels": base64.b64encode(levels.tobytes()).decode(),
        "scales": base64.b64encode(scales.astype("<f4").tobytes()).decode(),
    }


def _data_uri(picture: np.ndarray) -> str:
    jpeg = encode_jpeg(np.ascontiguousarray(picture[..., ::-1]), _QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def _across(count: int) -> int:
    """Pictures side by side: rows that are full, if 5, 4 or 3 make them."""
    return count if count < 4 else next((n for n in (5, 4, 3) if count % n == 0), 4)


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _scale(relations: Relations) -> str:
    if relations.are_shares:
        return (
            "The weights of a cell add up to 100\u00a0%; the mark on a scale is an even spread, "
            "and the darkest is 0."
        )
    return (
        "These weights need not add up to 1, and may be negative; the darkest is 0, and each "
        "scale ends at the largest, whatever its sign."
    )

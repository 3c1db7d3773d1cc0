"""The page of attention maps: one file with pictures, weights and script.

External text is escaped, and the page loads nothing.
"""

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
from rlstm_tf.attention.maps import AttentionMaps
from rlstm_tf.data.video import encode_jpeg
from rlstm_tf.errors import DataError
from rlstm_tf.layers.relational_lstm_cell import GATES

# A page of 22 MB. 8 snippets with 14x14 positions have 2.5 million weights.
MAX_WEIGHTS = 2**23
# Largest level of a weight; levels are signed and have 16 bits.
MAX_LEVEL = 2**15 - 1
_JPEG_QUALITY = 95
# Smaller pictures are shown without smoothing.
_SMALL = 128


class Source(NamedTuple):
    """Origin of a page's content.

    Attributes:
        title: name of the video.
        run: run directory.
        checkpoint: name of the checkpoint.
        network: model and stream, in words.
    """

    title: str
    run: str
    checkpoint: str
    network: str


def check_size(num_segments: int, map_shape: tuple[int, ...]) -> None:
    """Checks that a browser can hold the weights.

    Args:
        num_segments: T.
        map_shape: (H, W) of the Relational LSTM's maps.

    Raises:
        DataError: there are more than `MAX_WEIGHTS` weights.
    """
    weights = count_weights(num_segments, map_shape)
    if weights > MAX_WEIGHTS:
        raise DataError(
            f"{num_segments} maps of {map_shape[0]}x{map_shape[1]} positions have {weights:,} "
            f"weights, a page holds up to {MAX_WEIGHTS:,}: --gif has no such limit"
        )


def count_weights(num_segments: int, map_shape: tuple[int, ...]) -> int:
    """Counts the weights of a clip; arguments as for `check_size`."""
    return 2 * len(GATES) * num_segments * int(np.prod(map_shape)) ** 2


def render(clip: Clip, maps: AttentionMaps, start: tuple[int, int], source: Source) -> bytes:
    """Renders the page as HTML in UTF-8.

    Args:
        clip: clip to show.
        maps: attention maps of the clip, whose size `check_size` has accepted.
        start: (t, position) that is selected first, from 0.
        source: origin of the maps.
    """
    files = resources.files("rlstm_tf.attention")
    script = "\n" + files.joinpath("page.js").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(files.joinpath("page.html.j2").read_text("utf-8")).render(
        **source._asdict(),
        style=Markup(files.joinpath("page.css").read_text("utf-8")),
        script=Markup(script),
        script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        clip=clip,
        frames=list(zip(map(_data_uri, clip.pictures), clip.times)),
        is_small=clip.pictures.shape[1] < _SMALL,
        across=_num_columns(len(clip.pictures)),
        data=_script_data(maps, start),
    )
    # A name may contain bytes that are not UTF-8.
    return page.encode("utf-8", "replace")


def quantize(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantizes weights to 16 bits.

    Args:
        weights: float [..., N].

    Returns:
        Levels int16 [..., N] and scales float32 [...]; weight = scale * level.
    """
    scales = (np.abs(weights).max(axis=-1) / MAX_LEVEL).astype(np.float32)
    levels = np.rint(weights / np.where(scales, scales, 1)[..., None])
    return levels.clip(-MAX_LEVEL, MAX_LEVEL).astype("<i2"), scales


def _script_data(maps: AttentionMaps, start: tuple[int, int]) -> dict[str, Any]:
    return {
        "rows": maps.map_shape[0],
        "columns": maps.map_shape[1],
        "gates": len(GATES),
        "shares": maps.are_shares,
        "frame": start[0],
        "cell": start[1],
        "min_scale": heat.MIN_SCALE,
        "tint": heat.TINT,
        "veil": heat.VEIL,
        "colors": {
            "spatial": heat.SPATIAL,
            "temporal": heat.TEMPORAL,
            "negative": heat.NEGATIVE,
        },
        "spatial": _pack(maps.spatial),
        "temporal": _pack(maps.temporal),
    }


def _pack(weights: np.ndarray) -> dict[str, str]:
    levels, scales = quantize(weights)
    return {
        "levels": base64.b64encode(levels.tobytes()).decode(),
        "scales": base64.b64encode(scales.astype("<f4").tobytes()).decode(),
    }


def _data_uri(picture: np.ndarray) -> str:
    jpeg = encode_jpeg(np.ascontiguousarray(picture[..., ::-1]), _JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def _num_columns(count: int) -> int:
    """Returns 5, 4 or 3 if that fills all rows, else 4."""
    return count if count < 4 else next((n for n in (5, 4, 3) if count % n == 0), 4)

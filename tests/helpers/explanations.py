"""Clips and attention maps for the tests of the page and of the animation."""

from __future__ import annotations

import base64
import json
import re

import numpy as np

from rlstm_tf.attention import page
from rlstm_tf.attention.clip import Clip
from rlstm_tf.attention.maps import AttentionMaps

HOSTILE = (
    "<script>window.hacked = 1</script>\"'\n<img src=x onerror='window.hacked = 1'>{{ 7 * 7 }}"
)
SOURCE = page.Source("clip.mp4", "runs/demo", "best.npz", "two_branch, spatial stream")


def random_attention(T=4, maps=(3, 5), are_shares=True, seed=0):
    """Returns random attention maps: shares that sum to 1, or weights of both signs."""
    rng = np.random.default_rng(seed)
    N = maps[0] * maps[1]
    both = rng.normal(scale=2, size=(2, T, 4, N, N))
    if are_shares:
        both = np.exp(both)
        both /= both.sum(axis=-1, keepdims=True)
    spatial, temporal = both.astype(np.float32)
    return AttentionMaps(spatial, temporal, maps, are_shares, np.zeros(2, np.float32))


def clip(T=4, side=60, classes=(("wave", 0.75), ("clap", 0.25)), seed=0):
    """Returns a clip of coarse texture."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 220, (T, 6, 6, 3), dtype=np.uint8)
    pictures = coarse.repeat(side // 6, axis=1).repeat(side // 6, axis=2)
    return Clip(
        pictures, False, [f"{t / 10:.2f} s, video frame {t}" for t in range(T)], list(classes)
    )


def data_of(content):
    """Returns the data that a page holds for its script."""
    text = content.decode()
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return json.loads(data)


def weights_of(content, kind):
    """Returns the weights in a page, float [T, gates, N, N]."""
    data = data_of(content)
    levels = np.frombuffer(base64.b64decode(data[kind]["levels"]), "<i2")
    scales = np.frombuffer(base64.b64decode(data[kind]["scales"]), "<f4")
    N = data["rows"] * data["columns"]
    return levels.reshape(-1, data["gates"], N, N) * scales.reshape(-1, data["gates"], N, 1)

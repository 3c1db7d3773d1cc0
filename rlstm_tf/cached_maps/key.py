"""The key of a cache, so that maps of another trunk or of other frames are never used."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import keras

from rlstm_tf.cached_maps.plan import Plan
from rlstm_tf.errors import UsageError
from rlstm_tf.runs.checkpoints import named_weights
from rlstm_tf.storage.arrays import arrays_sha256
from rlstm_tf.storage.files import is_remote

# Of the files; another one makes every cache another.
_FORMAT = 1


def make_key(model: keras.Model, plan: Plan) -> dict[str, Any]:
    """Returns, as JSON values by a name for people, all that the maps depend on.

    Args:
        model: the network, whose trunk makes the maps.
        plan: the maps.
    """
    trunk, config, cache = model.get_layer("trunk"), plan.config, plan.cache
    weights = {name: weight.numpy() for name, weight in named_weights(trunk)}
    manifest = plan.shards.manifest.to_json()
    return {
        "format": _FORMAT,
        "trunk": arrays_sha256(weights, {"layers": [layer.name for layer in trunk.layers[1:]]}),
        "shards": hashlib.sha256(manifest.encode()).hexdigest(),
        "subset": plan.shards.subset,
        "pixel scaling": model.get_layer("scale").scaling,
        "image size": config.image_size,
        "fields of a snippet": config.new_length,
        "precision": keras.mixed_precision.global_policy().name,
        "views": [name for name in sorted(cache.views) if name != "mirrored"],
        "flips": list(plan.flips),
        "crop scales": list(config.crop_scales) if "scales" in cache.views else [],
        "frames of a video": cache.frames,
        "map": list(plan.map_shape),
    }


def find_directory(key: dict[str, Any], plan: Plan, data: str) -> str:
    """Returns the directory of a cache.

    Args:
        key: its key.
        plan: its maps.
        data: directory of the shards; `auto` is beside it, a directory for each key.

    Raises:
        UsageError: `auto`, of shards in a store.
    """
    if plan.cache.directory != "auto":
        return plan.cache.directory
    if is_remote(data):
        raise UsageError(f"--cache_maps=auto: --data={data} is not local, give a directory")
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    # Absolute, since `.` has no name to go beside.
    return f"{os.path.abspath(data)}.maps/{digest[:16]}"

"""Runs with weights newly drawn, and their exports."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import NamedTuple

import cv2
import keras
import numpy as np
from absl import flags as absl_flags

from rlstm_tf import export
from rlstm_tf.cli import app, flags
from rlstm_tf.data.manifest import Manifest
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.models import build_model
from rlstm_tf.runs.checkpoints import Checkpoints, named_variables
from rlstm_tf.runs.directory import read_flags
from rlstm_tf.runs.weights import load_model

SMALL = (
    *("--model=two_branch", "--backbone=tiny_resnetv2", "--weights=none", "--num_segments=2"),
    "--image_size=32",
)
TEMPORAL = (*SMALL, "--stream=temporal", "--new_length=2")
CLASSES = ("left", "right <i>", "grün", "up", "down", "round")


class Run(NamedTuple):
    """A run, and its network."""

    path: Path
    model: keras.Model


def make_run(path, *arguments, classes=CLASSES, short_side=40, **changes):
    """Writes what a training leaves that export reads, without training.

    Every array is random, moving statistics included, so that none can be left out unnoticed.
    """
    settings = absl_flags.FlagValues()
    flags.define_training(settings)
    settings(["run", *arguments])
    keras.mixed_precision.set_global_policy(settings.precision)
    # Kernels are drawn by Keras: not by whatever test came before.
    keras.utils.set_random_seed(0)
    model = build_model(ModelConfig.from_flags(settings), len(classes))
    keras.mixed_precision.set_global_policy("float32")
    rng = np.random.default_rng(0)
    state = {}
    for name, variable in named_variables(model).items():
        drawn = rng.normal(0, 0.1, variable.shape).astype(np.float32)
        if "gamma" in name or "variance" in name:
            drawn = 1 + np.abs(drawn)
        elif len(variable.shape) > 1 and variable.numpy().any():
            # As drawn for a training; the last so that videos differ by much.
            drawn = variable.numpy() * np.float32(10 if "logits" in name else 1)
        state[name] = drawn
        variable.assign(state[name])
    path.mkdir(parents=True)
    Checkpoints(path / "checkpoints").save(1, state, {}, best=True)
    given = ("--data=records", f"--run_dir={path}", *arguments)
    (path / "flags.cfg").write_text("".join(f"{argument}\n" for argument in given))
    made = {"short_side": short_side, "jpeg_quality": 95, "flow": "dis"}
    manifest = Manifest(
        **{
            "dataset": "folder",
            "split": 0,
            "stream": settings.stream,
            "classes": tuple(classes),
            "settings": made,
            "subsets": {},
            **changes,
        }
    )
    manifest.save(str(path))
    digest = hashlib.sha256(manifest.to_json().encode()).hexdigest()
    (path / "records.sha256").write_text(digest + "\n")
    (path / "classes.json").write_text(json.dumps(list(classes)))
    return Run(path, model)


def open_run(path):
    """Loads a run of `make_run` with the usual classes."""
    model, _ = load_model(path, None, read_flags(path / "flags.cfg"), len(CLASSES))
    return Run(path, model)


def run_export(*arguments):
    """Status of rlstm_tf.export."""
    try:
        return app.run(export.main, export.define_flags, ["export", *map(str, arguments)])
    finally:
        keras.mixed_precision.set_global_policy("float32")


def videos(count=2, T=2, height=32, width=32, channels=3, seed=0):
    """uint8 [count, T, height, width, channels]: smooth, as pictures are."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count * T, 6, 6, channels), np.uint8)
    size = (width, height)
    images = [cv2.resize(image, size, interpolation=cv2.INTER_CUBIC) for image in coarse]
    return np.stack(images).reshape(count, T, height, width, channels)


def jpeg(image, quality=95):
    """JPEG of uint8 [H, W, 3], RGB, or [H, W], grey."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def jpegs(frames):
    """Object array [...] of JPEGs of uint8 [..., H, W, 3]."""
    files = [jpeg(frame) for frame in frames.reshape(-1, *frames.shape[-3:])]
    return np.array(files, object).reshape(frames.shape[:-3])


def promising(content, height, width):
    """The JPEG with another size in its header."""
    at = next(i for marker in (b"\xff\xc0", b"\xff\xc2") if (i := content.find(marker)) > 0)
    return content[: at + 5] + struct.pack(">HH", height, width) + content[at + 9 :]


def decoded(content):
    """uint8 [H, W, 3], RGB."""
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)

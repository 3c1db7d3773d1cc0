"""Relation maps of a moment of a video, from the run that a network was exported from.

A SavedModel computes classes; the weights of its relations are not among its outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from rlstm_tf.attention import page
from rlstm_tf.attention.clip import make_clip
from rlstm_tf.attention.maps import compute_attention_maps, require_relational_lstm
from rlstm_tf.data import timeline
from rlstm_tf.data.video_views import VideoViews
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.runs.directory import BEST, RunDirectory, read_flags
from rlstm_tf.runs.weights import load_model
from rlstm_tf.serving.exporter import TOLERANCE, TOLERANCE_MIXED
from rlstm_tf.serving.predictor import Predictor, read_video
from rlstm_tf.showcase.analysis import Analysis, Options


@dataclass(frozen=True)
class Relations:
    """A trained network with a Relational LSTM.

    Attributes:
        model: the network.
        source: where it is from; its title is that of no video yet.
        predictor: the same network, exported.
    """

    model: keras.Model
    source: page.Source
    predictor: Predictor

    @classmethod
    def load(cls, run_dir: Path, name: str, predictor: Predictor) -> Relations:
        """Loads the checkpoint that was exported, and checks that its answers are the same.

        Args:
            run_dir: directory of the run.
            name: of the directory, as the user knows it.
            predictor: the exported network.

        Raises:
            DataError: the run is missing or damaged.
            UsageError: it is another network, or has no Relational LSTM.
        """
        settings: Any = read_flags(run_dir / "flags.cfg")
        metadata = predictor.metadata
        if RunDirectory(run_dir).classes() != list(metadata.classes):
            raise UsageError(f"--run_dir={name} has other classes than the exported network")
        for field in ("model", "backbone", "stream", "num_segments", "image_size"):
            found, expected = getattr(settings, field), getattr(metadata, field)
            if found != expected:
                raise UsageError(
                    f"--run_dir={name} has --{field}={found}, the exported network {expected}"
                )
        which = "best" if Path(metadata.checkpoint).name == BEST else "newest"
        model, checkpoint = load_model(run_dir, which, settings, len(metadata.classes))
        map_shape = require_relational_lstm(model).cell.map_shape
        if page.count_weights(metadata.num_segments, map_shape) > page.MAX_WEIGHTS:
            raise UsageError(
                f"--run_dir={name}: its maps of {map_shape[0]}x{map_shape[1]} positions are too "
                "large for a page; rlstm_tf.explain --gif shows them"
            )
        _compare(model, predictor, settings.precision, f"--run_dir={name}: {checkpoint.name}")
        network = f"{settings.model}, {settings.stream} stream"
        return cls(model, page.Source("", name, checkpoint.name, network), predictor)

    def render(self, analysis: Analysis, seconds: float, options: Options) -> str:
        """Renders the page of `rlstm_tf.explain` for the window around a time.

        Args:
            analysis: the video.
            seconds: the time; the frame nearest to it is selected first.
            options: the windows.

        Raises:
            DataError: the video cannot be read any more, or the weights are not finite.
        """
        try:
            views = read_video(analysis.path, lambda: self._view(analysis, seconds, options))
        except DataError as error:
            raise DataError(str(error).replace(analysis.path, analysis.name)) from None
        metadata = self.predictor.metadata
        try:
            maps = compute_attention_maps(self.model, views.frames[0])
        except FloatingPointError as error:
            raise DataError(f"{self.source.checkpoint}: {error}") from None
        clip = make_clip(views, metadata.stream == "temporal", maps.logits, metadata.classes)
        t = int(np.abs(views.times[0] - seconds).argmin())
        source = self.source._replace(title=analysis.name)
        return page.render(clip, maps, (t, maps.peak()[1]), source).decode()

    def _view(self, analysis: Analysis, seconds: float, options: Options) -> VideoViews:
        """Returns the frames that the network sees of the window in whose middle the time is."""
        metadata, times = self.predictor.metadata, analysis.times
        bounds = timeline.windows(times.end, options.window, options.stride)
        nearest = int(np.abs(bounds.mean(axis=1) - seconds).argmin())
        config = metadata.input_config()
        numbers = timeline.window_snippets(times, bounds[[nearest]], config)
        (frames,) = timeline.window_views(analysis.path, metadata.record_format, config, numbers)
        first = numbers[..., 0]
        return VideoViews(frames[None], first, times.starts[first])


def _compare(model: keras.Model, predictor: Predictor, precision: str, name: str) -> None:
    """Checks that a run's network is the exported one: on one clip, their logits are equal.

    Raises:
        UsageError: they differ.
    """
    shape = 1, *predictor.metadata.input_config().video_shape
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    expected = predictor.score(frames, name)[0]
    found = np.asarray(model(frames, training=False), np.float32)
    allowed = TOLERANCE if precision == "float32" else TOLERANCE_MIXED
    difference = np.abs(found - expected).max()
    if not difference <= allowed * max(1.0, np.abs(expected).max()):
        raise UsageError(
            f"{name} is not the exported network: logits differ by {difference:.2g}; give the run "
            "that was exported, or export it again"
        )

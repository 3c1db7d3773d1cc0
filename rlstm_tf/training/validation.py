"""Scoring of the validation set during training."""

from __future__ import annotations

import contextlib
import shutil
import sys
from typing import Any

import numpy as np

from rlstm_tf.cli import terminal
from rlstm_tf.data import pipeline
from rlstm_tf.data.shards import Shards
from rlstm_tf.distributed.strategy import current_worker, distribute_batches
from rlstm_tf.evaluation import metrics
from rlstm_tf.evaluation.scorer import Scorer
from rlstm_tf.training.preemption import Stopped, StopRequest
from rlstm_tf.training.trainer import Trainer

# Lines of classes at the end of a training.
_WORST = 10


class Validation:
    """Callable that scores the validation set with the current weights, or their average.

    Args:
        trainer: its model is scored, on its devices.
        shards: the validation set, V videos.
        config: how frames are sampled and cropped.
        stop: a request that ends the validation early.

    Attributes:
        logits: float32 `[V, classes]` of the last call, in the order of `shards`; `[V, 0]` before.
    """

    def __init__(
        self, trainer: Trainer, shards: Shards, config: pipeline.InputConfig, stop: StopRequest
    ) -> None:
        self.shards = shards
        self.logits = np.empty((len(shards), 0), np.float32)
        self._trainer, self._stop = trainer, stop
        strategy = trainer.strategy
        self._scorer = Scorer(trainer.model, strategy)
        self._batches: Any = distribute_batches(
            strategy,
            lambda replicas: pipeline.evaluation_batches(shards, config, replicas=replicas),
        )
        # Several workers would have to agree where to stop.
        self._alone = current_worker(strategy).count == 1

    def __call__(self) -> dict[str, float]:
        """Returns `loss` and `accuracy`, or `map` for several labels per video.

        Raises:
            Stopped: a stop was requested.
            FloatingPointError: a score is not finite.
            DataError: the set cannot be read.
        """
        labels = self.shards.labels
        with (
            self._trainer.final_weights(),
            contextlib.closing(pipeline.iterate(self._batches, self.shards)) as once,
        ):
            self.logits = self._scorer.score(once, len(labels), self._check_stop)
        try:
            result = metrics.compute_metrics(labels, self.logits)
        except FloatingPointError as error:
            step = self._trainer.step
            raise FloatingPointError(f"validation after step {step}: {error}") from None
        return {name: result[name] for name in ("loss", "accuracy", "map") if name in result}

    def _check_stop(self, count: int) -> None:
        if self._stop.requested and self._alone:
            raise Stopped


def format_class_scores(shards: Shards, logits: np.ndarray) -> list[str]:
    """Formats the scores of the classes, lowest first, of a set that has been scored.

    Args:
        shards: the set, V videos.
        logits: `[V, classes]`.

    Returns:
        At most 12 lines.
    """
    labels, classes = shards.labels, shards.classes
    scores = metrics.class_scores(labels, logits)
    videos = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=len(scores))
    order = [number for number in np.argsort(scores, kind="stable") if videos[number]]
    name = "average precision" if labels.ndim == 2 else "accuracy"
    without = len(classes) - len(order)
    note = f"; {without} of {len(classes)} have no video" if without else ""
    lines = [f"{name} of each class in {shards.subset}, lowest first{note}:"]
    rows = [(f"{classes[n]} ({videos[n]})", float(scores[n])) for n in order[:_WORST]]
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    lines += terminal.format_ranking(rows, shutil.get_terminal_size().columns, encoding)
    if len(order) > _WORST:
        least = 100 * scores[order[_WORST]]
        lines.append(f"  {len(order) - _WORST} more, {least:.1f} % or higher")
    return lines

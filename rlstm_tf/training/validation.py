"""Scores a validation set while a run trains."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from rlstm_tf.data import pipeline
from rlstm_tf.data.shards import Shards
from rlstm_tf.distributed import strategy as devices
from rlstm_tf.evaluation import metrics
from rlstm_tf.evaluation.scorer import Scorer
from rlstm_tf.training.preemption import Stopped, Wish
from rlstm_tf.training.trainer import Trainer


class Validation:
    """Scores the validation set whenever it is called.

    Args:
        trainer: whose model is scored, on its devices.
        shards: the set.
        config: of the frames.
        wish: whether to stop in the middle of it.

    Attributes:
        logits: `[V, classes]` of the last time, in the order of `shards`; at first `[V, 0]`.
    """

    def __init__(
        self, trainer: Trainer, shards: Shards, config: pipeline.InputConfig, wish: Wish
    ) -> None:
        self.shards = shards
        self.logits = np.empty((len(shards), 0), np.float32)
        self._trainer, self._wish = trainer, wish
        strategy = trainer.strategy
        self._scorer = Scorer(trainer.model, strategy)
        self._batches: Any = devices.distribute(
            strategy,
            lambda division: pipeline.evaluation_batches(shards, config, division=division),
        )
        # Several would have to agree where to stop.
        self._alone = devices.worker(strategy).count == 1

    def __call__(self) -> dict[str, float]:
        """The set's `loss` and `accuracy`, or `map`, as far as it has them.

        Raises:
            Stopped: as wished.
            FloatingPointError: a score is no number.
            DataError: the set cannot be read.
        """
        labels = self.shards.labels
        with contextlib.closing(pipeline.checked(self._batches, self.shards)) as once:
            self.logits = self._scorer.score(once, len(labels), self._heed)
        try:
            result = metrics.summarize(labels, self.logits)
        except FloatingPointError as error:
            step = self._trainer.step
            raise FloatingPointError(f"validation after step {step}: {error}") from None
        return {name: result[name] for name in ("loss", "accuracy", "map") if name in result}

    def _heed(self, count: int) -> None:
        if self._wish.spoken and self._alone:
            raise Stopped

"""Computes the scores of a set of videos."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rlstm_tf.errors import DataError


class Scorer:
    """Runs a model on every video of a set, on the devices of a strategy.

    Args:
        model: frames uint8 `[B, T, S, S, C]` -> logits `[B, classes]`; created in the strategy's
            scope.
        strategy: returned by `rlstm_tf.distributed.strategy.make_strategy`.
        reduction: `mean` or `max` over the views of a video.
    """

    def __init__(
        self, model: keras.Model, strategy: tf.distribute.Strategy, reduction: str = "mean"
    ) -> None:
        self.model = model
        self.strategy = strategy
        self._reduce = {"mean": tf.reduce_mean, "max": tf.reduce_max}[reduction]
        self._step = tf.function(self._distributed_step, autograph=False)

    def score(
        self,
        batches: Iterable[dict[str, Any]],
        num_videos: int,
        progress: Callable[[int], Any] = lambda count: None,
    ) -> np.ndarray:
        """Computes the scores of every video before softmax, reduced over its views.

        Args:
            batches: distributed batches: `frames` uint8 `[B, views, T, S, S, C]`, `video` int64
                `[B]`, the video's position in the set or -1 for padding. Every process of the
                strategy must call this, with its own slices of the batches.
            num_videos: number of videos in the set.
            progress: called with the number of videos of each batch.

        Returns:
            logits `[num_videos, classes]` in the order of the set, in every process.

        Raises:
            DataError: a video is missing or occurs twice.
        """
        videos, scores = [], []
        for batch in batches:
            logits, number = (x.numpy() for x in self._step(batch["frames"], batch["video"]))
            videos.append(number[number >= 0])
            scores.append(logits[number >= 0])
            progress(len(videos[-1]))
        order = np.concatenate(videos)
        if sorted(order) != list(range(num_videos)):
            raise DataError(f"evaluation saw {len(set(order))} of {num_videos} videos once each")
        return np.concatenate(scores)[np.argsort(order)]

    def _distributed_step(self, frames: Any, videos: Any) -> tuple[Any, Any]:
        logits = self.strategy.run(self._replica_step, args=(frames,))
        return self.strategy.gather(logits, axis=0), self.strategy.gather(videos, axis=0)

    def _replica_step(self, frames: Any) -> Any:
        if frames.shape[1] == 1:
            return self.model(frames[:, 0], training=False)
        # One view at a time: twenty at once would need twenty times the memory.
        logits = tf.map_fn(
            lambda view: self.model(frames[:, view], training=False),
            tf.range(frames.shape[1]),
            fn_output_signature=tf.float32,
            parallel_iterations=1,
        )
        return self._reduce(logits, axis=0)

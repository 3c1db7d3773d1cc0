"""Answers of an exported network after each frame of a stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlstm_tf.errors import DataError
from rlstm_tf.serving.artifact import ModelMetadata, load_signatures, run_signature
from rlstm_tf.serving.stream_signatures import pick_state


@dataclass
class StreamPredictor:
    """An exported network and the state of one stream.

    Attributes:
        metadata: its inputs and outputs.
        source: name of the stream, for error messages.
        step: its signature `step`.
        state: the state after the frames so far.
    """

    metadata: ModelMetadata
    source: str
    step: Callable[..., dict[str, Any]]
    state: dict[str, Any]

    @classmethod
    def load(cls, version: Path, source: str, decay: float = 1.0) -> StreamPredictor:
        """Loads a version of an exported network, and begins a stream.

        Args:
            version: its directory, from `artifact.find_newest_version`.
            source: name of the stream, for error messages.
            decay: what a step keeps of the past, 0..1.

        Raises:
            DataError: the version is damaged, cannot stream, or takes optical flow.
        """
        import tensorflow as tf

        metadata = ModelMetadata.read(version)
        if metadata.stream != "spatial":
            raise DataError(f"{version} takes optical flow, and a stream has frames alone")
        signatures = load_signatures(version)
        if not {"init_state", "step"} <= set(signatures):
            raise DataError(
                f"{version} has no signatures for streams: export it again; bidirectional ones "
                "need --window=T"
            )
        state = run_signature(signatures["init_state"], source, decay=tf.constant([decay]))
        return cls(metadata, source, signatures["step"], state)

    def predict(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Takes the next frame.

        Args:
            frame: uint8 [H, W, 3], RGB.

        Returns:
            Logits and probabilities, float32 [K] each.

        Raises:
            DataError: the logits are not finite, or the network fails.
        """
        import tensorflow as tf

        answer = run_signature(
            self.step, self.source, frames=tf.constant(frame[None]), **self.state
        )
        self.state = pick_state(answer)
        logits, probabilities = (answer[name].numpy()[0] for name in ("logits", "probabilities"))
        if not np.isfinite(logits).all():
            raise DataError(f"{self.source}: the network's scores are not finite")
        return logits, probabilities

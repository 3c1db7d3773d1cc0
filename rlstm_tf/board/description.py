"""What a run is: the graph of its network and its hyperparameters, written by every process."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from tensorboard.plugins.hparams import api

from rlstm_tf.board.events import Events

Value = Any  # bool, int, float, str or a list of texts


class Description(keras.callbacks.Callback):
    """Graph and hyperparameters.

    Args:
        events: where they go.
        name: of the run: unlike that of any other which is looked at beside it.
        hparams: by name; None where one is unset. In the order in which they are shown.
        metrics: tags of scalars that the runs are compared by, the first one first.
    """

    def __init__(
        self, events: Events, name: str, hparams: dict[str, Value], metrics: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.events, self.name = events, name
        self.hparams, self.metrics = hparams, metrics

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Writes both."""
        graph = inference_graph(self.model)
        given = {
            name: ",".join(value) if isinstance(value, list) else value
            for name, value in self.hparams.items()
            if value is not None
        }
        with self.events.written():
            tf.summary.graph(graph)
            # Of all runs that are looked at together TensorBoard takes the columns of any one.
            api.hparams_config(
                hparams=[api.HParam(name) for name in self.hparams],
                metrics=[api.Metric(tag) for tag in self.metrics],
            )
            api.hparams(given, trial_id=self.name)


def inference_graph(model: keras.Model) -> tf.Graph:
    """The operations of a model from frames to logits, with training switched off."""

    @tf.function
    def infer(frames: Any) -> Any:
        return model(frames, training=False)

    shape = (None, *model.input_shape[1:])
    return infer.get_concrete_function(tf.TensorSpec(shape, tf.uint8, name="frames")).graph

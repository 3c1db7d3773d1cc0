"""What a run is: the graph of its network and its hyperparameters, written by every process."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from tensorboard.plugins.hparams import api, api_pb2, metadata, plugin_data_pb2

from rlstm_tf.summaries.events import Events

Value = Any  # bool, int, float or str

# TensorBoard shows the first five: these, of which runs differ most often.
_SHOWN = ("dropout", "learning_rate", "model", "num_segments", "weight_decay")


class Description(keras.callbacks.Callback):
    """Graph and hyperparameters.

    Args:
        events: where they go.
        name: of the run: unlike that of any other which is looked at beside it.
        hparams: by name; None where one is unset.
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
        given = {name: value for name, value in self.hparams.items() if value is not None}
        with self.events.written():
            tf.summary.graph(graph)
            api.hparams(given, trial_id=self.name)
            tf.summary.write(
                metadata.EXPERIMENT_TAG,
                tf.zeros(0),
                step=0,
                metadata=_columns(self.hparams, self.metrics),
            )


def _columns(hparams: dict[str, Value], metrics: tuple[str, ...]) -> Any:
    """The table of runs that are looked at together: TensorBoard takes that of any one of them."""
    infos = [
        # What "differs" comes first.
        api_pb2.HParamInfo(name=name, type=_type_of(value), differs=name in _SHOWN)
        for name, value in hparams.items()
    ]
    found = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in metrics]
    experiment = api_pb2.Experiment(hparam_infos=infos, metric_infos=found)
    return metadata.create_summary_metadata(
        plugin_data_pb2.HParamsPluginData(experiment=experiment)
    )


def _type_of(value: Value) -> Any:
    if value is None:
        return api_pb2.DATA_TYPE_UNSET
    if isinstance(value, bool):
        return api_pb2.DATA_TYPE_BOOL
    return api_pb2.DATA_TYPE_STRING if isinstance(value, str) else api_pb2.DATA_TYPE_FLOAT64


def inference_graph(model: keras.Model) -> tf.Graph:
    """The operations of a model from frames to logits, with training switched off."""

    @tf.function
    def infer(frames: Any) -> Any:
        return model(frames, training=False)

    shape = (None, *model.input_shape[1:])
    return infer.get_concrete_function(tf.TensorSpec(shape, tf.uint8, name="frames")).graph

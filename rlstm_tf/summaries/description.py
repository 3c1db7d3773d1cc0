"""The network's graph and the hyperparameters of a run, written at each start."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from tensorboard.plugins.hparams import api, api_pb2, metadata, plugin_data_pb2

from rlstm_tf.summaries.events import Events

Value = Any  # bool, int, float or str

# TensorBoard shows the first five: these differ between runs most often.
_SHOWN = ("dropout", "learning_rate", "model", "num_segments", "weight_decay")


class Description(keras.callbacks.Callback):
    """Writes the graph and the hyperparameters.

    Args:
        events: event files to write to.
        name: name of the run, unique among the runs that TensorBoard shows.
        hparams: hyperparameters by name; None if unset.
        metrics: tags of the scalars to compare runs by, in the order of the columns.
    """

    def __init__(
        self, events: Events, name: str, hparams: dict[str, Value], metrics: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.events, self.name = events, name
        self.hparams, self.metrics = hparams, metrics

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Writes graph and hyperparameters."""
        graph = inference_graph(self.model)
        given = {name: value for name, value in self.hparams.items() if value is not None}
        with self.events.recording():
            tf.summary.graph(graph)
            api.hparams(given, trial_id=self.name)
            tf.summary.write(
                metadata.EXPERIMENT_TAG,
                tf.zeros(0),
                step=0,
                metadata=_columns(self.hparams, self.metrics),
            )


def _columns(hparams: dict[str, Value], metrics: tuple[str, ...]) -> Any:
    """Describes the table of runs; TensorBoard uses the description of any one run."""
    infos = [
        # TensorBoard puts hyperparameters that differ first.
        api_pb2.HParamInfo(name=name, type=_type_of(value), differs=name in _SHOWN)
        for name, value in hparams.items()
    ]
    metric_infos = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in metrics]
    experiment = api_pb2.Experiment(hparam_infos=infos, metric_infos=metric_infos)
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
    """Traces a model from frames to logits, in inference mode."""

    frames = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, name="frames")
    infer = tf.function(lambda frames: model(frames, training=False), autograph=False)
    return infer.get_concrete_function(frames).graph

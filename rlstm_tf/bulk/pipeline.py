"""The Beam pipeline of a bulk prediction, with one element per portion.

Not one per video: a runner may put the answers of videos together only after all are predicted, as
Beam's own does, and a job that is stopped would have none. The network gets batches of videos all
the same, and a portion is written as soon as it is answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import ModelHandler, RunInference

from rlstm_tf import beam_job
from rlstm_tf.bulk import network
from rlstm_tf.bulk.job import Job, Portion
from rlstm_tf.bulk.portion import Answers, answer
from rlstm_tf.serving.predictor import Predictor


def run(pipeline: beam.Pipeline, job: Job, portions: Sequence[Portion]) -> None:
    """Answers portions and waits until all are finished.

    Args:
        pipeline: from `beam_job.make_pipeline`.
        job: values that the portions share.
        portions: those without an answer.

    Raises:
        DataError: a portion cannot be answered, or the job does not succeed.
    """
    # Reshuffled, so that a runner distributes single portions.
    (
        pipeline
        | "Portions" >> beam.Create([tuple(portion) for portion in portions])
        | "Deal" >> beam.Reshuffle()
        | "Predict" >> RunInference(_PortionHandler(job))
        | "Write" >> beam.ParDo(_Publish(job))
    )
    beam_job.run(pipeline)


class _PortionHandler(ModelHandler):
    """Answers portions; Beam calls `load_model` once in a process, and shares what it returns."""

    def __init__(self, job: Job):
        super().__init__()
        self._job = job

    def load_model(self) -> Predictor:
        return network.load(self._job.model)

    def run_inference(
        self,
        batch: Sequence[Any],
        model: Predictor,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterator[Answers]:
        for element in batch:
            yield answer(self._job, Portion(*element), model)

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        # A portion has its own batches.
        return {"min_batch_size": 1, "max_batch_size": 1}


class _Publish(beam.DoFn):
    def __init__(self, job: Job):
        self._job = job

    def process(self, element: Any) -> None:
        self._job.publish(*element)

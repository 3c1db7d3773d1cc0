"""Bulk predictions without Beam, by a network with known outputs; and decoders that fail.

Worker processes import this: it loads no TensorFlow.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from brightness import METADATA, brightness

from rlstm_tf.bulk import prediction
from rlstm_tf.bulk.network import Network
from rlstm_tf.bulk.portion import answer, decode
from rlstm_tf.serving.predictor import Predictor

PREDICTOR = Predictor(METADATA, brightness)


class StoppedError(Exception):
    """Ends a job as a killed process does."""


def link(video, folder, count, name="v"):
    """Makes hard links to a video; returns their paths."""
    paths = [folder / f"{name}{number:03d}.mp4" for number in range(count)]
    folder.mkdir(exist_ok=True)
    for path in paths:
        os.link(video, path)
    return list(map(str, paths))


def predict(videos, output, predictor=PREDICTOR, portions=None, sha256="0", **more):
    """Runs a job in this process, at most so many `portions` of it; returns what it counted."""

    def run(job, waiting):
        for number, portion in enumerate(waiting):
            if number == portions:
                raise StoppedError
            job.publish(*answer(job, portion, predictor))

    network = Network("saved_models/x/1", sha256, predictor.metadata)
    given = {"batch_size": None, "video_stream": None, **more}
    return prediction.predict(videos, str(output), network, run=run, **given)


def read(output, kind):
    """Reads the lines of all files of a kind, `results` or `failed`."""
    files = sorted(Path(output).glob(f"{kind}-*-of-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def killed(task):
    """Is ended on one video, as by a decoder that crashes."""
    if task.path.endswith("v003.mp4"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return decode(task)

"""An exported network compared with the same network in Keras; and under load.

    python -m benchmarks.serving [--model=saved_models/demo]

Latency of requests with 1 and 8 videos, in turns, the best turn of each: with the SavedModel's
signature of frames; with that of JPEG files, which decodes them; and with the Keras network that
was exported, called as a traced function and layer by layer. The network is an untrained two-branch
one on a tiny ResNetV2, exported into a temporary directory. Target: at least 0.9 of the speed of
the traced one with the same frames.

With --model, measures latencies of that export, then sends it requests from many threads of one
process and prints latency, wrong answers and memory as JSON. A tenth of the requests are bad, of
several kinds; no good one may fail or change its answer because of them.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks.machine import print_heading
from benchmarks.timing import fastest, print_ratio
from rlstm_tf.cli import app
from rlstm_tf.cli.paths import define_path
from rlstm_tf.errors import UsageError
from rlstm_tf.quiet import quiet

OF_KERAS = 0.9


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    define_path("model", None, "Export of the spatial stream, saved_models/NAME.", **own)
    flags.DEFINE_integer("requests", 1000, "Requests to --model under load; 0 = none.", 0, **own)
    flags.DEFINE_integer("threads", 8, "Threads that send them.", 1, **own)
    flags.DEFINE_integer("latencies", 100, "Requests of each batch size, one by one.", 1, **own)


def main(values: flags.FlagValues) -> None:
    """Measures and prints."""
    if not values.model:
        print_heading("serving")
    app.load_tensorflow()
    if values.model:
        _measure_export(values)
    else:
        _compare_with_keras(values.latencies)


def _compare_with_keras(turns: int) -> None:
    """Prints ratios for an untrained network."""
    import numpy as np
    import tensorflow as tf

    from benchmarks import load
    from benchmarks.exports import export_untrained
    from rlstm_tf.serving import artifact

    with tempfile.TemporaryDirectory() as directory, quiet():
        model, metadata = export_untrained(Path(directory))
        signatures = artifact.load_signatures(Path(directory))
    traced = tf.function(lambda frames: model(frames, training=False))
    for size in (1, 8):
        frames = load.frames_of(metadata, size, seed=0)
        files = load.jpegs_of(frames)
        requests = {
            "frames": load.Request("serving_default", {"frames": frames}, None),
            "JPEG files": load.Request("serve_jpeg", {"frames_bytes": files}, None),
        }
        candidates: dict[str, Any] = {
            "traced": lambda frames=frames: traced(tf.constant(frames)).numpy(),
            "by layers": lambda frames=frames: np.asarray(model(tf.constant(frames))),
        }
        for name, request in requests.items():
            candidates[name] = lambda request=request: load.call(signatures, request)
        seconds = {name: own.elapsed for name, own in fastest(candidates, turns).items()}
        shown = ", ".join(f"{name} {1e3 * own:.1f}" for name, own in seconds.items())
        print(f"batch {size}, milliseconds: {shown}")
        print_ratio(
            "frames, speed of traced Keras", seconds["traced"] / seconds["frames"], OF_KERAS
        )
        print_ratio("frames, speed of Keras by layers", seconds["by layers"] / seconds["frames"])
        print_ratio("JPEG files, speed of traced Keras", seconds["traced"] / seconds["JPEG files"])


def _measure_export(values: flags.FlagValues) -> None:
    """Prints latencies and results under load, as JSON."""
    from benchmarks import load
    from rlstm_tf.serving.artifact import ModelMetadata, find_newest_version, load_signatures

    version = find_newest_version(Path(values.model))
    metadata, signatures = ModelMetadata.read(version), load_signatures(version)
    if metadata.stream != "spatial":
        raise UsageError(f"--model={values.model} is of the {metadata.stream} stream")
    for size in (1, 8):
        found = load.latencies(signatures, metadata, size, values.latencies)
        print(json.dumps({"batch": size, **found}))
    if not values.requests:
        return
    good = load.good_requests(signatures, metadata, (1, 1, 2))
    bad = load.bad_requests(metadata)
    load.load(signatures, good, bad, 200, values.threads)
    result = load.load(signatures, good, bad, values.requests, values.threads)
    shown = {
        **result._asdict(),
        "seconds": load.percentiles(result.seconds),
        "megabytes": [round(value, 1) for value in result.megabytes],
        "duration": round(result.duration, 1),
    }
    print(json.dumps({"threads": values.threads, **shown}))


if __name__ == "__main__":
    app.leave(app.run(main, define_flags))

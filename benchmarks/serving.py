"""An exported network under load, in one process: latency, wrong answers, memory.

    python -m benchmarks.serving --model=saved_models/demo

A tenth of the requests are bad, each of another kind: no good one may fail for it, or be answered
with anything but what it is answered with alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from absl import flags

from rlstm_tf import cli
from rlstm_tf.errors import UsageError


def define_flags(values: flags.FlagValues) -> None:
    """Flags of this benchmark."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_string("model", None, "saved_models/NAME, of the spatial stream.", **own)
    flags.DEFINE_integer("requests", 1000, "Under load; 0 = none.", 0, **own)
    flags.DEFINE_integer("threads", 8, "That send them.", 1, **own)
    flags.DEFINE_integer("latencies", 100, "Requests of each batch size, one by one.", 1, **own)


def main(values: flags.FlagValues) -> None:
    """Measures, prints JSON."""
    if not values.model:
        raise UsageError("--model must be given: saved_models/NAME")
    cli.load_tensorflow()
    from benchmarks import load
    from rlstm_tf.exported import Description, load_signatures, newest_version

    version = newest_version(Path(values.model))
    description, signatures = Description.read(version), load_signatures(version)
    if description.stream != "spatial":
        raise UsageError(f"--model={values.model} is of the {description.stream} stream")
    for size in (1, 8):
        found = load.latencies(signatures, description, size, values.latencies)
        print(json.dumps({"batch": size, **found}))
    if not values.requests:
        return
    good = load.good_requests(signatures, description, (1, 1, 2))
    bad = load.bad_requests(description)
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
    sys.exit(cli.run(main, define_flags))

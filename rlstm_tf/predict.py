"""Names the action in video files, with an exported network.

    python -m rlstm_tf.predict clip.mp4 other.avi --model=saved_models/demo
    python -m rlstm_tf.predict long.mp4 --model=saved_models/demo --timeline

Prints the five most probable classes of each video, or with --timeline which class is shown when.
A damaged video is one line on standard error; the others are answered, and the status is 1.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable
from typing import Any

from absl import flags

from rlstm_tf.cli import app
from rlstm_tf.cli.flags import require
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.runs.remote import working_copy

WINDOW = 4.0


def define_flags(values: flags.FlagValues) -> None:
    """Flags of this entry point."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_multi_string(
        "videos", [], "Video files; what stands without -- is one too.", **own
    )
    flags.DEFINE_string("model", None, "Directory that rlstm_tf.export wrote.", **own)
    flags.DEFINE_boolean("json", False, "Print a JSON object a line for each video.", **own)
    flags.DEFINE_boolean("timeline", False, "Which class when, in a long video.", **own)
    flags.DEFINE_float(
        "window", None, f"Seconds that --timeline looks at at once; {WINDOW:g} if unset.", **own
    )
    flags.DEFINE_float(
        "stride", None, "Seconds from a window to the next; half of --window if unset.", **own
    )


def main(values: flags.FlagValues) -> int:
    """Answers video after video."""
    if not values.videos:
        raise UsageError("no video was given: name one file or more")
    require(values, "model")
    given = [name for name in ("window", "stride") if values[name].value is not None]
    if given and not values.timeline:
        raise UsageError(f"--{given[0]} goes with --timeline")
    window = WINDOW if values.window is None else values.window
    stride = window / 2 if values.stride is None else values.stride
    from rlstm_tf.data.timeline import check_windows
    from rlstm_tf.serving.artifact import newest_version
    from rlstm_tf.serving.predictor import Network

    check_windows(window, stride)
    with working_copy(_newest(values.model)) as model:
        version = newest_version(model.path)
        app.load_tensorflow()
        network = Network.load(version)
        return _answer(network, values, window, stride)


def _newest(model: str) -> str:
    """The one version of a network in a store that is needed here; a local directory as it is."""
    from rlstm_tf.serving.artifact import stored_versions
    from rlstm_tf.storage.files import is_remote

    if is_remote(model):
        app.load_tensorflow()
        numbers = stored_versions(model)
        if numbers:
            return f"{model.rstrip('/')}/{max(numbers)}"
    return model


def _answer(network: Any, values: flags.FlagValues, window: float, stride: float) -> int:
    """Answers for all videos; returns the exit status."""
    from rlstm_tf.cli.terminal import printable, readable

    status = 0
    for video in values.videos:
        try:
            if values.timeline:
                answer, lines = _timeline(network, video, window, stride)
            else:
                answer, lines = _top(network, video)
        except DataError as error:
            print("error: " + printable(str(error)), file=sys.stderr, flush=True)
            answer, lines, status = {"error": readable(str(error))}, [], 1
        if values.json:
            lines = [json.dumps({"video": readable(video), **answer}, allow_nan=False)]
        elif lines:
            lines = [printable(video, _encoding()), *lines]
        if lines:
            # At once: what reads need not wait for the next video.
            print("\n".join(lines), flush=True)
    return status


def _top(network: Any, video: str) -> tuple[dict[str, Any], list[str]]:
    """What is said of a video, for programs and for people."""
    from rlstm_tf.cli.terminal import ranking
    from rlstm_tf.serving.predictor import top

    found = network.predict(video)
    best = top(found.probabilities, found.logits, network.description.classes)
    answer = {
        "top": [one._asdict() for one in best],
        "logits": found.logits.tolist(),
        "frames": found.frames.tolist(),
    }
    width = shutil.get_terminal_size().columns
    return answer, ranking(best, width, _encoding())


def _timeline(
    network: Any, video: str, window: float, stride: float
) -> tuple[dict[str, Any], list[str]]:
    """The same of a long video, part by part."""
    from rlstm_tf.cli.progress import bar
    from rlstm_tf.cli.terminal import fitted, printable, schedule
    from rlstm_tf.serving.predictor import top

    name = fitted(printable(os.path.basename(video)), 24).strip()

    def tracked(items: Iterable[Any], total: int, desc: str, unit: str) -> Iterable[Any]:
        # Short ones are done before anyone would look.
        return bar(total, f"{desc} {name}", unit, iterable=items, delay=2, leave=False)

    segments = network.segments(video, window, stride, tracked)
    classes = network.description.classes
    rows = [
        (one.start, one.end, top(one.probabilities, one.probabilities, classes)) for one in segments
    ]
    answer = {
        "segments": [
            {"start": start, "end": end, "top": [one._asdict() for one in best]}
            for start, end, best in rows
        ]
    }
    width = shutil.get_terminal_size().columns
    return answer, schedule(
        [(start, end, *best[0]) for start, end, best in rows], width, _encoding()
    )


def _encoding() -> str:
    return sys.stdout.encoding or "utf-8"


if __name__ == "__main__":
    app.leave(app.run(main, define_flags, positional="videos"))

"""Classifies videos with an exported network: files, or folders of their pictures.

    python -m rlstm_tf.predict clip.mp4 other.avi --model=saved_models/demo
    python -m rlstm_tf.predict long.mp4 --model=saved_models/demo --timeline

Prints the five most probable classes of each video, or with --timeline the class at each time.
For a damaged video, prints one line on standard error and goes to the next; the status is then 1.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import sys
from collections.abc import Iterable
from typing import Any

from absl import flags

from rlstm_tf.cli import app, terminal
from rlstm_tf.cli.flags import require
from rlstm_tf.cli.paths import define_multi_path, define_path
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.messages import decode_name, escape, say
from rlstm_tf.runs.remote import local_mirror

WINDOW = 4.0


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags."""
    own: dict[str, Any] = {"flag_values": values}
    define_multi_path("videos", [], "Videos; arguments without -- are videos too.", **own)
    define_path("model", None, "Directory that rlstm_tf.export wrote.", **own)
    flags.DEFINE_boolean("json", False, "Print one line of JSON per video.", **own)
    flags.DEFINE_boolean("timeline", False, "Classify windows of a long video.", **own)
    flags.DEFINE_float("window", None, f"Length of a window, seconds; default {WINDOW:g}.", **own)
    flags.DEFINE_float(
        "stride", None, "Time between two windows, seconds; default half of --window.", **own
    )
    help_text = "Video stream to read, from 0; default the one marked as default, else the largest."
    flags.DEFINE_integer("video_stream", None, help_text, 0, **own)
    help_text = "timeline: frames per second of folders of pictures."
    flags.DEFINE_float("fps", None, help_text, 0.001, 1000, **own)


def main(values: flags.FlagValues) -> int:
    """Loads the network and classifies the videos in turn."""
    if not values.videos:
        raise UsageError("no video was given: give at least one file")
    require(values, "model")
    given = [name for name in ("window", "stride", "fps") if values[name].value is not None]
    if given and not values.timeline:
        raise UsageError(f"--{given[0]} needs --timeline")
    if values.fps is not None and not any(map(os.path.isdir, values.videos)):
        raise UsageError(f"--fps={values.fps:g} does nothing: no folder of pictures was given")
    window = WINDOW if values.window is None else values.window
    stride = window / 2 if values.stride is None else values.stride
    from rlstm_tf.data.timeline import check_windows
    from rlstm_tf.serving.artifact import find_newest_version
    from rlstm_tf.serving.predictor import Predictor

    check_windows(window, stride)
    with local_mirror(_newest(values.model)) as model:
        version = find_newest_version(model.path)
        app.load_tensorflow()
        predictor = Predictor.load(version)
        stream = values.video_stream
        classify = functools.partial(_classify, predictor, video_stream=stream)
        if values.timeline:
            classify = functools.partial(
                _classify_windows,
                predictor,
                window=window,
                stride=stride,
                video_stream=stream,
                fps=values.fps or 0.0,
            )
        classified = []
        for video in values.videos:
            if stream is None:
                _say_stream(video)
            classified.append(_print_answer(classify, video, values.json))
        return 0 if all(classified) else 1


def _newest(model: str) -> str:
    """Returns the newest version of a network in a store, to fetch only that; or a local path."""
    from rlstm_tf.serving.artifact import list_remote_versions
    from rlstm_tf.storage.files import is_remote

    if is_remote(model):
        numbers = list_remote_versions(model)
        if numbers:
            return f"{model.rstrip('/')}/{max(numbers)}"
    return model


def _say_stream(video: str) -> None:
    """Tells which of several video streams is read."""
    from rlstm_tf.data.container import describe_streams

    chosen = describe_streams(video)
    if chosen:
        say(f"{video}: reads {chosen}; --video_stream=N reads another", error=True)


def _print_answer(classify: Any, video: str, as_json: bool) -> bool:
    """Prints the classes of a video, or its error; returns whether it was classified."""
    classified = True
    try:
        answer, lines = classify(video)
        lines = [video, *lines]
    except DataError as error:
        say(f"error: {error}", error=True)
        answer, lines, classified = {"error": decode_name(str(error))}, [], False
    if as_json:
        answer = {"video": decode_name(video), **answer}
        lines = [json.dumps(answer, allow_nan=False)]
    if lines:
        say(*lines)
    return classified


def _classify(
    predictor: Any, video: str, video_stream: int | None
) -> tuple[dict[str, Any], list[str]]:
    """Returns the most probable classes of a video as JSON values and as lines of text."""
    from rlstm_tf.serving.predictor import top_classes

    found = predictor.predict(video, video_stream)
    best = top_classes(found.probabilities, found.logits, predictor.metadata.classes)
    answer = {
        "top": [one._asdict() for one in best],
        "logits": found.logits.tolist(),
        "frames": found.frames.tolist(),
    }
    return answer, terminal.format_ranking(best, shutil.get_terminal_size().columns, _encoding())


def _classify_windows(
    predictor: Any,
    video: str,
    window: float,
    stride: float,
    video_stream: int | None,
    fps: float,
) -> tuple[dict[str, Any], list[str]]:
    """Returns the classes of each interval of a video as JSON values and as lines of text."""
    from rlstm_tf.serving.predictor import top_classes

    name = terminal.fit(escape(os.path.basename(video)), 24).strip()

    def track(items: Iterable[Any], total: int, desc: str, unit: str) -> Iterable[Any]:
        # No bar for work of less than two seconds.
        options = {"iterable": items, "delay": 2, "leave": False}
        return terminal.progress_bar(total, f"{desc} {name}", unit, **options)

    classes = predictor.metadata.classes
    intervals = predictor.predict_timeline(video, window, stride, track, video_stream, fps)
    rows = [
        (start, end, top_classes(probabilities, probabilities, classes))
        for start, end, probabilities in intervals
    ]
    answer = {
        "segments": [
            {"start": start, "end": end, "top": [one._asdict() for one in best]}
            for start, end, best in rows
        ]
    }
    first = [(start, end, *best[0]) for start, end, best in rows]
    return answer, terminal.format_timeline(first, shutil.get_terminal_size().columns, _encoding())


def _encoding() -> str:
    return sys.stdout.encoding or "utf-8"


if __name__ == "__main__":
    app.leave(app.run(main, define_flags, positional="videos"))

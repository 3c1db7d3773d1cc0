"""Classifies videos with an exported network: files, or folders of their pictures.

    python -m rlstm_tf.predict clip.mp4 other.avi --model=saved_models/demo
    python -m rlstm_tf.predict long.mp4 --model=saved_models/demo --timeline
    python -m rlstm_tf.predict --stream=/dev/video0 --every=0.5s --model=saved_models/demo
    python -m rlstm_tf.predict --videos='clips/**/*.mp4' --model=saved_models/demo --output=answers

Prints the five most probable classes of each video, with --timeline the class at each time, or of a
stream a line of JSON for each answer.
For a damaged video, prints one line on standard error and goes to the next; the status is then 1.

With --output, writes the answers for any number of videos, with Apache Beam, whose own options
follow after --. Run the same command again to resume a job that was stopped (docs/bulk.md).
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import sys
from collections.abc import Iterable
from typing import Any

from absl import flags

from rlstm_tf import beam_job
from rlstm_tf.cli import app, terminal, window_flags
from rlstm_tf.cli.flags import require
from rlstm_tf.cli.paths import define_multi_path, define_path
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.messages import decode_name, escape, say
from rlstm_tf.runs.remote import local_mirror

EVERY = "0.5s"


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags."""
    own: dict[str, Any] = {"flag_values": values}
    define_multi_path("videos", [], "Videos; arguments without -- are videos too.", **own)
    define_path("model", None, "Directory that rlstm_tf.export wrote.", **own)
    flags.DEFINE_boolean("json", False, "Print one line of JSON per video.", **own)
    flags.DEFINE_boolean("timeline", False, "Classify windows of a long video.", **own)
    window_flags.define(values)
    help_text = "Video stream to read, from 0; default the one marked as default, else the largest."
    flags.DEFINE_integer("video_stream", None, help_text, 0, **own)
    define_path("stream", None, "Camera, pipe or file to answer for; - = standard input.", **own)
    help_text = f"stream: time between two answers, seconds; 0 = every frame; default {EVERY}."
    flags.DEFINE_string("every", None, help_text, **own)
    help_text = "stream: what an answer keeps of the past (docs/streaming.md); default 1, all."
    flags.DEFINE_float("decay", None, help_text, 0.0, 1.0, **own)
    help_text = "timeline: frames per second of folders of pictures."
    flags.DEFINE_float("fps", None, help_text, 0.001, 1000, **own)
    help_text = "Directory for the answers; --videos takes patterns and CSV files then, too."
    define_path("output", None, help_text, **own)
    help_text = "output: videos that the network gets at once; default as fits into 2 GB."
    # As many as an exported network takes.
    flags.DEFINE_integer("batch_size", None, help_text, 1, 64, **own)
    help_text = "output: Beam's options; it is simpler to give them after --."
    flags.DEFINE_multi_string("pipeline_options", [], help_text, **own)


def main(values: flags.FlagValues) -> int:
    """Loads the network and classifies the videos in turn."""
    if values.output is not None:
        return _classify_all(values)
    # Without a job of Beam, they are videos whose names begin with a dash.
    values["videos"].parse(values.pipeline_options)
    if values.batch_size is not None:
        raise UsageError("--batch_size needs --output")
    if values.stream is not None:
        return _predict_stream(values)
    if not values.videos:
        raise UsageError("no video was given: give at least one file")
    require(values, "model")
    for name in ("every", "decay"):
        if values[name].value is not None:
            raise UsageError(f"--{name} needs --stream")
    given = [name for name in ("window", "stride", "fps") if values[name].value is not None]
    if given and not values.timeline:
        raise UsageError(f"--{given[0]} needs --timeline")
    if values.fps is not None and not any(map(os.path.isdir, values.videos)):
        raise UsageError(f"--fps={values.fps:g} does nothing: no folder of pictures was given")
    window, stride = window_flags.get(values)
    from rlstm_tf.data.timeline import check_windows
    from rlstm_tf.serving.artifact import find_newest_version, newest_version_source
    from rlstm_tf.serving.predictor import Predictor

    check_windows(window, stride)
    with local_mirror(newest_version_source(values.model)) as model:
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


def _predict_stream(values: flags.FlagValues) -> int:
    """Prints a line of JSON for each answer, until the stream ends."""
    require(values, "model")
    if values.videos:
        raise UsageError(f"--stream={values.stream} goes without videos: {values.videos[0]}")
    for name in ("timeline", "window", "stride", "fps"):
        if values[name].value not in (None, False):
            raise UsageError(f"--{name} does not go with --stream: export --window=T sets a window")
    every = _parse_seconds("every", values.every or EVERY)
    decay = 1.0 if values.decay is None else values.decay
    from rlstm_tf.data.live import LiveReader
    from rlstm_tf.serving.artifact import find_newest_version, newest_version_source

    with local_mirror(newest_version_source(values.model)) as model:
        version = find_newest_version(model.path)
        app.load_tensorflow()
        from rlstm_tf.serving.stream_predictor import StreamPredictor

        predictor = StreamPredictor.load(version, values.stream, decay)
        record_format = predictor.metadata.record_format
        reader = LiveReader(values.stream, every, record_format, values.video_stream)
        answers = dropped = 0
        try:
            with reader:
                for frame in reader:
                    dropped += frame.dropped
                    _print_stream_answer(predictor, frame)
                    answers += 1
        finally:
            # A closed standard error does not hide how the stream ended.
            with contextlib.suppress(OSError):
                say(f"{answers} answers, {dropped} frames dropped", error=True)
        if reader.damaged:
            raise DataError(f"{values.stream}: packets that do not decode: {reader.damaged}")
        return 0


def _print_stream_answer(predictor: Any, frame: Any) -> None:
    from rlstm_tf.serving.predictor import top_classes

    logits, probabilities = predictor.predict(frame.image)
    best = top_classes(probabilities, logits, predictor.metadata.classes)
    answer = {
        "time": round(frame.time, 6),
        "top": [one._asdict() for one in best],
        "logits": logits.tolist(),
        "dropped": frame.dropped,
    }
    say(json.dumps(answer, allow_nan=False))


def _parse_seconds(name: str, text: str) -> float:
    """Parses `0.5s` or `0.5`.

    Raises:
        UsageError: it is neither, or not from 0 to 86400.
    """
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = -1.0
    # NaN compares false.
    if not 0 <= seconds <= 86_400:
        raise UsageError(f"--{name}={text} must be seconds from 0 to 86400, such as 0.5s")
    return seconds


def _classify_all(values: flags.FlagValues) -> int:
    """Writes the answers for any number of videos."""
    if not values.videos:
        raise UsageError("no video was given: give a pattern, a CSV file or files")
    require(values, "model", "output")
    for name in ("stream", "every", "decay", "json", "timeline", "window", "stride", "fps"):
        if values[name].value not in (None, False):
            raise UsageError(f"--{name} and --output exclude each other")
    pipeline = beam_job.make_pipeline(values.pipeline_options)
    from rlstm_tf.bulk import network, prediction
    from rlstm_tf.bulk import pipeline as bulk_pipeline
    from rlstm_tf.bulk.video_list import list_videos
    from rlstm_tf.serving.artifact import newest_version_source

    counts = prediction.predict(
        list_videos(values.videos),
        values.output,
        network.identify(newest_version_source(values.model)),
        values.batch_size,
        values.video_stream,
        functools.partial(bulk_pipeline.run, pipeline),
    )
    say(f"{values.output}: answers for {counts.videos - counts.failed} videos")
    if not counts.failed:
        return 0
    failed = f"{counts.failed} of {counts.videos} videos failed"
    raise DataError(f"{failed}: {values.output}/failed-*.jsonl tell why")


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
    found, classes = predictor.predict(video, video_stream), predictor.metadata.classes
    lines = terminal.format_ranking(
        found.top(classes), shutil.get_terminal_size().columns, _encoding()
    )
    return found.to_json(classes), lines


def _classify_windows(
    predictor: Any,
    video: str,
    window: float,
    stride: float,
    video_stream: int | None,
    fps: float,
) -> tuple[dict[str, Any], list[str]]:
    """Returns the classes of each interval of a video as JSON values and as lines of text."""
    from rlstm_tf.serving.predictor import timeline_json, top_classes

    name = terminal.fit(escape(os.path.basename(video)), 24).strip()

    def track(items: Iterable[Any], total: int, desc: str, unit: str) -> Iterable[Any]:
        # No bar for work of less than two seconds.
        options = {"iterable": items, "delay": 2, "leave": False}
        return terminal.progress_bar(total, f"{desc} {name}", unit, **options)

    classes = predictor.metadata.classes
    intervals = predictor.predict_timeline(video, window, stride, track, video_stream, fps)
    rows = [
        (start, end, *top_classes(probabilities, probabilities, classes, 1)[0])
        for start, end, probabilities in intervals
    ]
    columns = shutil.get_terminal_size().columns
    return timeline_json(intervals, classes), terminal.format_timeline(rows, columns, _encoding())


def _encoding() -> str:
    return sys.stdout.encoding or "utf-8"


if __name__ == "__main__":
    app.leave(app.run(main, define_flags, positional="videos", rest="pipeline_options"))

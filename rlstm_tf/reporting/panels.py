"""Figures of a test set, with their titles, captions and alternative texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError
from rlstm_tf.reporting import figures, frames, measures, selection
from rlstm_tf.reporting.published import NUM_SEGMENTS
from rlstm_tf.reporting.results import ACCURACY, MAP, Part, Result
from rlstm_tf.reporting.tables import percent

MEASURES = {ACCURACY: "Accuracy", MAP: "Average precision"}
STREAMS = {"spatial": "spatial stream", "temporal": "temporal stream", "two_stream": "two-stream"}
_MODELS = {
    "two_branch": "two-branch",
    "rlstm": "R-LSTM",
    "local": "local branch only",
    "tsn": "TSN",
    "lstm": "LSTM",
    "convlstm": "ConvLSTM",
    "transformer": "transformer",
}


@dataclass(frozen=True)
class Panel:
    """A figure.

    Attributes:
        name: file name.
        png: content of the file.
        is_wide: a page wide, not a column.
        title, caption: texts below it.
        alt: description for readers who cannot see it.
    """

    name: str
    png: bytes
    is_wide: bool
    title: str
    caption: str
    alt: str


@dataclass(frozen=True)
class TestSet:
    """A test set with its results and figures.

    Attributes:
        name: name in files and anchors.
        title: name for readers.
        results: results on it.
        panels: its figures.
        remarks: why a figure is missing or incomplete.
    """

    name: str
    title: str
    results: tuple[Result, ...]
    panels: tuple[Panel, ...]
    remarks: tuple[str, ...]


def describe(result: Result | Part) -> str:
    """Returns network and stream, as in captions."""
    return f"{model_name(result.model)}, {STREAMS.get(str(result.stream), str(result.stream))}"


def model_name(model: str | None) -> str:
    """Returns the name of a model, as in captions; an ensemble is named by its members."""
    return " + ".join(_MODELS.get(name, name) for name in str(model).split("+"))


def slug(dataset: str, split: int) -> str:
    """Returns a name for a test set that is safe in paths and URLs."""
    name = re.sub(r"[^A-Za-z0-9_]+", "-", dataset).strip("-") or "dataset"
    return f"{name}_split{split}" if split else name


def draw(name: str, results: Sequence[Result], videos: Sequence[str]) -> TestSet:
    """Draws the figures of a test set.

    Args:
        name: name in files and anchors.
        results: results on it, with their videos in the same order.
        videos: ids for figure 4, of this set or others; chosen if empty.
    """
    main = selection.main_result(results)
    panels: list[Panel] = []
    remarks: list[str] = []
    pair = selection.pair(results)
    if pair is None:
        remarks.append("Figures 3 and 4 need two-branch and TSN on the same stream.")
    else:
        panels += _gains(name, *pair)
        if main.measure == ACCURACY:
            shards = None
            try:
                shards = frames.open_shards([*pair, *results])
            except DataError as error:
                remarks.append(f"Figure 4 is without frames: {error}.")
            panels += _videos(name, *pair, shards, videos, remarks)
    if main.measure == ACCURACY:
        panels.append(_confusion(name, main))
    panels.append(_per_class(name, main))
    return TestSet(name, selection.name_of(main), tuple(results), tuple(panels), tuple(remarks))


def _gains(name: str, ours: Result, other: Result) -> Iterator[Panel]:
    found = measures.gains(ours, other)
    if not found:
        return
    names = [ours.scores.classes[k] for k, _ in found]
    points = [100 * gain for _, gain in found]
    measure = MEASURES[ours.measure].lower()
    png = figures.gains(names, points, f"gain in {measure} over TSN\n(percentage points)")
    bars = "; ".join(f"{label} {value:+.1f}" for label, value in zip(names, points))
    stream = STREAMS[str(ours.stream)]
    yield Panel(
        f"figure3_{name}.png",
        png,
        False,
        "Figure 3",
        f"The {len(found)} classes in which two-branch gains most over TSN ({stream}): "
        f"{measure}, difference in percentage points.",
        f"Bar chart, percentage points: {bars}.",
    )


def _videos(
    name: str,
    ours: Result,
    other: Result,
    shards: Shards | None,
    asked: Sequence[str],
    remarks: list[str],
) -> Iterator[Panel]:
    classes = ours.scores.classes
    position = {video: k for k, video in enumerate(ours.scores.ids)}
    chosen = [position[video] for video in asked if video in position]
    if not asked:
        chosen = measures.choose_videos(ours, other)
    for number, video in enumerate(chosen, start=1):
        video_id, truth = ours.scores.ids[video], int(ours.scores.labels[video])
        images: Sequence = ()
        if shards is not None:
            try:
                count = ours.parts[0].num_segments or NUM_SEGMENTS
                images = frames.read_frames(shards, video_id, count)
            except DataError as error:
                remarks.append(f"Figure 4, video {number}, is without frames: {error}.")
        rankings = []
        words = []
        for result in (other, ours):
            top = measures.top(result, video)
            network = model_name(result.model)
            network = network[0].upper() + network[1:]
            rankings.append((network, [(classes[k], p, k == truth) for k, p in top]))
            listed = ", ".join(f"{classes[k]} {100 * p:.1f} %" for k, p in top)
            verdict = "right" if top[0][0] == truth else "wrong"
            words.append(f"{network} ({verdict}): {listed}.")
        yield Panel(
            f"figure4_{name}_{number}.png",
            figures.video(images, classes[truth], rankings),
            True,
            f"Figure 4, video {number}",
            f"{video_id}: first classes of TSN and of two-branch ({STREAMS[str(ours.stream)]}), "
            "bar length is probability; the true class is plain, others are hatched.",
            f"{len(images)} frames. True class {classes[truth]}. {' '.join(words)}",
        )


def _confusion(name: str, result: Result) -> Panel:
    share, classes = measures.confusion(result), result.scores.classes
    mistakes = share.copy()
    mistakes[range(len(share)), range(len(share))] = 0
    row, column = divmod(int(mistakes.argmax()), len(share))
    worst = "No class is taken for another."
    if mistakes.max() > 0:
        worst = (
            f"Most often confused: {classes[row]} taken for {classes[column]}, "
            f"{100 * mistakes.max():.1f} % of its videos."
        )
    return Panel(
        f"confusion_{name}.png",
        figures.confusion(classes, share),
        len(classes) > 20,
        "Confusion matrix",
        f"{describe(result)}, {percent(100 * result.value)} %. A row is a true class; "
        "its numbers are percent of its videos.",
        f"Matrix of {len(share)} by {len(share)} classes. {worst}",
    )


def _per_class(name: str, result: Result) -> Panel:
    values, classes = measures.per_class(result), result.scores.classes
    # NaN, a class without a video, comes last.
    order = np.argsort(-values, kind="stable").tolist()
    measure = MEASURES[result.measure]
    ends = [(classes[k], percent(100 * values[k])) for k in order if not np.isnan(values[k])]
    return Panel(
        f"per_class_{name}.png",
        figures.per_class(
            [classes[k] for k in order],
            [100 * values[k] for k in order],
            f"{measure.lower()} (%)",
        ),
        len(values) > 30,
        f"{measure} of each class",
        f"{describe(result)}, {percent(100 * result.value)} %.",
        f"Bar chart of {len(values)} classes, from {ends[0][0]}, {ends[0][1]} %, down to "
        f"{ends[-1][0]}, {ends[-1][1]} %."
        if ends
        else "No class has a video.",
    )

"""The answer behind the page, by a network whose scores are known."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
from brightness import METADATA, brightness
from levels import write_levels

from rlstm_tf.errors import DataError
from rlstm_tf.serving.predictor import Predictor, timeline_json
from rlstm_tf.showcase import analysis
from rlstm_tf.showcase.analysis import Options, Stills, analyze

OPTIONS = Options(window=1.0, stride=0.5, max_megabytes=1, max_seconds=60.0)
PREDICTOR = Predictor(METADATA, brightness)


def untracked(items, total, desc, unit):
    return items


def answer(path, name="clip.mp4", **changes):
    return analyze(PREDICTOR, path, name, OPTIONS._replace(**changes), untracked)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """2 s dark, 3 s bright, at 10 frames a second."""
    return write_levels(tmp_path_factory.mktemp("levels") / "a.mp4", [10] * 20 + [240] * 30)


def test_the_json_is_that_of_a_timeline(video):
    expected = timeline_json(PREDICTOR.predict_timeline(video, 1.0, 0.5), METADATA.classes)
    found = answer(video)
    line = found.to_json()
    assert json.loads(line) == {"video": "clip.mp4", **expected}
    assert line.count("\n") == 1
    assert [one["top"][0]["label"] for one in expected["segments"]] == ["dark", "bright"]
    assert found.summary() == "clip.mp4: 5.0 s, 50 frames, 2 segments"


def test_a_still_is_the_frame_that_is_shown(video):
    found = answer(video)
    for seconds, number in ((0, 0), (1.99, 19), (2.0, 20), (2.04, 20), (5.0, 49), (9.0, 49)):
        still = found.still(seconds)
        assert (still.number, still.time) == (number, pytest.approx(number / 10))
        level = cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), cv2.IMREAD_GRAYSCALE).mean()
        assert level == pytest.approx(10 if number < 20 else 240, abs=8)


@pytest.mark.parametrize("frames", [1, 4, 5, 9, 30])
def test_stills_stay_few_and_even(frames, monkeypatch):
    monkeypatch.setattr(analysis, "MOST_STILLS", 4)
    stills, taken = Stills(), []

    def take(number):
        taken.append(number)
        return np.full((8, 8, 3), 8 * number, np.uint8)

    for number in range(frames):
        stills.add(number, lambda number=number: take(number))
    kept = sorted({stills.nearest(number)[0] for number in range(frames)})
    every = kept[1] - kept[0] if len(kept) > 1 else 1
    assert kept == list(range(0, frames, every))
    assert frames / every <= 4 or every == 1
    assert len(taken) <= 4 + frames // 2
    for number in range(frames):
        nearest, jpeg = stills.nearest(number)
        assert abs(nearest - number) <= every / 2 or nearest == kept[-1]
        level = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE).mean()
        assert level == pytest.approx(8 * nearest, abs=3)


def test_a_long_video_is_refused_by_its_header(video, monkeypatch):
    monkeypatch.setattr(analysis, "read_video", None)
    with pytest.raises(DataError, match=r"^clip.mp4: lasts 5.0 s, longer than --max_seconds=4.5$"):
        answer(video, max_seconds=4.5)


def test_a_long_video_is_refused_where_its_header_tells_nothing(video, monkeypatch):
    monkeypatch.setattr(analysis, "header_seconds", lambda path: 0.0)
    with pytest.raises(DataError, match=r"^clip.mp4: lasts 5.0 s, longer than --max_seconds=4.5$"):
        answer(video, max_seconds=4.5)


def test_frames_without_end_are_not_decoded_to_their_end(video, monkeypatch):
    monkeypatch.setattr(analysis, "header_seconds", lambda path: 0.0)
    # 0.1 s of 240 frames each.
    with pytest.raises(DataError, match=r"clip.mp4: has more than 24 frames: .*--max_seconds=0.1"):
        answer(video, max_seconds=0.1)


def test_a_large_file_is_refused(tmp_path):
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.truncate(1_000_001)
    with pytest.raises(DataError, match=r"^clip.mp4: is 1.0 MB large, .*--max_megabytes=1$"):
        answer(str(path))


@pytest.mark.parametrize("content", [b"", b"no video", None], ids=["empty", "text", "missing"])
def test_an_error_names_the_video_and_not_its_place(content, tmp_path):
    path = tmp_path / "uploads" / "b.mp4"
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"^holiday \(1\).mp4: ") as caught:
        answer(str(path), "holiday (1).mp4")
    assert str(tmp_path) not in str(caught.value)


def test_frames_that_are_too_small_are_refused(video):
    large = Predictor(dataclasses.replace(METADATA, image_size=64, short_side=48), brightness)
    with pytest.raises(DataError, match=r"^clip.mp4: 64x48 is less than 64 pixels"):
        analyze(large, video, "clip.mp4", OPTIONS, untracked)

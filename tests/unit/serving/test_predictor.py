"""Predictions of whole videos and timelines, by networks with known outputs."""

from __future__ import annotations

import os
from fractions import Fraction

import av
import numpy as np
import pytest
import warm_python
from brightness import METADATA, Array, brightness
from levels import write_levels

from rlstm_tf.data.timeline import covering_windows, pieces, windows
from rlstm_tf.data.video import DamagedVideoError
from rlstm_tf.errors import DataError
from rlstm_tf.serving.intervals import average_windows, merge_pieces
from rlstm_tf.serving.predictor import Predictor, read_video, top_classes


def test_intervals_cover_the_video_and_change_with_it(tmp_path):
    # 5 s dark, 7 s bright, 3.4 s dark.
    path = write_levels(tmp_path / "a.mp4", [10] * 50 + [240] * 70 + [10] * 34)
    predictor = Predictor(METADATA, brightness)
    found = predictor.predict_timeline(path, 1.0, 0.5)
    assert [
        top_classes(one.probabilities, one.probabilities, ["dark", "bright"], 1)[0].label
        for one in found
    ] == [
        "dark",
        "bright",
        "dark",
    ]
    assert found[0].start == 0
    assert found[-1].end == pytest.approx(15.4)
    assert [one.end for one in found[:-1]] == [one.start for one in found[1:]]
    np.testing.assert_allclose([one.end for one in found[:2]], [5, 12], atol=0.5)
    assert all(one.probabilities.max() > 0.85 for one in found)


@pytest.mark.parametrize("stride", [0.25, 0.4, 1.0])
def test_scores_of_pieces_are_means_over_covering_windows(tmp_path, stride):
    bounds, parts = windows(10.3, 1.0, stride), pieces(10.3, stride)
    scores = np.random.default_rng(0).random((len(bounds), 3)).astype(np.float32)
    found = list(average_windows(iter(scores), covering_windows(bounds, parts)))
    assert len(found) == len(parts)
    for values, (start, end) in zip(found, parts):
        inside = (bounds[:, 0] <= start + 1e-6) & (bounds[:, 1] >= end - 1e-6)
        np.testing.assert_allclose(values, scores[inside].mean(axis=0), rtol=1e-6)


def test_neighbors_with_one_class_are_merged_weighted_by_length():
    parts = np.array([[0, 2], [2, 4], [4, 5], [5, 6]])
    given = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]])
    found = merge_pieces(parts, given)
    assert [(one.start, one.end) for one in found] == [(0, 2), (2, 5), (5, 6)]
    np.testing.assert_allclose(found[1].probabilities, [0.8 / 3, 2.2 / 3])


def test_top_classes():
    probabilities = np.array([0.1, 0.5, 0.1, 0.3])
    assert top_classes(probabilities, probabilities, "abcd", 3) == [
        ("b", 0.5),
        ("d", 0.3),
        ("a", 0.1),
    ]
    assert len(top_classes(probabilities, probabilities, "abcd")) == 4
    # Equal after rounding; the scores still rank them.
    assert top_classes(np.ones(2), np.array([40.0, 50.0]), "ab")[0].label == "b"


def test_scores_that_are_not_finite(tmp_path):
    def broken(frames):
        return {name: Array([[np.nan, 0]]) for name in ("logits", "probabilities")}

    path = write_levels(tmp_path / "a.mp4", [10] * 5)
    predictor = Predictor(METADATA, broken)
    for predict in (
        lambda: predictor.predict(path),
        lambda: predictor.predict_timeline(path, 4, 2),
    ):
        with pytest.raises(DataError, match=r"a\.mp4: the network's scores are not finite"):
            predict()


def test_network_that_fails(tmp_path):
    import tensorflow as tf

    def broken(frames):
        raise tf.errors.ResourceExhaustedError(None, None, "Graph execution error:\n\nOOM in x\n")

    path = write_levels(tmp_path / "a.mp4", [10] * 5)
    predictor = Predictor(METADATA, broken)
    line = r"a\.mp4: the network fails: Graph execution error: OOM in x$"
    for predict in (
        lambda: predictor.predict(path),
        lambda: predictor.predict_timeline(path, 4, 2),
    ):
        with pytest.raises(DataError, match=line):
            predict()


def test_paths_that_are_not_regular_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (
        ("pipe", "is not a regular file; give video files or folders of pictures"),
        (".", "is a directory without pictures; give video files or folders of pic"),
        ("absent", "No such file or directory"),
        ("nul\0", "embedded null byte"),
    ):
        with pytest.raises(DataError, match=reason):
            read_video(f"{tmp_path}/{name}", lambda: pytest.fail("the file was opened"))


def test_damage_is_reported_only_if_it_persists(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    answers = [DamagedVideoError("decoding fails"), "fine"]

    def read():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert read_video(str(path), read) == "fine"
    answers[:] = [DamagedVideoError("cut"), DamagedVideoError("cut")]
    with pytest.raises(DataError, match=r"a\.mp4: cut"):
        read_video(str(path), read)
    answers[:] = [MemoryError()]
    with pytest.raises(DataError, match="no memory"):
        read_video(str(path), read)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that gives EIO")
def test_read_error_of_the_disk_is_reported(tmp_path):
    (tmp_path / "a.mp4").symlink_to("/proc/self/mem")
    with pytest.raises(DataError, match=r"cannot read .*a\.mp4: Input/output error"):
        Predictor(METADATA, brightness).predict(str(tmp_path / "a.mp4"))


@pytest.mark.skipif(not os.path.isfile("/proc/self/status"), reason="needs Linux's /proc")
def test_memory_does_not_grow_with_length(make_video, tmp_path):
    """The long video takes 6 MB as network input, 47 MB as decoded frames."""
    script = r"""
import re, sys
from brightness import METADATA, brightness
from rlstm_tf.serving.predictor import Predictor
peaks = []
for length in ("short", "long"):
    predictor = Predictor(METADATA, brightness)
    found = predictor.predict_timeline(f"{sys.argv[1]}/{length}.mp4", 1.0, 0.33)
    peaks.append(int(re.search(r"VmHWM:\s*(\d+)", open("/proc/self/status").read())[1]))
print(found[-1].end, peaks[1] - peaks[0])
"""
    for length, frames in (("short", 1500), ("long", 7500)):
        make_video(tmp_path / f"{length}.mp4", frames=frames)
    end, grown = warm_python.check(["-c", script, tmp_path]).split()
    assert float(end) == pytest.approx(300)
    assert int(grown) < 4000


def test_timestamps_of_years_are_refused(tmp_path):
    path = str(tmp_path / "a.mkv")
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for milliseconds in (0, 40, 10**9, 10**9 + 40):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = milliseconds, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(DataError, match=r"a\.mkv: 1000000 s are 500001 windows, at most 200000"):
        Predictor(METADATA, brightness).predict_timeline(path, 4.0, 2.0)

"""Numbers behind the figures, and the figures as files."""

import evaluations
import numpy as np
import pytest
import small_shards
from pngs import dots_of, is_color, pixels

from rlstm_tf.errors import DataError
from rlstm_tf.reporting import figures, frames, measures, selection
from rlstm_tf.reporting.results import read_result, read_results


def single(directory, labels, predicted, num_classes=4, **changes):
    ids = [f"v{number}" for number in range(len(labels))]
    scores = evaluations.logits_of(predicted, num_classes)
    classes = [f"class {k}" for k in range(num_classes)]
    metrics = evaluations.description(**changes)
    labels = np.array(labels, np.int32)
    return read_result(str(evaluations.write(directory, metrics, ids, labels, scores, classes)))


def test_accuracy_of_each_class(tmp_path):
    result = single(tmp_path / "r", [0, 0, 0, 1, 1, 3], [0, 0, 1, 1, 1, 2])
    np.testing.assert_array_equal(measures.per_class(result), [2 / 3, 1, np.nan, 0])
    assert measures.videos_per_class(result).tolist() == [3, 2, 0, 1]


def test_confusion(tmp_path):
    result = single(tmp_path / "r", [0, 0, 0, 1, 1, 3], [0, 0, 1, 1, 1, 2])
    third = 1 / 3
    expected = [[2 * third, third, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]
    np.testing.assert_allclose(measures.confusion(result), expected)


def test_gains(tmp_path):
    labels = [0, 0, 0, 1, 1, 1, 2, 2, 4]
    #          TSN: 1/3, 2/3, 0, none, 1;  two-branch: 2/3, 1, 1/2, none, 0.
    tsn = single(tmp_path / "tsn", labels, [0, 1, 1, 1, 1, 0, 0, 0, 4], 5)
    ours = single(tmp_path / "two_branch", labels, [0, 0, 1, 1, 1, 1, 2, 0, 0], 5)
    third = pytest.approx(1 / 3)
    # Classes 0 and 1 gain the same: in the order of the classes. Class 3 has no video.
    assert measures.gains(ours, tsn) == [(2, 0.5), (0, third), (1, third), (4, -1.0)]
    assert measures.gains(ours, tsn, 2) == [(2, 0.5), (0, third)]
    assert measures.gains(tsn, ours, 1) == [(4, 1.0)]


def test_chosen_videos(tmp_path):
    labels = [0, 0, 1, 1, 2, 2, 3]
    ours = single(tmp_path / "two_branch", labels, [0, 0, 1, 0, 2, 0, 3])
    tsn = single(tmp_path / "tsn", labels, [1, 1, 0, 0, 2, 2, 3])
    # Gained: v0, v1 (class 0), v2 (class 1), class by class; lost: v5; both wrong: v3; then right.
    assert measures.choose_videos(ours, tsn) == [0, 2, 1, 5, 3, 4]
    assert measures.choose_videos(ours, tsn, 9) == [0, 2, 1, 5, 3, 4, 6]
    assert measures.choose_videos(ours, tsn, 2) == [0, 2]


def test_top_classes_of_a_video(tmp_path):
    directory = tmp_path / "r"
    scores = np.log(np.array([[0.1, 0.2, 0.4, 0.2, 0.05, 0.05], 6 * [1]], np.float32))
    labels, metrics = np.array([2, 0], np.int32), evaluations.description()
    evaluations.write(directory, metrics, ["v", "w"], labels, scores, list("abcdef"))
    top = measures.top(read_result(str(directory)), 0)
    assert [k for k, _ in top] == [2, 1, 3, 0, 4]
    np.testing.assert_allclose([p for _, p in top], [0.4, 0.2, 0.2, 0.1, 0.05], rtol=1e-5)


def test_average_precision(tmp_path):
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]], bool)
    scores = np.array([[3, 1, 0], [2, 2, 0], [1, 3, 0], [9, 9, 9]], np.float32)
    evaluations.write_map(tmp_path / "r", labels, scores, list("abc"), 11 / 12)
    # The video without a label is last whatever its score. Class a: hits at 1 and 3: (1 + 2/3) / 2.
    # Class b: hits at 1 and 2. Class c has no video.
    found = measures.per_class(read_result(str(tmp_path / "r")))
    np.testing.assert_allclose(found, [5 / 6, 1, np.nan])


def test_the_pair_of_figures_3_and_4(tmp_path):
    def pair():
        found = selection.pair(read_results([str(tmp_path)]))
        return found and [result.path.rsplit("/", 1)[1] for result in found]

    def write(name, **changes):
        evaluations.write_right(tmp_path / name, 20, videos=30, **changes)

    write("ours_spatial")
    write("tsn_temporal", model="tsn", stream="temporal")
    assert pair() is None
    write("tsn_spatial", model="tsn")
    assert pair() == ["ours_spatial", "tsn_spatial"]
    write("ours_temporal", stream="temporal")
    write("ours_six", stream="temporal", num_segments=6)
    assert pair() == ["ours_temporal", "tsn_temporal"]
    write("ours_both", stream="two_stream")
    write("tsn_both", model="tsn", stream="two_stream")
    assert pair() == ["ours_both", "tsn_both"]


def test_the_main_result(tmp_path):
    evaluations.write_right(tmp_path / "tsn", 29, videos=30, model="tsn")
    evaluations.write_right(tmp_path / "ours", 28, videos=30)
    assert selection.main_result(read_results([str(tmp_path)])).path.endswith("tsn")
    evaluations.write_right(tmp_path / "both", 27, videos=30, stream="two_stream")
    assert selection.main_result(read_results([str(tmp_path)])).path.endswith("both")


def test_frames_of_a_video(tmp_path):
    shards = tmp_path / "shards"
    small_shards.write_shards(shards, [8, 24], subset="test")
    evaluations.write_right(tmp_path / "away", 3, videos=4, data=str(tmp_path / "away"))
    evaluations.write_right(tmp_path / "here", 3, videos=4, data=str(shards))
    temporal = evaluations.write_right(tmp_path / "flow", 3, videos=4, stream="temporal")
    opened = frames.open_shards(read_results([str(tmp_path / "away"), str(tmp_path / "here")]))
    images = frames.read_frames(opened, "v1", 4)
    # The middles of four segments of 24 frames; green is 10 times the frame's number, red 20.
    assert len(images) == 4
    for image, number in zip(images, (3, 9, 15, 21)):
        assert image.shape == (small_shards.HEIGHT, small_shards.WIDTH, 3)
        np.testing.assert_allclose(image.mean(axis=(0, 1)), (20, 10 * number, 99), atol=4)
    with pytest.raises(DataError, match="no video 'v2'"):
        frames.read_frames(opened, "v2", 4)
    for path, reason in (
        (tmp_path / "away", "no shards in "),
        (temporal, "no result names shards"),
    ):
        with pytest.raises(DataError, match=reason):
            frames.open_shards([read_result(str(path))])
    small_shards.flip_byte(shards / "test-00000-of-00002.tfrecord", 900)
    with pytest.raises(DataError, match="video 'v0'"):
        frames.read_frames(opened, "v0", 8)


NAMES = ["$x$ and $y", "two\nlines", "a very long name of a class that must be cut", "<b>"]


def test_figure_of_gains():
    image = pixels(figures.gains(NAMES, [9.5, 2, 0, -3], "gain"))
    assert image.shape[1] == figures.COLUMN * figures.DPI == 680
    png = figures.gains(NAMES, [9.5, 2, 1, 0], "gain")
    assert dots_of(png, (0, 114, 178)) > 3000
    assert dots_of(png, (230, 159, 0)) == 0
    assert dots_of(figures.gains(NAMES, [9.5, 2, 0, -3], "gain"), (230, 159, 0)) > 500


@pytest.mark.parametrize("count", [1, 4, 101])
def test_figure_of_confusion(count):
    names = (NAMES * 26)[:count]
    image = pixels(figures.confusion(names, np.eye(count)))
    # Room for the letters of every name: 0.07 inches at the least.
    assert image.shape[0] > count * 0.07 * figures.DPI
    assert image.shape[1] <= 11 * figures.DPI


@pytest.mark.parametrize("count", [1, 4, 101, 157])
def test_figure_of_accuracy_by_class(count):
    image = pixels(figures.per_class((NAMES * 40)[:count], [50.0, np.nan] * 79, "accuracy"))
    assert image.shape[1] == (680 if count <= 30 else 1400)


@pytest.mark.parametrize("count", [0, 1, 8, 12])
def test_figure_of_a_video(count):
    ranking = [(name, 0.9 / 2**number, number == 0) for number, name in enumerate(NAMES)]
    wrong = [(name, 0.9 / 2**number, False) for number, name in enumerate(NAMES)]
    pink = np.full((30, 40, 3), (250, 5, 250), np.uint8)
    png = figures.video([pink] * count, "<b>", [("TSN", wrong), ("Two-branch", ranking)])
    assert pixels(png).shape[1] == 1400
    columns, rows = (int(is_color(png, (250, 5, 250)).any(axis=axis).sum()) for axis in (0, 1))
    # The frames fill the width but for small gaps, and keep their shape.
    assert columns == (0 if count == 0 else pytest.approx(1380, rel=0.08))
    assert columns * 30 == pytest.approx(rows * 40 * count, rel=0.06)
    # Only the right half has a right class; its bar is plain and the longest.
    blue = is_color(png, (0, 114, 178)).sum(axis=0)
    assert blue[:700].sum() == 0
    assert blue[750:1000].min() > 10

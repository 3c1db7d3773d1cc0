"""The plot: a click on it is the time that it shows there."""

import numpy as np
import pytest
from explanations import HOSTILE

pytest.importorskip("matplotlib", reason="needs the extra app")

from rlstm_tf.data.stream_times import FrameTimes
from rlstm_tf.showcase import plot
from rlstm_tf.showcase.analysis import Analysis, Stills


def make_analysis(probabilities, classes=None, edges=None):
    probabilities = np.array(probabilities, float)
    edges = np.arange(len(probabilities) + 1.0) if edges is None else np.array(edges, float)
    return Analysis(
        path="a.mp4",
        name="a.mp4",
        times=FrameTimes(np.arange(0, edges[-1], 0.1), edges[-1]),
        pieces=np.stack([edges[:-1], edges[1:]], axis=1),
        probabilities=probabilities,
        classes=classes or [f"class {number}" for number in range(probabilities.shape[1])],
        stills=Stills(),
        note="",
    )


@pytest.mark.parametrize("seconds", [0.5, 1.7, 3.1])
def test_a_click_on_the_mark_is_its_time(seconds):
    analysis = make_analysis([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    # In the middle of the height, curves have other colors than the mark, which is the same in all.
    picture = plot.draw(analysis, seconds)
    rows = picture[picture.shape[0] // 3 : picture.shape[0] // 2]
    dark = (rows.max(axis=-1) < 100).all(axis=0)
    inside = np.arange(len(dark)) > 0.1 * len(dark)
    columns = np.flatnonzero(dark & inside)
    assert 1 <= len(columns) <= 4
    assert plot.time_at(columns.mean(), 4.0) == pytest.approx(seconds, abs=0.02)


def test_a_click_beside_the_axes_is_an_end():
    assert plot.time_at(0, 7.5) == 0
    assert plot.time_at(10_000, 7.5) == 7.5


def test_classes_on_top_come_before_those_that_never_are():
    probabilities = np.zeros((4, 7))
    probabilities[:, 6] = 0.45
    probabilities[:, 5] = 0.3
    # On top for a second, and for three of unequal length.
    probabilities[0] = [0, 0, 0, 0, 0.9, 0.3, 0.45]
    probabilities[1:, 2] = 0.46
    found = plot.choose_classes(make_analysis(probabilities, edges=[0, 1, 2, 3, 9]))
    assert found == [2, 4, 6, 5, 0]


def test_classes_that_are_not_drawn_are_gray_where_they_lead():
    """More classes than colors lead in turn."""
    picture = plot.draw(make_analysis(np.eye(7)), 0.0)
    strip = picture[round((1 - plot._TOP) * picture.shape[0]) + 8]
    gray = (strip == 0xBB).all(axis=-1)
    assert 0.2 < gray.sum() / (len(strip) * (plot._RIGHT - plot._LEFT)) < 0.35


@pytest.mark.parametrize("name", [HOSTILE, "$\\frac$", "_left", "", "a\nb", "x" * 500])
def test_names_of_classes_are_drawn_as_text(name):
    plain = make_analysis([[0.9, 0.1]], ["one", "two"])
    found = plot.draw(make_analysis([[0.9, 0.1]], [name, "two"]), 0.0)
    # Only the legend differs.
    axes = slice(None), slice(None, round(plot._RIGHT * found.shape[1]))
    np.testing.assert_array_equal(found[axes], plot.draw(plain, 0.0)[axes])

"""Figures of the relational benchmark, by their pixels."""

import numpy as np
import pandas as pd
import pytest
from pngs import dots_of, pixels

from rlstm_tf.reporting.benchmark import figures

BLUE, ORANGE, GREEN = (0, 114, 178), (230, 159, 0), (0, 158, 115)


def bars(labels, means, deviations=None):
    """Draws bars of `[settings][groups]`."""
    columns = "gh"[: len(means[0])]
    deviations = deviations or [[2.0] * len(columns)] * len(labels)
    return figures.bars(labels, *(pd.DataFrame(v, columns=[*columns]) for v in (means, deviations)))


def test_bars_begin_at_chance():
    png = bars(["a"], [[90, 50]])
    both = bars(["a"], [[90, 90]])
    assert pixels(png).shape[1] == 1400
    # Twice the bars; the key's patch is in both.
    key = dots_of(bars(["a"], [[50, 50]]), BLUE)
    ratio = (dots_of(both, BLUE) - key) / (dots_of(png, BLUE) - key)
    assert ratio == pytest.approx(2, rel=0.02)


def test_each_setting_has_a_color_and_a_missing_number_no_bar():
    png = bars(["a", "b", "c"], [[80], [80], [np.nan]], [[np.nan]] * 3)
    assert dots_of(png, BLUE) > 10 * dots_of(png, GREEN) > 0
    assert dots_of(png, ORANGE) > 5 * dots_of(png, GREEN)


def test_a_deviation_is_a_line_of_its_length():
    none, small, large = (bars(["a"], [[80]], [[d]]) for d in (np.nan, 10, 20))
    dots = [dots_of(png, (0, 0, 0)) for png in (none, small, large)]
    assert dots[1] > dots[0] + 100
    assert dots[2] > dots[1] + 100


def test_a_long_legend_does_not_shrink_the_axes():
    few = bars(["a", "b"], [[80]] * 2)
    many = bars(["a long name of a setting" + str(k) for k in range(9)], [[80]] * 9)
    assert pixels(many).shape[0] > pixels(few).shape[0] + 50


def test_curves_are_lines_in_bands():
    mean = pd.Series({epoch: 10.0 * epoch for epoch in (1, 2, 3)})
    narrow, banded = (figures.curves(["a"], [mean], [mean * 0 + d]) for d in (np.nan, 5))
    # The color of the band, a fifth of blue on white.
    band = tuple(round(255 - 0.2 * (255 - level)) for level in BLUE)
    assert dots_of(narrow, band) < 100 < 10_000 < dots_of(banded, band)
    assert dots_of(narrow, BLUE) > 1000
    one = figures.curves(["a"], [mean[:1]], [mean[:1]])
    assert dots_of(one, BLUE) > 100

"""The figures of the relational benchmark, by their dots."""

import io

import matplotlib.image
import numpy as np
import pytest

from rlstm_tf.reporting.benchmark import figures
from rlstm_tf.reporting.benchmark.spread import Spread

BLUE, ORANGE, GREEN = (0, 114, 178), (230, 159, 0), (0, 158, 115)


def pixels(png):
    image = matplotlib.image.imread(io.BytesIO(png))
    return np.rint(image[..., :3] * 255).astype(int)


def dots_of(png, colour):
    return int((abs(pixels(png) - colour).max(axis=-1) <= 2).sum())


def test_bars_begin_at_chance():
    high, chance = Spread(90, 2, 3), Spread(50.0, 2, 3)
    png = figures.bars(["a"], ["g", "h"], [[high, chance]])
    both = figures.bars(["a"], ["g", "h"], [[high, Spread(90, 2, 3)]])
    assert pixels(png).shape[1] == 1400
    # Twice the bars; the key's patch is in both.
    key = dots_of(figures.bars(["a"], ["g", "h"], [[chance, chance]]), BLUE)
    ratio = (dots_of(both, BLUE) - key) / (dots_of(png, BLUE) - key)
    assert ratio == pytest.approx(2, rel=0.02)


def test_every_setting_has_its_colour_and_a_lack_is_no_bar():
    labels = ["a", "b", "c"]
    spread = Spread(80, None, 1)
    png = figures.bars(labels, ["g"], [[spread], [spread], [None]])
    assert dots_of(png, BLUE) > 10 * dots_of(png, GREEN) > 0
    assert dots_of(png, ORANGE) > 5 * dots_of(png, GREEN)


def test_a_deviation_is_a_line_of_its_length():
    small, large = (figures.bars(["a"], ["g"], [[Spread(80, d, 3)]]) for d in (10, 20))
    none = figures.bars(["a"], ["g"], [[Spread(80, None, 1)]])
    dots = [dots_of(png, (0, 0, 0)) for png in (none, small, large)]
    assert dots[1] > dots[0] + 100
    assert dots[2] > dots[1] + 100


def test_a_long_legend_does_not_shrink_the_axes():
    spread = [Spread(80, 1, 3)]
    few = figures.bars(["a", "b"], ["g"], [spread] * 2)
    many = figures.bars(
        ["a long name of a setting" + str(k) for k in range(9)], ["g"], [spread] * 9
    )
    assert pixels(many).shape[0] > pixels(few).shape[0] + 50


def test_curves_are_lines_in_bands():
    course = [(epoch, Spread(10 * epoch, None, 1)) for epoch in (1, 2, 3)]
    wide = [(epoch, Spread(10 * epoch, 5, 3)) for epoch in (1, 2, 3)]
    narrow, banded = (figures.curves(["a"], [c]) for c in (course, wide))
    # The colour of the band, a fifth of blue on white.
    band = tuple(round(255 - 0.2 * (255 - level)) for level in BLUE)
    assert dots_of(narrow, band) < 100 < 10_000 < dots_of(banded, band)
    assert dots_of(narrow, BLUE) > 1000
    one = figures.curves(["a"], [course[:1]])
    assert dots_of(one, BLUE) > 100

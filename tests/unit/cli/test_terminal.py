"""Output for people: widths, bars, progress."""

import pytest

from rlstm_tf.cli.terminal import (
    display_width,
    fit,
    format_bar,
    format_ranking,
    format_timeline,
    progress_bar,
)


def test_display_width():
    assert display_width("abc") == 3
    assert display_width("歩く") == 4
    assert display_width("e\u0301") == 1


def test_fit():
    assert fit("abc", 5) == "abc  "
    assert fit("abcdef", 4) == "abc~"
    assert fit("歩く人", 4) == "歩~ "
    assert fit("abc", 0) == ""


def test_bars():
    assert format_bar(0, 4) == "    "
    assert format_bar(1, 4) == "████"
    assert format_bar(0.5, 4) == "██  "
    assert format_bar(1 / 32, 4) == "▏   "
    assert format_bar(0.5, 4, "ascii") == format_bar(0.5, 4, "latin-1") == "##  "
    assert all(len(format_bar(share / 99, 7)) == 7 for share in range(100))


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
@pytest.mark.parametrize("width", [30, 80, 200])
def test_a_ranking_fits(width, encoding):
    rows = [("walk", 1.0), ("a very long name of a class " * 9, 0.5), ("歩く人\x1b[0m", 0.0)]
    for line in format_ranking(rows, width, encoding):
        assert display_width(line) <= width
        assert line.encode(encoding).decode(encoding) == line
        assert line.isprintable()


def test_a_ranking():
    assert format_ranking([("walk", 0.75), ("stand", 0.25)], 30) == [
        "  walk   █████████      75.0 %",
        "  stand  ███            25.0 %",
    ]


def test_a_timeline():
    rows = [(0.0, 12.5, "walk", 0.8), (12.5, 20.0, "run\n", 1.0)]
    assert format_timeline(rows, 80) == [
        "   0.00 - 12.50 s  walk    80.0 %",
        "  12.50 - 20.00 s  run\\n  100.0 %",
    ]
    rows = [(0.0, 3600.0, "walk", 0.8), (3600.0, 3725.04, "run", 0.07)]
    assert format_timeline(rows, 80) == [
        "     0.00 - 3600.00 s  0:00:00  walk   80.0 %",
        "  3600.00 - 3725.04 s  1:00:00  run     7.0 %",
    ]
    assert all(
        display_width(line) <= 60 for line in format_timeline([(0, 9e3, "long " * 99, 0.5)], 60)
    )


def test_progress_shows_rate_and_time_left(capsys):
    with progress_bar(4, "build", "videos") as progress:
        progress.update(4)
    error = capsys.readouterr().err
    assert "build: 100%" in error
    assert "4/4" in error
    assert "videos/s" in error

"""Names that would harm a terminal, and lines that fit it."""

import os

import pytest

from rlstm_tf.cli.terminal import (
    bar,
    columns,
    fitted,
    printable,
    ranking,
    readable,
    schedule,
)


def test_what_steers_a_terminal_is_shown_as_escapes():
    assert printable("walk the dog é 歩く") == "walk the dog é 歩く"
    assert printable("\x1b[2Ja\nb\tc\x07\x9b") == r"\x1b[2Ja\nb\tc\x07\x9b"
    # Right-to-left override: it would turn what stands behind it round.
    assert printable("a\u202eb") == r"a\u202eb"
    assert printable("é█", "ascii") == r"\xe9\u2588"


def test_names_that_are_no_utf8():
    name = os.fsdecode(b"a\xff\xc3\xa9.mp4")
    assert readable(name) == r"a\xffé.mp4"
    assert printable(name) == r"a\xffé.mp4"


def test_columns():
    assert columns("abc") == 3
    assert columns("歩く") == 4
    assert columns("e\u0301") == 1


def test_fitted():
    assert fitted("abc", 5) == "abc  "
    assert fitted("abcdef", 4) == "abc~"
    assert fitted("歩く人", 4) == "歩~ "
    assert fitted("abc", 0) == ""


def test_bars():
    assert bar(0, 4) == "    "
    assert bar(1, 4) == "████"
    assert bar(0.5, 4) == "██  "
    assert bar(1 / 32, 4) == "▏   "
    assert bar(0.5, 4, "ascii") == bar(0.5, 4, "latin-1") == "##  "
    assert all(len(bar(share / 99, 7)) == 7 for share in range(100))


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
@pytest.mark.parametrize("width", [30, 80, 200])
def test_a_ranking_fits(width, encoding):
    rows = [("walk", 1.0), ("a very long name of a class " * 9, 0.5), ("歩く人\x1b[0m", 0.0)]
    for line in ranking(rows, width, encoding):
        assert columns(line) <= width
        assert line.encode(encoding).decode(encoding) == line
        assert line.isprintable()


def test_a_ranking():
    assert ranking([("walk", 0.75), ("stand", 0.25)], 30) == [
        "  walk   █████████      75.0 %",
        "  stand  ███            25.0 %",
    ]


def test_a_schedule():
    rows = [(0.0, 12.5, "walk", 0.8), (12.5, 20.0, "run\n", 1.0)]
    assert schedule(rows, 80) == [
        "   0.00 - 12.50 s  walk    80.0 %",
        "  12.50 - 20.00 s  run\\n  100.0 %",
    ]
    rows = [(0.0, 3600.0, "walk", 0.8), (3600.0, 3725.04, "run", 0.07)]
    assert schedule(rows, 80) == [
        "     0.00 - 3600.00 s  0:00:00  walk   80.0 %",
        "  3600.00 - 3725.04 s  1:00:00  run     7.0 %",
    ]
    assert all(columns(line) <= 60 for line in schedule([(0, 9e3, "long " * 99, 0.5)], 60))

"""What reaches a terminal or a log is escaped."""

import io
import os
import sys

from rlstm_tf.cli import app
from rlstm_tf.cli.terminal import progress_bar, say_above
from rlstm_tf.errors import DataError
from rlstm_tf.messages import decode_name, escape, say

# Sets a terminal's title, returns to the start of the line, forges a line, reverses the rest.
HOSTILE = "a\x1b]0;title\x07\rb\ndamaged: c\u202e.mp4"
SHOWN = r"a\x1b]0;title\x07\rb\ndamaged: c\u202e.mp4"


def test_control_characters_are_escaped():
    assert escape("walk the dog é 歩く") == "walk the dog é 歩く"
    assert escape("\x1b[2Ja\nb\tc\x07\x9b") == r"\x1b[2Ja\nb\tc\x07\x9b"
    # Right-to-left override would reverse what follows.
    assert escape("a\u202eb") == r"a\u202eb"
    assert escape("é█", "ascii") == r"\xe9\u2588"


def test_names_that_are_not_utf8():
    name = os.fsdecode(b"a\xff\xc3\xa9.mp4")
    assert decode_name(name) == r"a\xffé.mp4"
    assert escape(name) == r"a\xffé.mp4"


def test_each_argument_is_a_line(capsys):
    say("one", HOSTILE, "")
    say(HOSTILE, error=True)
    assert capsys.readouterr() == (f"one\n{SHOWN}\n\n", SHOWN + "\n")


def test_a_stream_that_lacks_characters(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    say("é")
    assert stream.buffer.getvalue() == rb"\xe9" + b"\n"


def test_progress_bars(capfd):
    with progress_bar(2, HOSTILE, "videos") as bar:
        say_above(bar, HOSTILE)
    out, err = capfd.readouterr()
    assert out == SHOWN + "\n"
    assert SHOWN in err
    assert "\x1b]" not in err


def test_the_error_of_a_command(capsys):
    def main(values):
        raise DataError(f"{HOSTILE} is bad")

    assert app.run(main, lambda values: None, ["command"]) == 1
    assert app.run(main, lambda values: None, ["command", f"--{HOSTILE}"]) == 2
    lines = capsys.readouterr().err.splitlines()
    # Messages of libraries have line breaks: an error is one line nevertheless.
    assert lines[0] == r"error: a\x1b]0;title\x07 b damaged: c\u202e.mp4 is bad"
    assert len(lines) == 2
    assert lines[1].startswith("error: ")
    assert lines[1].isprintable()


def test_a_damaged_video(make_video, tmp_path, capsys):
    from builds import arguments

    from tfrecords_tools import build

    for name in ("good", "test"):
        make_video(tmp_path / "videos" / "walk" / f"{name}.mp4", frames=3)
    (tmp_path / "videos" / "walk" / HOSTILE).write_bytes(b"not a video")
    given = arguments(tmp_path / "videos", tmp_path / "shards")
    assert app.run(build.main, build.define_flags, ["build", *given]) == 1
    out, err = capsys.readouterr()
    assert out.replace("\n", "").isprintable()
    assert f"damaged: walk/{SHOWN}: " in err
    assert not any(line.startswith("damaged: c") for line in err.splitlines())

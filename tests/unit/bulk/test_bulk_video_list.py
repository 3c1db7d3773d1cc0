"""Lists of videos from patterns, CSV files and paths."""

from __future__ import annotations

import os

import pytest

from rlstm_tf.bulk.video_list import list_videos
from rlstm_tf.errors import DataError


@pytest.fixture
def folder(tmp_path):
    """b.mp4, a.mp4, in/c.mp4, in/series/1.png, empty/"""
    for name in ("b.mp4", "a.mp4", "in/c.mp4", "in/series/1.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


def listed(folder, *given):
    """Returns the list relative to the folder."""
    found = list_videos([str(folder / one) for one in given])
    return [os.path.relpath(path, folder) for path in found]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["*.mp4"], ["a.mp4", "b.mp4"]),
        (["**/*.mp4"], ["a.mp4", "b.mp4", "in/c.mp4"]),
        # Of folders only those with pictures.
        (["*"], ["a.mp4", "b.mp4"]),
        (["in/*"], ["in/c.mp4", "in/series"]),
        (["[b].mp4"], ["b.mp4"]),
        # Each once, where it is named first.
        (["b.mp4", "*.mp4", "b.mp4"], ["b.mp4", "a.mp4"]),
    ],
)
def test_patterns(folder, given, expected):
    assert listed(folder, *given) == expected


def test_a_file_with_the_name_of_a_pattern(folder):
    (folder / "[b].mp4").touch()
    assert listed(folder, "[b].mp4") == ["[b].mp4"]


def test_rows_of_a_list(folder):
    """Its rows need not exist: a missing video is a failed one."""
    rows = 'label, path \n"x, y",in/c.mp4\n\nz,absent.mp4\nw,in/c.mp4\nz,s3://store/d.mp4\n'
    (folder / "list.CSV").write_text("\ufeff" + rows)
    found = list_videos([str(folder / "list.CSV")])
    assert found == [f"{folder}/in/c.mp4", f"{folder}/absent.mp4", "s3://store/d.mp4"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ":1: the header must have path; found []"),
        (b"video,label\na,b\n", ":1: the header must have path; found ['video', 'label']"),
        (b"path\n", " lists no video"),
        (b"label,path\na,b\nc\n", ":3: path is empty"),
        (b"label,path\na, \n", ":2: path is empty"),
        (b'path\n"a"b\n', ":2 is not CSV: "),
        (b"path\n\xff\n", " is not UTF-8 text"),
    ],
)
def test_lists_that_are_refused(tmp_path, content, message):
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        list_videos([str(path)])
    assert str(caught.value).startswith(f"{path}{message}")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("*.avi", "{}/*.avi matches no file"),
        ("empty/**", "{}/empty/** matches no file"),
        ("absent.mp4", "{}/absent.mp4: No such file or directory"),
        ("absent.csv", "{}/absent.csv: No such file or directory"),
    ],
)
def test_nothing_there(folder, given, message):
    with pytest.raises(DataError) as caught:
        list_videos([str(folder / "b.mp4"), str(folder / given)])
    assert str(caught.value) == message.format(folder)

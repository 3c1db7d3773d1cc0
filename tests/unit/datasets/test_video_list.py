"""CSV files of videos: columns, several labels, intervals, groups; what is refused, by its line."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from rlstm_tf.errors import DataError, UsageError
from tfrecords_tools.datasets.dataset import Action, drop_missing
from tfrecords_tools.datasets.folder import read_folder


@pytest.fixture
def read(tmp_path):
    """Writes a list, and reads it; `a.mp4`, `b.mp4` and `c.mp4` exist."""
    for name in "abc":
        (tmp_path / f"{name}.mp4").touch()

    def read_list(content, **given):
        path = tmp_path / "list.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_folder(str(path), **given)

    return read_list


def test_one_label_and_a_subset(read, tmp_path):
    # As spreadsheets write it: byte order mark, CRLF, quotes, an empty line.
    dataset = read(
        b'\xef\xbb\xbfpath,label,subset\r\na.mp4,"walk, slowly",train\r\n\r\n'
        b"b.mp4,run,val\r\n./c.mp4,run,test\r\n"
    )
    assert dataset.classes == ("run", "walk, slowly")
    assert not dataset.multi_label
    assert all(video.group == video.id for video in dataset.videos)
    assert [(video.id, video.actions, video.subset) for video in dataset.videos] == [
        ("a.mp4", (Action(1),), "train"),
        ("b.mp4", (Action(0),), "val"),
        ("c.mp4", (Action(0),), "test"),
    ]
    assert drop_missing(dataset, allow_missing=False) == dataset
    with pytest.raises(UsageError, match=r"--test_share does not go with .*list.csv, which gives"):
        read_folder(str(tmp_path / "list.csv"), test_share=0.5)


def test_columns_in_any_order(read):
    (video,) = read("group, end,label,start ,path\nkitchen,2.5,run,1,a.mp4\n").videos
    assert (video.id, video.group, video.actions) == ("a.mp4", "kitchen", (Action(0, 1.0, 2.5),))


@pytest.mark.parametrize("first", [0, 1])
def test_numbers_as_labels_keep_their_order(read, first):
    """From 0 or from 1: a label is the place of its class in the list, whose names stay."""
    numbers = [str(number) for number in range(first, first + 12)]
    dataset = read("path,label\n" + "".join(f"{n}.mp4,{n}\n" for n in reversed(numbers)))
    assert dataset.classes == tuple(numbers)
    assert [video.actions[0].label for video in dataset.videos] == list(range(12))[::-1]


@pytest.mark.parametrize(
    "rows",
    ["a.mp4,run\na.mp4,sit\nb.mp4,sit\n", "a.mp4,run; sit\nb.mp4,sit\n"],
    ids=["rows", "semicolon"],
)
def test_several_labels(read, rows):
    dataset = read(f"path,label\n{rows}")
    assert dataset.multi_label
    assert dataset.classes == ("run", "sit")
    assert [(video.id, video.actions) for video in dataset.videos] == [
        ("a.mp4", (Action(0), Action(1))),
        ("b.mp4", (Action(1),)),
    ]


def test_intervals(read):
    """One video, stored once; an action for each row."""
    dataset = read(
        "path,label,start,end\na.mp4,run,0,2.5\na.mp4,run,4,5\na.mp4,sit;eat,2,3.\nb.mp4,sit,,\n"
    )
    assert dataset.multi_label
    assert [video.actions for video in dataset.videos] == [
        (Action(1, 0.0, 2.5), Action(1, 4.0, 5.0), Action(2, 2.0, 3.0), Action(0, 2.0, 3.0)),
        (Action(2),),
    ]


def test_one_interval_makes_it_multi_label(read):
    assert read("path,label,start,end\na.mp4,run,0,2.5\nb.mp4,run,,\n").multi_label
    assert not read("path,label,start,end\na.mp4,run,,\nb.mp4,run,,\n").multi_label


def test_groups_are_never_split(read):
    rows = [f"{n}.mp4,{'ab'[n % 2]},g{n // 3}" for n in range(60)]
    dataset = read("path,label,group\n" + "\n".join(rows))
    sides = {video.group: video.subset for video in dataset.videos}
    assert all(sides[video.group] == video.subset for video in dataset.videos)
    assert Counter(video.subset for video in dataset.videos) == {"train": 48, "test": 12}
    tested = Counter(v.actions[0].label for v in dataset.videos if v.subset == "test")
    assert tested == {0: 6, 1: 6}
    with pytest.raises(
        UsageError, match=r"--group_by does not go with .*list.csv, which has a col"
    ):
        read("path,label,group\na.mp4,run,g1\n", group_by="a")


def test_group_by_of_a_list(read):
    dataset = read("path,label\nx_1.mp4,run\nx_2.mp4,run\ny_1.mp4,run\n", group_by="^[a-z]")
    assert [video.group for video in dataset.videos] == ["x", "x", "y"]


SAME = "all rows of a video must spell its path alike"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.mp4", "./a.mp4"),
        ("./a.mp4", "a.mp4"),
        ("a.mp4", "{folder}/a.mp4"),
        ("more/../a.mp4", "a.mp4"),
        ("pictures", "./pictures/"),
        ("pictures", "linked/pictures"),
        ("a.mp4", "link.mp4"),
        ("a.mp4", "hard.mp4"),
        ("a.mp4", "linked/a.mp4"),
        ("not_there.mp4", "./not_there.mp4"),
    ],
)
@pytest.mark.parametrize("label", ["run", "sit"])
def test_one_file_by_two_paths(read, tmp_path, first, second, label):
    (tmp_path / "link.mp4").symlink_to("a.mp4")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "linked").symlink_to(".")
    os.link(tmp_path / "a.mp4", tmp_path / "hard.mp4")
    second = second.format(folder=tmp_path)
    with pytest.raises(DataError) as caught:
        read(f"path,label\nb.mp4,run\n{first},run\n{second},{label}\n")
    where = f"{tmp_path}/list.csv:4"
    assert str(caught.value) == f"{where}: {second} is the same file as {first} in line 3; {SAME}"


def test_equal_files_are_two_videos(read, tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"same")
    (tmp_path / "b.mp4").write_bytes(b"same")
    assert len(read("path,label\na.mp4,run\nb.mp4,run\n").videos) == 2


INTERVAL = "path,label,start,end\na.mp4,run,"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r":1: the header must be path,label, and may have subset,.*; no column 'path' in ''"),
        ("path;label\na.mp4;run\n", r"; unknown column 'path;label' in 'path;label'"),
        ("path,lable\na.mp4,run\n", r"; unknown column 'lable' in 'path,lable'"),
        ("path,label,fps\na.mp4,run,1\n", r"subset,group,start,end; unknown column 'fps' in"),
        ("path,label,path\na.mp4,run,1\n", r"; column 'path' is twice in"),
        ("path,label\n", r"list.csv lists no video"),
        ("path,label\na.mp4\n", r"list.csv:2 has 1 cells, the header 2"),
        ("path,label\na.mp4,run,1\n", r"list.csv:2 has 3 cells, the header 2"),
        ("path,label\na.mp4,\n", r"list.csv:2: label is empty"),
        ("path,label\na.mp4,run;\n", r"list.csv:2: a label is empty"),
        ("path,label\n,run\n", r"list.csv:2: path is empty"),
        ("path,label,group\na.mp4,run,\n", r"list.csv:2: group is empty; a video of no group"),
        ("path,label\na.mp4,run\na.mp4,run\n", r":3: a.mp4 has label 'run' twice, .* is line 2"),
        ("path,label\na.mp4,run;run\n", r"list.csv:2: a.mp4 has label 'run' twice"),
        ("path,label,subset\na.mp4,run,dev\n", r"one of train, val, test, found 'dev'"),
        (
            "path,label,subset\na.mp4,run,test\na.mp4,sit,train\n",
            r"list.csv:3: a.mp4 has subset 'train', in line 2 'test'",
        ),
        (
            "path,label,group\na.mp4,run,1\na.mp4,sit,2\n",
            r"list.csv:3: a.mp4 has group '2', in line 2 '1'",
        ),
        (f"{INTERVAL}1,\n", r"list.csv:2: start and end must both be given, or neither"),
        (f"{INTERVAL},1\n", r"list.csv:2: start and end must both be given, or neither"),
        (f"{INTERVAL}2,2\n", r"list.csv:2: end must be after start, found 2 to 2"),
        (f"{INTERVAL}3,2\n", r"list.csv:2: end must be after start, found 3 to 2"),
        (f"{INTERVAL}-1,2\n", r"list.csv:2: start must be seconds, such as 12.5, found '-1'"),
        (f"{INTERVAL}nan,2\n", r"list.csv:2: start must be seconds, .* found 'nan'"),
        (f"{INTERVAL}1,inf\n", r"list.csv:2: end must be seconds, .* found 'inf'"),
        (f"{INTERVAL}1,{'9' * 400}\n", r"list.csv:2: end must be seconds, .* found '9999"),
        (f"{INTERVAL}0:01,0:02\n", r"list.csv:2: start must be seconds, .* found '0:01'"),
        ("path,label,start\na.mp4,run,1\n", r"list.csv:2: start and end must both be given"),
        ("path,label\na.mp4,01\nb.mp4,1\n", r"labels '01' and '1' are the same number"),
        ('path,label\na.mp4,"r\nun"\n', r"list.csv:3: label 'r\\nun' has the control character '"),
        ("path,label\na.mp4,r\tun\n", r"list.csv:2: label 'r\\tun' has the control character"),
        ("path,label\na.mp4,sit;r\x1b[2Jun\n", r":2: label 'r\\x1b\[2Jun' has the control char"),
        ("path,label\n/dev/null,run\n", r"list.csv:2: /dev/null is neither a file nor a directory"),
        ('path,label\n"a.mp4,run\n', r"list.csv:2 is not CSV"),
        (b"path,label\n\xff.mp4,run\n", r"list.csv is not UTF-8 text"),
    ],
)
def test_refused(read, content, message):
    with pytest.raises(DataError, match=message) as caught:
        read(content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [".", "more", "link.mp4"])
def test_directory(read, tmp_path, name):
    (tmp_path / "more").mkdir()
    (tmp_path / "link.mp4").symlink_to("more")
    dataset = read(f"path,label\na.mp4,run\n{name},run\nnot_there.mp4,run\n")
    with pytest.raises(DataError) as caught:
        drop_missing(dataset, allow_missing=False)
    assert str(caught.value) == (
        f"2 of 3 listed videos are missing: {name}, not_there.mp4 "
        f"({tmp_path}/{name} is a directory without pictures); --allow_missing builds without them"
    )

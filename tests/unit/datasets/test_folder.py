import os
from collections import Counter

import pytest

from rlstm_tf.errors import DataError, UsageError
from tfrecords_tools.datasets.dataset import drop_missing
from tfrecords_tools.datasets.folder import read_folder


def subsets(dataset):
    return Counter(video.subset for video in dataset.videos)


@pytest.fixture
def videos(tmp_path):
    for name in ("walk/1.mp4", "walk/2.MOV", "run/1.mp4", "run/2.avi", "run/3.mkv"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).touch()
    return tmp_path / "videos"


def test_folder(videos):
    (videos / "walk/notes.txt").touch()
    (videos / "walk/.hidden.mp4").touch()
    (videos / "walk/more").mkdir()
    (videos / ".git").mkdir()
    (videos / "README.md").touch()
    dataset = read_folder(str(videos))
    assert dataset.classes == ("run", "walk")
    assert [video.id for video in dataset.videos] == [
        *("run/1.mp4", "run/2.avi", "run/3.mkv", "walk/1.mp4", "walk/2.MOV")
    ]
    assert dataset.num_ignored == 5
    assert subsets(dataset) == {"train": 3, "test": 2}
    assert subsets(read_folder(str(videos), test_share=0.0)) == {"train": 5}


def test_folder_refuses_empty_class_and_no_class(videos, tmp_path):
    (videos / "sit").mkdir()
    (videos / "sit/notes.txt").touch()
    with pytest.raises(DataError, match=r"class 'sit' is empty: no video in .*sit .*\.mp4"):
        read_folder(str(videos))
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="nothing lists no video"):
        read_folder(str(tmp_path / "nothing"))


@pytest.mark.parametrize("name", ["walk/3.mp4", "sit"])
def test_folder_refuses_entries_that_it_cannot_read(videos, name):
    """Ignoring them would make a smaller data set when a disk is not mounted."""
    path = videos / name

    def assert_refused(message):
        with pytest.raises(DataError) as caught:
            read_folder(str(videos))
        assert str(caught.value) == f"{path}{message}"
        path.unlink()

    path.symlink_to("/nowhere/else")
    assert_refused(" is a link to /nowhere/else, which does not exist")
    path.symlink_to(path)
    assert_refused(": Too many levels of symbolic links")
    os.mkfifo(path)
    assert_refused(" is neither a file nor a directory")


def test_folder_takes_links_to_videos_and_classes(videos, tmp_path):
    (videos / "walk/3.mp4").symlink_to(videos / "run/1.mp4")
    (videos / "sit").symlink_to(videos / "run")
    (videos / "notes").symlink_to(videos / "run/1.mp4")
    dataset = read_folder(str(videos))
    assert (len(dataset.videos), dataset.classes) == (9, ("run", "sit", "walk"))
    assert dataset.num_ignored == 1


def test_unreadable_listed_video_does_not_count_as_missing(videos):
    (videos / "walk/3.mp4").symlink_to(videos / "walk/3.mp4")
    (videos / "list.csv").write_text("path,label\nwalk/1.mp4,walk\nwalk/3.mp4,walk\n")
    with pytest.raises(DataError, match=r"walk/3.mp4: Too many levels of symbolic links"):
        drop_missing(read_folder(str(videos / "list.csv")), allow_missing=True)


def test_csv(videos):
    file = videos.parent / "list.csv"
    # As spreadsheets write it: byte order mark, CRLF, quotes, an empty line.
    file.write_bytes(
        b'\xef\xbb\xbfpath,label,subset\r\nvideos/walk/1.mp4,"walk, slowly",train\r\n\r\n'
        b"videos/run/1.mp4,run,val\r\n./videos/run/2.avi,run,test\r\n"
    )
    dataset = read_folder(str(file))
    assert dataset.classes == ("run", "walk, slowly")
    assert all(video.group == video.id for video in dataset.videos)
    assert [(video.id, video.actions[0].label, video.subset) for video in dataset.videos] == [
        ("videos/walk/1.mp4", 1, "train"),
        ("videos/run/1.mp4", 0, "val"),
        ("videos/run/2.avi", 0, "test"),
    ]
    assert drop_missing(dataset, allow_missing=False) == dataset
    with pytest.raises(UsageError, match=r"--test_share does not go with .*'subset'"):
        read_folder(str(file), test_share=0.5)


def test_csv_numbers_as_labels_keep_their_order(tmp_path):
    file = tmp_path / "list.csv"
    file.write_text("path,label\n" + "".join(f"{n}.mp4,{n}\n" for n in range(12)))
    assert read_folder(str(file)).classes == tuple(str(number) for number in range(12))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"list.csv:1: the header must be path,label or path,label,subset, found ''"),
        ("path;label\na.mp4;run\n", r"found 'path;label'"),
        ("path,label\n", r"list.csv lists no video"),
        ("path,label\na.mp4\n", r"list.csv:2 has 1 cells, the header 2"),
        ("path,label\na.mp4,run,1\n", r"list.csv:2 has 3 cells, the header 2"),
        ("path,label\na.mp4,\n", r"list.csv:2: label is empty"),
        ("path,label\n,run\n", r"list.csv:2: path is empty"),
        ("path,label\na.mp4,run\n./a.mp4,run\n", r"list.csv:3: a.mp4 is listed twice"),
        ("path,label,subset\na.mp4,run,dev\n", r"one of train, val, test, found 'dev'"),
        ('path,label\n"a.mp4,run\n', r"list.csv:2 is not CSV"),
        (b"path,label\n\xff.mp4,run\n", r"list.csv is not UTF-8 text"),
    ],
)
def test_csv_refuses(tmp_path, content, message):
    file = tmp_path / "list.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message) as caught:
        read_folder(str(file))
    assert "\n" not in str(caught.value)

import os
from collections import Counter

import pytest

from rlstm_tf.errors import DataError, UsageError
from tfrecords_tools.datasets.dataset import drop_missing
from tfrecords_tools.datasets.folder import read_folder
from tfrecords_tools.datasets.registry import print_summary


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
    (videos / "walk/session").mkdir()
    (videos / "walk/session/1.mp4").touch()
    (videos / ".git").mkdir()
    (videos / "README.md").touch()
    dataset = read_folder(str(videos))
    assert dataset.classes == ("run", "walk")
    assert [video.id for video in dataset.videos] == [
        *("run/1.mp4", "run/2.avi", "run/3.mkv", "walk/1.mp4", "walk/2.MOV")
    ]
    assert dataset.passed_over == {
        "hidden": [".git", "walk/.hidden.mp4"],
        "beside the class folders": ["README.md"],
        "with neither videos nor pictures": ["walk/more"],
        "without the suffix of a video": ["walk/notes.txt"],
        "with videos a level too deep": ["walk/session"],
    }
    assert subsets(dataset) == {"train": 3, "test": 2}
    assert subsets(read_folder(str(videos), test_share=0.0)) == {"train": 5}


def test_what_is_passed_over_is_one_line(videos, capsys):
    print_summary(read_folder(str(videos)))
    assert "passed over" not in capsys.readouterr().out
    for name in ("walk/a.txt", "walk/b.txt", "walk/c.srt", "run/.d"):
        (videos / name).touch()
    print_summary(read_folder(str(videos)))
    assert capsys.readouterr().out.splitlines()[1:] == [
        "passed over: 1 hidden (run/.d); "
        "3 without the suffix of a video (walk/a.txt, walk/b.txt, ...)",
    ]


def test_folder_refuses_empty_class_and_no_class(videos, tmp_path):
    (videos / "sit/day").mkdir(parents=True)
    (videos / "sit/notes.txt").touch()
    (videos / "sit/day/1.mp4").touch()
    with pytest.raises(DataError) as caught:
        read_folder(str(videos))
    assert str(caught.value) == (
        f"class 'sit' is empty: no video in {videos}/sit, only "
        "1 with videos a level too deep (sit/day); 1 without the suffix of a video "
        "(sit/notes.txt); understood are CLASS/VIDEO.mp4, CLASS/VIDEO/img_00001.jpg, and the same "
        "below train/ val/ test/ with no other folder beside these (docs/records.md)"
    )
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match=r"no class folder in .*nothing; understood are CLASS/VID"):
        read_folder(str(tmp_path / "nothing"))
    (tmp_path / "nothing/1.mp4").touch()
    with pytest.raises(DataError, match=r"only 1 beside the class folders \(1.mp4\); understood"):
        read_folder(str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    "folders",
    [
        ("train", "test", "val"),
        ("Training", "testing", "validation"),
        ("TRAIN", "Test", "Valid"),
        ("train", "test", None),
    ],
)
def test_folders_of_subsets_above_the_classes(tmp_path, folders):
    expected = {}
    for folder, subset in zip(folders, ("train", "test", "val")):
        for label in ("run", "walk") if folder else ():
            # The class is absent from one subset.
            if (subset, label) != ("val", "run"):
                expected[f"{folder}/{label}/1.mp4"] = (subset, label)
    for name in expected:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "README.md").touch()
    (tmp_path / folders[0] / "notes.txt").touch()
    dataset = read_folder(str(tmp_path))
    assert dataset.classes == ("run", "walk")
    found = {v.id: (v.subset, dataset.classes[v.actions[0].label]) for v in dataset.videos}
    assert found == expected
    assert [video.path for video in dataset.videos] == [f"{tmp_path}/{name}" for name in found]
    assert dataset.passed_over == {
        "beside the class folders": ["README.md", f"{folders[0]}/notes.txt"]
    }
    with pytest.raises(UsageError, match=r"--test_share does not go with .* gives the subsets"):
        read_folder(str(tmp_path), test_share=0.5)


def test_folders_of_subsets_beside_another_folder(videos):
    """Then `train` is a class of vehicles, and has videos."""
    (videos / "train").mkdir()
    (videos / "train/1.mp4").touch()
    assert read_folder(str(videos)).classes == ("run", "train", "walk")
    (videos / "train/1.mp4").unlink()
    (videos / "train/walk").mkdir()
    (videos / "train/walk/1.mp4").touch()
    with pytest.raises(DataError, match=r"class 'train' is empty.*below train/ val/ test/ with no"):
        read_folder(str(videos))


def test_folders_of_pictures(videos):
    for name in ("clip_1/img_1.jpg", "clip_1/img_2.JPG", "clip_1/Thumbs.db", "clip_2/7.png"):
        (videos / "walk" / name).parent.mkdir(exist_ok=True)
        (videos / "walk" / name).touch()
    # A thumbnail beside a video does not make a folder a video.
    (videos / "walk/session").mkdir()
    (videos / "walk/session/1.mp4").touch()
    (videos / "walk/session/1.jpg").touch()
    (videos / "walk/cover.jpg").touch()
    dataset = read_folder(str(videos))
    assert [video.id for video in dataset.videos if video.id.startswith("walk")] == [
        *("walk/1.mp4", "walk/2.MOV", "walk/clip_1", "walk/clip_2")
    ]
    assert dataset.videos[-1].path == f"{videos}/walk/clip_2"
    assert dataset.passed_over == {
        "beside the pictures of a video": ["walk/clip_1/Thumbs.db"],
        "pictures that are not in a folder of one video": ["walk/cover.jpg"],
        "with videos a level too deep": ["walk/session"],
    }
    assert drop_missing(dataset, allow_missing=False) == dataset


def test_pictures_of_a_class_are_not_a_video(videos):
    (videos / "wave").mkdir()
    for number in range(3):
        (videos / f"wave/img_{number}.jpg").touch()
    with pytest.raises(DataError) as caught:
        read_folder(str(videos))
    assert "class 'wave' is empty: no video in" in str(caught.value)
    assert "only 3 pictures that are not in a folder of one video (wave/img_0.jpg, " in str(
        caught.value
    )
    assert "understood are CLASS/VIDEO.mp4, CLASS/VIDEO/img_00001.jpg, and" in str(caught.value)


def test_csv_of_folders_of_pictures(videos):
    (videos / "a/empty").mkdir(parents=True)
    (videos / "a/1").mkdir()
    (videos / "a/1/1.png").touch()
    (videos / "list.csv").write_text("path,label\na/1,walk\na/empty,walk\n")
    dataset = drop_missing(read_folder(str(videos / "list.csv")), allow_missing=True)
    assert ([video.id for video in dataset.videos], dataset.missing) == (["a/1"], ("a/empty",))


@pytest.mark.parametrize("name", ["1.AVI", "1.gif", "1.vob", "1.MXF", "1.m2t", "1.y4m", "1.Apng"])
def test_suffixes_of_videos(tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).touch()
    assert [video.id for video in read_folder(str(tmp_path)).videos] == [f"run/{name}"]


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
    assert dataset.passed_over == {"beside the class folders": ["notes"]}


def test_unreadable_listed_video_does_not_count_as_missing(videos):
    (videos / "walk/3.mp4").symlink_to(videos / "walk/3.mp4")
    (videos / "list.csv").write_text("path,label\nwalk/1.mp4,walk\nwalk/3.mp4,walk\n")
    with pytest.raises(DataError, match=r"walk/3.mp4: Too many levels of symbolic links"):
        drop_missing(read_folder(str(videos / "list.csv")), allow_missing=True)


@pytest.mark.parametrize("char", ["\n", "\t", "\x1b", "\x7f", "\u2028"])
def test_folder_refuses_control_characters_in_a_class(videos, char):
    (videos / f"wa{char}lk").mkdir()
    (videos / f"wa{char}lk/1.mp4").touch()
    with pytest.raises(DataError) as caught:
        read_folder(str(videos))
    assert str(caught.value) == (
        f"{videos}/wa{char}lk: label {f'wa{char}lk'!r} has the control character {char!r}"
    )


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        (r"/(\d)", ["1", "2", "3", "1", "2"]),
        (r"^\w+/\d", ["run/1", "run/2", "run/3", "walk/1", "walk/2"]),
        (r"(?:run|walk)/(\d)\.(m)?", ["1", "2", "3", "1", "2"]),
    ],
)
def test_group_by(videos, pattern, groups):
    dataset = read_folder(str(videos), group_by=pattern)
    assert [video.group for video in dataset.videos] == groups
    sides = {video.group: video.subset for video in dataset.videos}
    assert all(sides[video.group] == video.subset for video in dataset.videos)


def test_group_by_refuses(videos):
    with pytest.raises(UsageError, match=r"--group_by=\( is not a regular expression: missing \)"):
        read_folder(str(videos), group_by="(")
    names = r"'run/1.mp4', 'run/2.avi', 'run/3.mkv'"
    with pytest.raises(DataError, match=rf"=walk finds no group in 3 of 5 videos: {names}$"):
        read_folder(str(videos), group_by="walk")
    with pytest.raises(DataError, match=rf"in 5 of 5 videos: {names}, \.\.\.$"):
        read_folder(str(videos), group_by="jump")
    # A group that is not part of the match.
    with pytest.raises(DataError, match=r"finds no group in 4 of 5 videos: 'run/2.avi'"):
        read_folder(str(videos), group_by=r"run/1(\.mp4)|run/.|(walk/.)")

from collections import Counter
from dataclasses import replace

import pytest

from rlstm_tf.errors import DataError
from tfrecords_tools.datasets.dataset import Action, Dataset, Video, drop_missing
from tfrecords_tools.datasets.folder import read_folder
from tfrecords_tools.datasets.hmdb51 import read_hmdb51
from tfrecords_tools.datasets.subsets import add_validation, hold_out
from tfrecords_tools.datasets.ucf101 import read_ucf101


def subsets(dataset):
    return Counter(video.subset for video in dataset.videos)


@pytest.mark.parametrize(
    ("split", "train", "test"), [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)]
)
def test_ucf101_genuine_splits(real, tmp_path, split, train, test):
    dataset = read_ucf101(str(tmp_path), str(real / "splits/ucfTrainTestlist"), split)
    assert subsets(dataset) == {"train": train, "test": test}
    assert len(dataset.classes) == 101
    # The order of classInd.txt, which no sort() of Python gives.
    assert dataset.classes[34:37] == ("Hammering", "HammerThrow", "HandstandPushups")
    assert dataset.classes != tuple(sorted(dataset.classes))
    by_id = {video.id: video for video in dataset.videos}
    # Folder and file name are spelled differently; the class is the folder's.
    odd = by_id["HandstandPushups/v_HandStandPushups_g01_c01.avi"]
    assert odd.actions == (Action(36),)
    assert odd.group == "v_HandStandPushups_g01"
    # 25 groups a class.
    assert len({video.group for video in dataset.videos}) == 25 * 101
    assert dataset.classes[odd.actions[0].label] == "HandstandPushups"
    assert odd.path == str(tmp_path / "HandstandPushups/v_HandStandPushups_g01_c01.avi")


@pytest.mark.parametrize("split", [1, 2, 3])
def test_hmdb51_genuine_splits(real, tmp_path, split):
    splits = real / "splits/testTrainMulti_7030_splits"
    dataset = read_hmdb51(str(tmp_path), str(splits), split)
    assert subsets(dataset) == {"train": 3570, "test": 1530}
    lines = [
        line
        for path in splits.glob(f"*_test_split{split}.txt")
        for line in path.read_text().splitlines()
    ]
    assert len(lines) - len(dataset.videos) == 1666
    assert len(dataset.classes) == 51
    assert dataset.classes == tuple(sorted(dataset.classes))
    # Some names are prefixes of others.
    assert {"climb", "climb_stairs", "shoot_ball", "sword", "sword_exercise"} < set(dataset.classes)
    assert set((splits / "class_list.txt").read_text().split()) == set(dataset.classes)


def test_hmdb51_genuine_clips(real):
    listed = read_hmdb51(
        str(real / "hmdb51/videos"), str(real / "splits/testTrainMulti_7030_splits"), 1
    )
    dataset = drop_missing(listed, allow_missing=True)
    assert len(dataset.missing) == 5095
    assert {video.group for video in dataset.videos} == {
        "(HQ)_Rock_Climbing_-_Free_Solo_Speed_Climb_-_Dan_Osman",
        "Golf_Tips_-_Hit_The_Driver_300+_Yards!!!",
        "AdvancedBoxingTechniquesandExercises",
        "6arrowswithin30seconds",
        "BaseballHitinSlowMotion",
    }
    assert all(video.actions[0].end is None for video in dataset.videos)
    assert (dataset.multi_label, dataset.notes) == (False, {})
    for video in dataset.videos:
        assert dataset.classes[video.actions[0].label] == video.id.split("/")[0]
    climb = "(HQ)_Rock_Climbing_-_Free_Solo_Speed_Climb_-_Dan_Osman_climb_f_cm_np1_le_med_2.avi"
    assert {video.id: video.subset for video in dataset.videos} == {
        f"climb/{climb}": "train",
        "golf/Golf_Tips_-_Hit_The_Driver_300+_Yards!!!_golf_f_nm_np1_fr_med_0.avi": "train",
        "punch/AdvancedBoxingTechniquesandExercises_punch_u_nm_np1_ba_med_23.avi": "test",
        "shoot_bow/6arrowswithin30seconds_shoot_bow_f_nm_np1_fr_med_3.avi": "train",
        "swing_baseball/BaseballHitinSlowMotion_swing_baseball_f_nm_np1_fr_bad_0.avi": "train",
    }
    with pytest.raises(DataError, match=r"5095 of 5100 .* brush_hair/.*, \.\.\. .*--allow_missing"):
        drop_missing(listed, allow_missing=False)


def test_all_videos_missing_is_refused_even_with_allow_missing(real, tmp_path):
    listed = read_ucf101(str(tmp_path), str(real / "splits/ucfTrainTestlist"), 1)
    with pytest.raises(DataError, match=r"13320 of 13320 listed videos are missing") as caught:
        drop_missing(listed, allow_missing=True)
    assert "--allow_missing" not in str(caught.value)


@pytest.mark.parametrize("name", ["ucf101", "hmdb51"])
def test_validation_takes_whole_groups(real, tmp_path, name):
    read = {"ucf101": read_ucf101, "hmdb51": read_hmdb51}[name]
    place = {"ucf101": "ucfTrainTestlist", "hmdb51": "testTrainMulti_7030_splits"}[name]
    listed = read(str(tmp_path), str(real / "splits" / place), 1)
    dataset = add_validation(listed, 0.1, seed=3)
    counts = subsets(dataset)
    assert counts["test"] == subsets(listed)["test"]
    assert 0.08 < counts["val"] / subsets(listed)["train"] < 0.12
    # Clips of one source video share the number after _g (UCF-101) or the name before the class.
    groups = {"train": set(), "val": set(), "test": set()}
    for video in dataset.videos:
        stem = video.id.rsplit("_c", 1)[0]
        if name == "hmdb51":
            stem = video.id.rsplit("_" + dataset.classes[video.actions[0].label] + "_", 1)[0]
        groups[video.subset].add(stem)
    assert not groups["train"] & groups["val"]
    for subset in ("train", "val"):
        labels = {video.actions[0].label for video in dataset.videos if video.subset == subset}
        assert len(labels) == len(dataset.classes)
    assert add_validation(listed, 0.1, seed=3) == dataset
    assert add_validation(listed, 0.1, seed=4) != dataset
    assert add_validation(listed, 0.0, seed=3) == listed


def make_video_in_own_group(name):
    return Video(name, "", (Action(0),), "train", group=name)


def test_hold_out_is_stable_when_a_video_is_added():
    videos = [make_video_in_own_group(f"a/{number}") for number in range(50)]
    held = hold_out(videos, 0.2, "test")
    assert len(held) == 10
    assert hold_out(videos[::-1], 0.2, "test") == held
    more = hold_out([*videos, make_video_in_own_group("a/new")], 0.2, "test")
    assert len(held ^ more) <= 2


def test_hold_out_of_all_videos_together():
    """Groups span classes, and a video may have no label."""
    videos = [
        Video(f"{number}", "", (Action(number % 7),) * (number % 3), "train", f"g{number // 4}")
        for number in range(100)
    ]
    held = hold_out(videos, 0.2, "val", by_class=False)
    assert len(held) == 20
    groups = {video.group for video in videos if video.id in held}
    assert len(groups) == 5
    assert hold_out(videos[::-1], 0.2, "val", by_class=False) == held


@pytest.mark.parametrize(("count", "expected"), [(1, 0), (2, 1), (3, 1), (8, 2), (13, 3)])
def test_hold_out_of_few(count, expected):
    videos = [make_video_in_own_group(f"a/{number}") for number in range(count)]
    assert len(hold_out(videos, 0.2, "test")) == expected


@pytest.fixture
def ucf(tmp_path):
    """A tiny tree in UCF-101's layout, for tests to modify."""
    (tmp_path / "classInd.txt").write_bytes(b"1 Walk\r\n2 Run\r\n")
    (tmp_path / "trainlist01.txt").write_bytes(
        b"Walk/v_Walk_g01_c01.avi 1\r\nRun/v_Run_g01_c01.avi 2 \r\n\r\n"
    )
    (tmp_path / "testlist01.txt").write_bytes(b"Walk/v_Walk_g02_c01.avi\r\n")
    return tmp_path


def test_ucf101_small(ucf):
    dataset = read_ucf101(str(ucf), str(ucf), 1)
    assert dataset.classes == ("Walk", "Run")
    assert [(video.id, video.actions[0].label, video.subset) for video in dataset.videos] == [
        ("Walk/v_Walk_g01_c01.avi", 0, "train"),
        ("Run/v_Run_g01_c01.avi", 1, "train"),
        ("Walk/v_Walk_g02_c01.avi", 0, "test"),
    ]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("trainlist01.txt", b"Walk/a.avi 3\n", r"trainlist01.txt:1: label 3 .* 1 of 2"),
        ("trainlist01.txt", b"Walk/a.avi 2\n", r"trainlist01.txt:1: label 2 for class 'Walk'"),
        ("trainlist01.txt", b"Jump/a.avi 1\n", r"trainlist01.txt:1: no class 'Jump'"),
        ("trainlist01.txt", b"Walk/a.avi 1\nWalk/a.avi 1\n", r":2: Walk/a.avi is listed twice"),
        ("testlist01.txt", b"Run/v_Run_g01_c01.avi\n", r"listed twice \(train and test\)"),
        ("trainlist01.txt", b"Walk/a.avi 1\n", r"without a video in split 1: Run"),
        ("trainlist01.txt", b"../a.avi 1\n", r"trainlist01.txt:1 lists '../a.avi': a name "),
        ("trainlist01.txt", b"Walk/../../a.avi 1\n", r"must be <class>/<file name>"),
        ("trainlist01.txt", b"/a.avi 1\n", r"trainlist01.txt:1 lists '/a.avi': a name "),
        ("trainlist01.txt", b"\xff\xfe1\n", r"trainlist01.txt is not UTF-8"),
        ("classInd.txt", b"1 Walk\n3 Run\n", r"classInd.txt:2: must be 2 and a class name"),
        ("classInd.txt", b"1 Walk\n2 Walk\n", r"classInd.txt: class 'Walk' is listed twice"),
        ("classInd.txt", b"", r"trainlist01.txt:1: no class 'Walk'"),
    ],
)
def test_ucf101_refuses(ucf, file, content, message):
    (ucf / file).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_ucf101(str(ucf), str(ucf), 1)
    assert "\n" not in str(caught.value)


def test_missing_directories_and_files(ucf):
    with pytest.raises(DataError, match=r"no such directory: .*nowhere"):
        read_ucf101(str(ucf / "nowhere"), str(ucf), 1)
    with pytest.raises(DataError, match=r"no such directory: .*nowhere"):
        read_hmdb51(str(ucf), str(ucf / "nowhere"), 1)
    with pytest.raises(DataError, match=r"trainlist02.txt: No such file"):
        read_ucf101(str(ucf), str(ucf), 2)
    with pytest.raises(DataError, match=r"no file \*_test_split1.txt in "):
        read_hmdb51(str(ucf), str(ucf), 1)
    with pytest.raises(DataError, match=r"no such directory or CSV file: .*nowhere"):
        read_folder(str(ucf / "nowhere"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "a.avi 3 \n",
            r"walk_test_split1.txt:1: must be a file name and 0, 1 or 2, found 'a.avi 3'",
        ),
        ("a.avi\n", r"must be a file name and 0, 1 or 2"),
        ("../b/a.avi 1 \n", r"test_split1.txt:1 lists 'walk/../b/a.avi': a name "),
        ("a.avi 1 \na.avi 2 \n", r":2: walk/a.avi is listed twice \(train and test\)"),
        ("a.avi 0 \n", r"classes without a video in split 1: walk"),
    ],
)
def test_hmdb51_refuses(tmp_path, content, message):
    (tmp_path / "walk_test_split1.txt").write_text(content)
    with pytest.raises(DataError, match=message):
        read_hmdb51(str(tmp_path), str(tmp_path), 1)


def test_hmdb51_names_with_spaces(tmp_path):
    (tmp_path / "walk_test_split1.txt").write_text("a b (1)!+.avi 1 \n")
    (video,) = read_hmdb51("/", str(tmp_path), 1).videos
    assert video.id == "walk/a b (1)!+.avi"


def test_message_for_missing_videos(tmp_path):
    dataset = Dataset(
        "folder",
        0,
        ("run",),
        (replace(make_video_in_own_group("run/9.mp4"), path=str(tmp_path / "run/9.mp4")),),
    )
    with pytest.raises(DataError, match=r"1 of 1 listed .*: run/9.mp4 \(looked for .*run/9.mp4\)$"):
        drop_missing(dataset, allow_missing=False)

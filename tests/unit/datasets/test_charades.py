from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from builds import run

from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError
from tfrecords_tools import verify
from tfrecords_tools.builder.shard_builder import action_frames
from tfrecords_tools.datasets.charades import read_charades
from tfrecords_tools.datasets.dataset import Action
from tfrecords_tools.datasets.subsets import add_validation

HEADER = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
CLASSES = ("c000 Holding some clothes", "c001 Walking", "c002 Sitting, then standing")


def row(video, actions, length="2.00", subject="AB12"):
    return f'{video},{subject},Kitchen,6,7,Yes,"A, then ""B"".",a;b,"C, D",{actions},{length}'


def write(directory, train, test, classes=CLASSES):
    """Writes the files as published: rows of the tables end in CRLF."""
    (directory / "Charades_v1_classes.txt").write_text("\n".join(classes) + "\n")
    for subset, rows in (("train", train), ("test", test)):
        text = "\r\n".join([HEADER, *rows]) + "\r\n"
        (directory / f"Charades_v1_{subset}.csv").write_bytes(text.encode())
    return directory


@pytest.fixture(scope="module")
def genuine(real, tmp_path_factory):
    """The genuine training table, and 200 lines of the test table."""
    directory = tmp_path_factory.mktemp("charades")
    names = {
        "Charades_v1_train.csv": "Charades_v1_train.csv",
        "Charades_v1_test.csv": "Charades_v1_test_200.csv",
        "Charades_v1_classes.txt": "Charades_v1_classes.UNVERIFIED_COPY.txt",
    }
    for name, source in names.items():
        (directory / name).symlink_to(real / "splits/charades" / source)
    return read_charades(str(directory), str(directory))


def test_genuine_counts(genuine):
    assert (genuine.name, genuine.split, genuine.multi_label) == ("charades", 0, True)
    assert Counter(video.subset for video in genuine.videos) == {"train": 7985, "test": 199}
    assert len(genuine.classes) == 157
    assert genuine.classes[0] == "c000 Holding some clothes"
    assert [name.split()[0] for name in genuine.classes] == [f"c{n:03d}" for n in range(157)]
    # 14,596 end after the length of their video; the 5 of them that start after it have no time
    # left, as have 2 more that end before they start.
    assert {name: n for name, n in genuine.notes.items() if name.startswith("train")} == {
        "train_intervals_listed": 49809,
        "train_intervals_clipped": 14591,
        "train_intervals_without_time": 7,
        "train_videos_without_action": 174,
    }
    training = [video for video in genuine.videos if video.subset == "train"]
    actions = [action for video in training for action in video.actions]
    assert len(actions) == 49809
    assert sum(action.start >= action.end for action in actions) == 7
    assert sum(not video.actions for video in training) == 174


def test_genuine_rows(genuine):
    by_id = {video.id: video for video in genuine.videos}
    first = by_id["46GP8"]
    assert first.actions == (Action(92, 11.9, 21.2), Action(147, 0.0, 12.6))
    assert (first.group, first.path.rsplit("/", 1)[1]) == ("HR43", "46GP8.mp4")
    # 0.00 32.00 of 31.29 seconds.
    assert Action(59, 0.0, 31.29) in by_id["T5ECU"].actions
    assert by_id["0IH69"].actions == ()


def test_genuine_validation_takes_whole_subjects(genuine):
    dataset = add_validation(genuine, 0.1, seed=0)
    subjects = {"train": set(), "val": set(), "test": set()}
    for video in dataset.videos:
        subjects[video.subset].add(video.group)
    assert not subjects["train"] & subjects["val"]
    count = sum(video.subset == "val" for video in dataset.videos)
    assert 0.08 < count / 7985 < 0.12
    assert add_validation(genuine, 0.1, seed=1) != dataset


def test_genuine_mangled_table_is_refused(real, tmp_path):
    write(tmp_path, [row("AAAAA", "c000 0 1;c001 0 1;c002 0 1")], [])
    mangled = real / "splits/charades/malformed/Charades_v1_test_excel_mangled.csv"
    (tmp_path / "Charades_v1_test.csv").unlink()
    (tmp_path / "Charades_v1_test.csv").symlink_to(mangled)
    with pytest.raises(DataError, match=r"Charades_v1_test.csv:1: the header must be id,subject,"):
        read_charades(str(tmp_path), str(tmp_path))
    # The same with a corrected header.
    content = mangled.read_bytes().split(b"\n", 1)[1]
    (tmp_path / "Charades_v1_test.csv").unlink()
    (tmp_path / "Charades_v1_test.csv").write_bytes(HEADER.encode() + b"\r\n" + content)
    with pytest.raises(DataError, match=r"Charades_v1_test.csv:2 has \d+ cells, the header 11"):
        read_charades(str(tmp_path), str(tmp_path))


TRAIN = [
    row("AAAAA", "c000 0.00 1.50;c002 0.50 3.00", subject="S1"),
    row("BBBBB", "c001 1.50 1.50;c001 1.60 1.20;c002 2.00 2.50;c000 2.10 2.20", subject="S2"),
    row("CCCCC", "", subject="S1"),
]
TEST = [row("DDDDD", "c001 0 2.00", subject="S3"), row("EEEEE", "")]


def test_clipping_of_intervals(tmp_path):
    write(tmp_path, TRAIN, TEST)
    dataset = read_charades(str(tmp_path), str(tmp_path))
    assert dataset.classes == CLASSES
    nothing = (0.0, 0.0)
    assert [(v.id, v.subset, v.group, v.actions) for v in dataset.videos] == [
        ("AAAAA", "train", "S1", (Action(0, 0.0, 1.5), Action(2, 0.5, 2.0))),
        (
            *("BBBBB", "train", "S2"),
            tuple(Action(label, *nothing) for label in (1, 1, 2, 0)),
        ),
        ("CCCCC", "train", "S1", ()),
        ("DDDDD", "test", "S3", (Action(1, 0.0, 2.0),)),
        ("EEEEE", "test", "AB12", ()),
    ]
    assert dataset.notes == {
        "train_intervals_listed": 6,
        "train_intervals_clipped": 1,
        "train_intervals_without_time": 4,
        "train_videos_without_action": 1,
        "test_intervals_listed": 1,
        "test_intervals_clipped": 0,
        "test_intervals_without_time": 0,
        "test_videos_without_action": 1,
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (row("AAAAA", ""), r"train.csv:5: AAAAA is listed twice \(train and train\)"),
        (row("FFFFF", "c003 0.00 1.00"), r"train.csv:5: no class c003 in Charades_v1_classes.txt"),
        (row("FFFFF", "c000 0.00"), r":5: an action must be like c092 11.90 21.20, found 'c000 0"),
        (row("FFFFF", "c000 -1.00 2.00"), r":5: an action must be like"),
        (row("FFFFF", "c000 nan 2.00"), r":5: an action must be like"),
        (row("FFFFF", "c000 0.00 1.00;"), r":5: an action must be like .* found ''"),
        (row("FFFFF", "", length=""), r":5: length must be seconds, found ''"),
        (row("FFFFF", "", length="2,00"), r":5 has 12 cells, the header 11"),
        (row("../FF", ""), r":5: id must be letters and digits, found '../FF'"),
        (row("", ""), r":5: id must be letters and digits, found ''"),
        ("FFFFF,S1", r":5 has 2 cells, the header 11"),
        ('FFFFF,"S1"x,', r":5 is not CSV: "),
        ('FFFFF,"S1', r":\d is not CSV: "),
    ],
)
def test_refused_with_file_and_line(tmp_path, line, message):
    write(tmp_path, [*TRAIN, line], TEST)
    with pytest.raises(DataError, match=message) as caught:
        read_charades(str(tmp_path), str(tmp_path))
    assert "\n" not in str(caught.value)


def test_other_files_refused(tmp_path):
    with pytest.raises(DataError, match=r"no such directory: .*nowhere"):
        read_charades(str(tmp_path), str(tmp_path / "nowhere"))
    write(tmp_path, TRAIN, [row("AAAAA", "")])
    with pytest.raises(DataError, match=r"test.csv:2: AAAAA is listed twice \(train and test\)"):
        read_charades(str(tmp_path), str(tmp_path))
    write(tmp_path, TRAIN, TEST, [*CLASSES, "c004 Out of order"])
    with pytest.raises(
        DataError, match=r"classes.txt:4: must be c003 and a class name, found 'c004"
    ):
        read_charades(str(tmp_path), str(tmp_path))
    write(tmp_path, TRAIN, TEST, [*CLASSES, "c003 Never seen"])
    with pytest.raises(DataError, match=r"classes without a video in split 0: c003 Never seen"):
        read_charades(str(tmp_path), str(tmp_path))
    write(tmp_path, TRAIN, TEST)
    (tmp_path / "Charades_v1_test.csv").write_text("")
    with pytest.raises(DataError, match=r"test.csv:1: the header must be id,"):
        read_charades(str(tmp_path), str(tmp_path))
    (tmp_path / "Charades_v1_test.csv").unlink()
    with pytest.raises(DataError, match=r"test.csv: No such file"):
        read_charades(str(tmp_path), str(tmp_path))


@pytest.mark.parametrize(
    ("start", "end", "fps", "num_frames", "expected"),
    [
        (0.0, None, 0.0, 9, (0, 9)),
        (0.0, 2.0, 25.0, 100, (0, 50)),
        (0.5, 2.0, 25.0, 100, (12, 38)),  # 12.5 to 50
        (4.1, 8.3, 30.0, 1000, (123, 126)),  # in floats 122.99... and 249.00...
        (11.9, 21.2, 30.0, 1000, (357, 279)),
        (0.0, 4.01, 25.0, 100, (0, 100)),
        (0.0, 9.9, 25.0, 100, (0, 100)),
        (3.98, 4.0, 25.0, 100, (99, 1)),
        (3.98, 4.0, 25.0, 99, (0, 0)),  # as fields, one fewer
        (4.0, 5.0, 25.0, 100, (0, 0)),
        (1.01, 1.02, 25.0, 100, (25, 1)),
        (1.01, 1.01, 25.0, 100, (0, 0)),
        (0.0, 0.0, 0.0, 100, (0, 0)),
    ],
)
def test_frames_of_an_interval(start, end, fps, num_frames, expected):
    times = [number / fps for number in range(num_frames + 2)] if fps else []
    assert action_frames(Action(0, start, end), times, num_frames) == expected


def test_frames_of_an_interval_follow_the_times():
    """Frame 2 is held from 0.2 to 1.5 s, the last one to 2 s."""
    times = [0.0, 0.1, 0.2, 1.5, 1.6, 2.0]
    for interval, expected in {
        (0.1, 0.2): (1, 1),
        (0.05, 0.15): (0, 2),
        (0.7, 0.9): (2, 1),
        (0.7, 1.6): (2, 2),
        (1.9, 5.0): (4, 1),
        (2.0, 5.0): (0, 0),
    }.items():
        assert action_frames(Action(0, *interval), times, 5) == expected


@pytest.fixture(scope="module")
def tree(make_video, tmp_path_factory):
    """Videos of 2 s at 10 frames per second."""
    directory = tmp_path_factory.mktemp("tree")
    write(directory, [*TRAIN, row("FFFFF", "c001 1.95 2.00", subject="S4")], TEST)
    for seed, name in enumerate(("AAAAA", "BBBBB", "CCCCC", "DDDDD", "EEEEE")):
        make_video(directory / f"{name}.mp4", frames=20, fps=10, seed=seed)
    # Shorter than the length in the table.
    make_video(directory / "FFFFF.mp4", frames=15, fps=10)
    return directory


def given(tree, output, *more):
    return [
        *("--dataset=charades", f"--videos={tree}", f"--splits={tree}", f"--output={output}"),
        *("--short_side=32", "--workers=1", "--shards=2", *more),
    ]


@pytest.mark.parametrize(("more", "end"), [([], 20), (["--stream=temporal", "--flow=dis"], 19)])
def test_build(tree, tmp_path, capfd, more, end):
    status, out, errors = run(capfd, *given(tree, tmp_path / "new", *more))
    assert (status, errors) == (0, [])
    assert "4 train, 2 test" in out
    assert "train intervals without time: 4" in out
    assert "labels without sample: 5" in out
    manifest = Manifest.load(f"{tmp_path}/new")
    assert (manifest.dataset, manifest.split, manifest.multi_label) == ("charades", 0, True)
    assert manifest.notes["labels_without_sample"] == 5
    assert manifest.notes["train_intervals_listed"] == 7
    assert {name: subset.samples for name, subset in manifest.subsets.items()} == {
        "train": 2,
        "test": 1,
    }
    assert run(capfd, f"{tmp_path}/new", "--decode", program=verify)[0] == 0
    shards = Shards.open(f"{tmp_path}/new", "train")
    found = {(shards.ids[video], *place) for video, *place in shards.samples.tolist()}
    assert found == {("AAAAA", 0, 0, 15), ("AAAAA", 2, 5, end - 5)}
    labels = {name: np.flatnonzero(row).tolist() for name, row in zip(shards.ids, shards.labels)}
    assert labels == {"AAAAA": [0, 2], "BBBBB": [0, 1, 2], "CCCCC": [], "FFFFF": [1]}


def test_build_with_validation_and_another_table(tree, tmp_path, capfd):
    status, _, _ = run(capfd, *given(tree, tmp_path / "new", "--val_share=0.3"))
    assert status == 0
    assert sum(s.videos for s in Manifest.load(f"{tmp_path}/new").subsets.values()) == 6
    for name in tree.iterdir():
        if name.suffix != ".csv":
            (tmp_path / name.name).symlink_to(name)
    write(tmp_path, [*TRAIN[:2], row("CCCCC", "c001 0 1")], TEST)
    (tmp_path / "FFFFF.mp4").unlink()
    status, _, errors = run(capfd, *given(tmp_path, tmp_path / "new", "--val_share=0.3"))
    assert status == 1
    assert "holds a build with another list of videos" in errors[0]


def test_video_without_times(tree, tmp_path, monkeypatch):
    """Timed actions require times; a video without actions does not."""
    from tfrecords_tools.builder import decoded_video

    class Timeless(decoded_video.VideoReader):
        def __init__(self, path, short_side, *_):
            super().__init__(path, short_side)

        def frame_times(self):
            raise decoded_video.DamagedVideoError("has no time for frame 0")

    monkeypatch.setattr(decoded_video, "open_video", Timeless)
    timed = decoded_video.DecodeTask(
        str(tmp_path / "a"), str(tree / "AAAAA.mp4"), 32, 95, timed=True
    )
    assert decoded_video.decode(timed) == "has no time for frame 0"
    untimed = decoded_video.DecodeTask(str(tmp_path / "b"), str(tree / "AAAAA.mp4"), 32, 95)
    assert decoded_video.decode(untimed) is None

"""The demo data set in the layouts of UCF-101, HMDB-51 and Charades, read by their readers."""

import csv
import fcntl
import hashlib
import re
from collections import Counter
from itertools import combinations

import av
import numpy as np
import pytest
from builds import tree

from rlstm_tf.cli import app
from rlstm_tf.data.video import VideoReader
from tfrecords_tools import demo
from tfrecords_tools.datasets.charades import read_charades
from tfrecords_tools.datasets.dataset import drop_missing
from tfrecords_tools.datasets.hmdb51 import read_hmdb51
from tfrecords_tools.datasets.ucf101 import read_ucf101
from tfrecords_tools.synthetic.layouts import arrange_charades
from tfrecords_tools.synthetic.shapes import CLASSES, draw_scene

# Clips of each class: 4 groups; the fourth has one clip.
CLIPS = 13
SNAKE = {"approach", "recede", "red_chases_blue", "blue_chases_red", "swap", "part_and_meet"} | {
    "orbit_clockwise",
    "orbit_counterclockwise",
}


def small(output, layout, *arguments):
    flags = (f"--videos_per_class={CLIPS}", "--num_frames=4", "--size=32", "--workers=1")
    arguments = ["demo", f"--output={output}", f"--layout={layout}", *flags, *arguments]
    return app.run(demo.main, demo.define_flags, arguments)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("layouts")
    for layout in ("ucf101", "hmdb51", "charades"):
        assert small(root / layout, layout) == 0
    return root


@pytest.mark.parametrize("layout", ["ucf101", "hmdb51", "charades"])
def test_two_workers_give_the_same_bytes(made, tmp_path, layout):
    assert small(tmp_path / "again", layout, "--workers=2") == 0
    assert tree(tmp_path / "again") == tree(made / layout)


@pytest.mark.parametrize("layout", ["ucf101", "hmdb51", "charades"])
def test_a_larger_set_begins_with_the_same_videos(made, tmp_path, layout):
    assert small(tmp_path / "larger", layout, "--videos_per_class=14") == 0
    larger = tree(tmp_path / "larger")
    videos = {
        name: data for name, data in tree(made / layout).items() if name.endswith((".avi", ".mp4"))
    }
    assert len(videos) >= 2 + 13 * 2
    assert {name: larger.get(name) for name in videos} == videos


def test_lists_of_split_1_never_change(made):
    lists = tree(made / "ucf101" / "ucfTrainTestlist")
    assert {
        name: hashlib.sha256(lists[name]).hexdigest()[:16]
        for name in ("classInd.txt", "trainlist01.txt", "testlist01.txt")
    } == {
        "classInd.txt": "14c0a6fc531e967a",
        "trainlist01.txt": "ec6f9f3ff25ddf2e",
        "testlist01.txt": "fe9c044807834a11",
    }


def test_pixels_of_a_clip_never_change(tmp_path):
    """Within about one level: rounding differs between processors."""
    assert small(tmp_path / "made", "ucf101", "--videos_per_class=5", "--num_frames=5") == 0
    with av.open(str(tmp_path / "made/videos/Swap/v_Swap_g01_c02.avi")) as clip:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)])
    # Mean colors of the quarters of the first and the last frame.
    found = frames[[0, -1]].reshape(2, 2, 16, 2, 16, 3).mean((2, 4))
    first = [[[158, 149, 160], [164, 156, 162]], [[156, 149, 161], [172, 150, 155]]]
    last = [[[158, 150, 157], [159, 152, 164]], [[163, 142, 147], [169, 160, 169]]]
    np.testing.assert_allclose(found, [first, last], atol=1.5)


def test_splits_without_a_test_set_have_no_lists(tmp_path):
    for layout, clips, splits in (("ucf101", 8, {1}), ("hmdb51", 9, {1, 2})):
        output = tmp_path / layout
        assert small(output, layout, f"--videos_per_class={clips}") == 0
        names = [path.name for path in output.glob("*/*.txt") if path.name != "classInd.txt"]
        assert {int(re.search(r"(\d+)\.txt", name)[1]) for name in names} == splits


def read(made, layout, split):
    if layout == "ucf101":
        splits = made / layout / "ucfTrainTestlist"
        return read_ucf101(str(made / layout / "videos"), str(splits), split)
    splits = made / layout / "testTrainMulti_7030_splits"
    return read_hmdb51(str(made / layout / "videos"), str(splits), split)


@pytest.mark.parametrize("layout", ["ucf101", "hmdb51"])
def test_reader_accepts_all_three_splits(made, layout):
    tested = []
    # Groups of 4, 4, 4 and 1 clips; split 1 tests the second, 2 the third, 3 the fourth.
    for split, of_each_class in ((1, 4), (2, 4), (3, 1)):
        dataset = drop_missing(read(made, layout, split), allow_missing=False)
        counts = Counter((video.actions[0].label, video.subset) for video in dataset.videos)
        assert counts == {
            (label, subset): of_each_class if subset == "test" else CLIPS - of_each_class
            for label in range(8)
            for subset in ("train", "test")
        }
        # Each video is in exactly one subset.
        ids = {video.id for video in dataset.videos}
        assert len(ids) == len(dataset.videos) == 8 * CLIPS
        videos = made / layout / "videos"
        assert ids == {str(path.relative_to(videos)) for path in videos.glob("*/*.avi")}
        tested.append({video.id for video in dataset.videos if video.subset == "test"})
    assert not any(one & other for one, other in combinations(tested, 2))
    assert set(dataset.classes) == (SNAKE if layout == "hmdb51" else set(CLASSES))


def test_clips_are_the_same_in_hmdb51s_layout(made):
    for theirs, ours in (
        ("swap/Two_Shapes_(02)_swap_f_nm_np2_fr_goo_3.avi", "Swap/v_Swap_g02_c04.avi"),
        (
            "part_and_meet/Two_Shapes_(01)_part_and_meet_f_nm_np2_fr_goo_0.avi",
            "PartAndMeet/v_PartAndMeet_g01_c01.avi",
        ),
    ):
        assert (made / "hmdb51/videos" / theirs).read_bytes() == (
            made / "ucf101/videos" / ours
        ).read_bytes()


def test_lists_have_the_format_of_hmdb51(made, real):
    line = re.compile(r".+_{}_[a-z]+_[cn]m_np\d_(ba|fr|le|ri)_(bad|goo|med)_\d+\.avi [012] \n")
    genuine = real / "splits" / "testTrainMulti_7030_splits"
    ours = made / "hmdb51" / "testTrainMulti_7030_splits"
    for directory, name, count in ((genuine, "clap", 130), (ours, "swap", CLIPS)):
        with open(directory / f"{name}_test_split2.txt", newline="") as file:
            found = [re.fullmatch(line.pattern.format(name), each) for each in file]
        assert len(found) == count
        assert all(found)
    assert len(list(ours.iterdir())) == 8 * 3


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        actions = [action.split() for action in row["actions"].split(";") if action]
        row["actions"] = [(name, float(start), float(end)) for name, start, end in actions]
        row["length"] = float(row["length"])
    return rows


def test_tables_have_the_format_of_charades(made, real):
    genuine = real / "splits" / "charades"
    ours = made / "charades" / "Charades"
    for name in ("Charades_v1_train.csv", "Charades_v1_test.csv"):
        lines = (ours / name).read_bytes().split(b"\r\n")
        theirs = (genuine / "Charades_v1_train.csv").read_bytes().split(b"\r\n")
        assert lines[0] == theirs[0]
        assert lines[-1] == theirs[-1] == b""
        assert not any(b"\n" in line for line in lines)
        row = rb'\w{5},\w{4},[\w ]+,\d,\d,Yes,".+",.+,.+,(c\d{3} \d+\.\d\d \d+\.\d\d;?)*,\d+\.\d\d'
        assert all(re.fullmatch(row, line) for line in lines[1:-1])
        assert re.fullmatch(row, theirs[2])
    assert (ours / "Charades_v1_classes.txt").read_bytes() == b"".join(
        f"c{number:03d} {name}\n".encode() for number, name in enumerate(CLASSES)
    )


def test_intervals_match_the_clips(made):
    rows = {
        subset: table(made / f"charades/Charades/Charades_v1_{subset}.csv")
        for subset in ("train", "test")
    }
    # 13 rows of 8 clips, one of each class; a clip lasts 4 frames, 0.5 s. The 4 rows of group 2 are
    # tested. In each row one interval ends late; in the first one more runs backwards.
    for subset, rounds, backwards in (("train", 9, 1), ("test", 4, 0)):
        found, late, reversed_ = Counter(), 0, 0
        for row in rows[subset]:
            clips = [action for action in row["actions"] if action[1] < action[2]]
            reversed_ += len(row["actions"]) - len(clips)
            found.update(name for name, _, _ in clips)
            if not clips:
                continue
            assert 2 <= len(clips) <= 4
            assert len({name for name, _, _ in clips}) == len(clips)
            assert row["length"] == 0.5 * len(clips)
            assert [start for _, start, _ in clips] == [0.5 * n for n in range(len(clips))]
            ends = [end for _, _, end in clips]
            late += ends[-1] == row["length"] + 1
            assert ends[:-1] == [0.5 * (n + 1) for n in range(len(clips) - 1)]
            assert ends[-1] in (row["length"], row["length"] + 1)
        assert found == {f"c00{label}": rounds for label in range(8)}
        assert (late, reversed_) == (rounds, backwards)
        assert sum(not row["actions"] for row in rows[subset]) == 1
    subjects = [{row["subject"] for row in rows[subset]} for subset in ("train", "test")]
    assert subjects == [{"S001", "S003", "S004"}, {"S002"}]
    ids = [row["id"] for subset in rows for row in rows[subset]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[0-9A-Z]{5}", video_id) for video_id in ids)
    assert {f"{video_id}.mp4" for video_id in ids} == {
        path.name for path in (made / "charades" / "Charades_v1_480").iterdir()
    }


def test_charades_reader_finds_every_video_and_irregularity(made):
    directory = made / "charades"
    dataset = read_charades(str(directory / "Charades_v1_480"), str(directory / "Charades"))
    counts = Counter(video.subset for video in dataset.videos)
    assert counts == {"train": 24, "test": 13}
    assert dataset.notes == {
        "train_intervals_listed": 73,
        "train_intervals_clipped": 9,
        "train_intervals_without_time": 1,
        "train_videos_without_action": 1,
        "test_intervals_listed": 32,
        "test_intervals_clipped": 4,
        "test_intervals_without_time": 0,
        "test_videos_without_action": 1,
    }
    assert drop_missing(dataset, False) == dataset


def test_still_camera():
    """The background is the same in all frames, and the shapes do not change."""
    moving, still = (
        draw_scene("Swap", 1, 1, num_frames=4, size=32, seed=0, camera=camera).astype(int)
        for camera in (0.3, 0.0)
    )
    covered = (np.ptp(still, axis=-1) > 60).any(axis=0)
    assert 0.02 < covered.mean() < 0.5
    assert (np.ptp(still, axis=0)[~covered] == 0).mean() > 0.95
    assert (np.ptp(moving, axis=0)[~covered] == 0).mean() < 0.5
    np.testing.assert_array_equal(*(np.ptp(frames, axis=-1) > 100 for frames in (moving, still)))


def test_videos_show_their_actions(made):
    rows = [
        row
        for subset in ("train", "test")
        for row in table(made / f"charades/Charades/Charades_v1_{subset}.csv")
    ]
    # The table does not name the clips of a video: take the nearest clip of the group.
    for row in rows:
        with VideoReader(str(made / "charades/Charades_v1_480" / f"{row['id']}.mp4"), 32) as reader:
            assert reader.fps == 8
            frames = np.stack(list(reader))[..., ::-1].astype(float)
        assert len(frames) == row["length"] * 8
        group = int(row["subject"][1:])
        for name, start, end in row["actions"]:
            if start > end:
                continue
            shown = frames[int(start * 8) : int(start * 8) + 4]
            errors = [
                np.mean(
                    (draw_scene(CLASSES[int(name[1:])], group, number, 4, 32, seed=0) - shown) ** 2
                )
                for number in range(1, 5)
            ]
            # Right classes give 29 dB or more here, wrong ones 25.2 or less.
            assert 10 * np.log10(255**2 / min(errors)) > 27


def test_seed_selects_other_combinations():
    def together(seed):
        return [
            [clip.class_name for clip in video.clips]
            for video in arrange_charades(CLASSES, 13, 4, seed).videos
        ]

    assert together(0) == together(0)
    assert together(0) != together(1)


def test_sizes_of_videos_of_charades():
    # Without the first two videos, which have no actions.
    sizes = Counter(len(video.clips) for video in arrange_charades(CLASSES, 375, 16, 0).videos[2:])
    assert set(sizes) == {2, 3, 4}
    assert sum(size * count for size, count in sizes.items()) == 375 * 8


@pytest.mark.parametrize("other", ["hmdb51", "charades"])
def test_another_layout_is_refused(made, capsys, other):
    before = tree(made)
    assert small(made / "ucf101", other) == 1
    assert f"was made with layout ucf101, not {other}: " in capsys.readouterr().err
    assert tree(made) == before


def test_output_of_another_running_process_is_refused(tmp_path, capsys):
    (tmp_path / "output.partial").mkdir()
    with open(tmp_path / "output.partial" / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert small(tmp_path / "output", "charades") == 1
    assert "is being made by another process" in capsys.readouterr().err
    assert not (tmp_path / "output").exists()

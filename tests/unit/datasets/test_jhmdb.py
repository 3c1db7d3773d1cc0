"""J-HMDB: its split files, and those of others in their place."""

from collections import Counter

import pytest
from builds import run
from jhmdb_lists import file_of, link_clips, write_lists

from rlstm_tf.data.manifest import Manifest
from rlstm_tf.errors import DataError
from tfrecords_tools import verify
from tfrecords_tools.datasets.jhmdb import CLASSES, COUNTS, read_jhmdb
from tfrecords_tools.datasets.subsets import add_validation


def subsets(dataset):
    return Counter(video.subset for video in dataset.videos)


@pytest.mark.parametrize("split", COUNTS)
def test_genuine_splits(real, split):
    dataset = read_jhmdb(str(real / "jhmdb/videos"), str(real / "jhmdb/splits"), split)
    train, test = {1: (660, 268), 2: (658, 270), 3: (663, 265)}[split]
    assert subsets(dataset) == {"train": train, "test": test}
    assert len({video.id for video in dataset.videos}) == 928
    assert dataset.classes == CLASSES == tuple(sorted(CLASSES))
    assert {video.actions[0].label for video in dataset.videos} == set(range(21))
    assert all(
        video.id.split("/")[0] == dataset.classes[video.actions[0].label]
        for video in dataset.videos
    )
    groups = {video.id.split("/")[1]: video.group for video in dataset.videos}
    assert groups["The_Slow_Clap_clap_u_cm_np1_fr_med_4.avi"] == "The_Slow_Clap"
    assert len({*groups.values()}) == 336
    # A film may be in both lists, with different classes.
    of_class = Counter((video.group, video.actions[0].label) for video in dataset.videos)
    sides = {(video.group, video.actions[0].label, video.subset) for video in dataset.videos}
    assert len(of_class) == len(sides)


def test_validation_takes_whole_films(real):
    listed = read_jhmdb(str(real / "jhmdb/videos"), str(real / "jhmdb/splits"), 1)
    dataset = add_validation(listed, 0.25, seed=0)
    counts = subsets(dataset)
    assert counts["test"] == 268
    assert 0.2 < counts["val"] / 660 < 0.3
    # What the protocol says of clips that the splits share.
    ids = {name: {v.id for v in dataset.videos if v.subset == name} for name in counts}
    shared = {}
    for split in (2, 3):
        other = read_jhmdb(str(real / "jhmdb/videos"), str(real / "jhmdb/splits"), split)
        tested = {video.id for video in other.videos if video.subset == "test"}
        shared[split] = len(tested - ids["test"]), len(tested & ids["val"])
    assert shared == {2: (176, 46), 3: (191, 44)}
    films = {name: {v.group for v in dataset.videos if v.subset == name} for name in counts}
    assert not films["train"] & films["val"]
    for name in ("train", "val"):
        labels = {v.actions[0].label for v in dataset.videos if v.subset == name}
        assert len(labels) == 21


@pytest.fixture
def lists(tmp_path):
    return write_lists(tmp_path / "splits")


def test_made_up_lists(lists):
    for split, counts in COUNTS.items():
        dataset = read_jhmdb(str(lists), str(lists), split)
        assert tuple(subsets(dataset).values()) == counts
        assert dataset.split == split


def test_lists_of_another_data_set(real, lists, tmp_path):
    """The classes of J-HMDB are classes of HMDB-51, too, whose files have the same names."""
    hmdb51 = real / "splits/testTrainMulti_7030_splits"
    with pytest.raises(DataError, match=r"7030_splits has lists of 'cartwheel': these are not"):
        read_jhmdb(str(tmp_path), str(hmdb51), 1)
    for name in CLASSES:
        list_name = f"{name}_test_split1.txt"
        (lists / list_name).write_bytes((hmdb51 / list_name).read_bytes())
    counts = r"split 1 has 1470 training and 630 test videos, that of J-HMDB has 660 and 268"
    with pytest.raises(DataError, match=counts):
        read_jhmdb(str(tmp_path), str(lists), 1)


def _add(lists, name, line, split=1):
    path = lists / f"{name}_test_split{split}.txt"
    path.write_text(path.read_text() + line)


def _remove(lists):
    (lists / "wave_test_split1.txt").unlink()


def _copy_to_split_4(lists):
    for name in CLASSES:
        text = (lists / f"{name}_test_split1.txt").read_text()
        (lists / f"{name}_test_split4.txt").write_text(text)


@pytest.mark.parametrize(
    ("change", "split", "message"),
    [
        (lambda it: _add(it, "run", f"{file_of('run', 0)} 2\n"), 1, r"listed twice \(train and te"),
        (lambda it: _add(it, "run", "new.avi 1\n"), 1, "has 661 training and 268 test videos"),
        (lambda it: _add(it, "run", "new.avi 3\n"), 1, "must be a file name and 0, 1 or 2"),
        (lambda it: _add(it, "run", "../new.avi 1\n"), 1, "lists 'run/../new.avi': a name"),
        (_remove, 1, "splits lacks the list of 'wave': these are not the 21 classes of J-HMDB"),
        (_copy_to_split_4, 4, "splits has a split 4: J-HMDB has 1, 2, 3"),
        (lambda it: None, 5, r"no file \*_test_split5.txt in "),
    ],
)
def test_refused(lists, change, split, message):
    change(lists)
    with pytest.raises(DataError, match=message) as caught:
        read_jhmdb(str(lists), str(lists), split)
    assert "\n" not in str(caught.value)


def test_missing_and_broken_clips(lists, make_video, tmp_path, capfd):
    for name, clip in (("run", 0), ("run", 40), ("walk", 0), ("walk", 1), ("walk", 40)):
        make_video(tmp_path / "videos" / name / file_of(name, clip), frames=4)
    broken = tmp_path / "videos/wave" / file_of("wave", 0)
    broken.parent.mkdir()
    broken.write_bytes(b"no video")
    given = [
        *("--dataset=jhmdb", "--split=1", f"--splits={lists}", f"--videos={tmp_path}/videos"),
        *(f"--output={tmp_path}/new", "--shards=1", "--workers=1", "--short_side=32"),
    ]
    status, _, errors = run(capfd, *given)
    assert (status, len(errors)) == (1, 1)
    assert "922 of 928 listed videos are missing: brush_hair/Film_0_brush" in errors[0]
    status, out, errors = run(capfd, *given, "--allow_missing")
    assert status == 1
    assert errors[0].startswith("damaged: wave/Film_0_wave_u_nm_np1_fr_med_0.avi: ")
    assert errors[1].startswith(f"error: damaged videos left out of {tmp_path}/new: 1; ")
    assert "922 listed videos are missing" in out
    manifest = Manifest.load(f"{tmp_path}/new")
    assert (manifest.dataset, manifest.split, len(manifest.classes)) == ("jhmdb", 1, 21)
    assert {name: it.videos for name, it in manifest.subsets.items()} == {"train": 3, "test": 2}


def test_genuine_clips(real, tmp_path, capfd):
    """Another split takes the images of the first; a part of the training list is held out."""
    videos = link_clips(real, tmp_path / "videos", 8)
    given = [
        *("--dataset=jhmdb", f"--videos={videos}", f"--splits={real}/jhmdb/splits"),
        *("--shards=1", "--workers=1", "--short_side=64", "--allow_missing"),
    ]
    first, second = f"{tmp_path}/1", f"{tmp_path}/2"
    assert run(capfd, *given, "--split=1", f"--output={first}")[0] == 0
    more = ("--split=2", "--val_share=0.25", f"--reuse={first}", f"--output={second}")
    assert run(capfd, *given, *more)[0] == 0
    found = [Manifest.load(place) for place in (first, second)]
    assert [sum(it.videos for it in one.subsets.values()) for one in found] == [8, 8]
    frames = [sum(it.frames for it in one.subsets.values()) for one in found]
    assert frames[0] == frames[1]
    assert 8 * 15 <= frames[0] <= 8 * 40
    assert run(capfd, second, "--decode", program=verify)[0] == 0

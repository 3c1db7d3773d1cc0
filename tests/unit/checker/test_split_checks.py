"""What verify warns of: exit status 0, lines `warning: ...` on standard output."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from builds import arguments, run
from small_shards import write_shards

from rlstm_tf.data import schema
from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.shards import Shards
from tfrecords_tools import verify


def warnings(capfd, directory):
    status, out, errors = run(capfd, str(directory), program=verify)
    assert (status, errors) == (0, [])
    return [line for line in out.splitlines() if line.startswith("warning")]


@pytest.fixture
def build_list(make_video, tmp_path, capfd):
    """Builds from rows of a list; returns the directory and the lines of warnings.

    Videos that the rows name are made, all different; `copies` are of the first.
    """

    def build(content, *more, copies=()):
        rows = [line.split(",") for line in content.strip().splitlines()]
        place = rows[0].index("path")
        for number, name in enumerate(dict.fromkeys(row[place] for row in rows[1:])):
            if name in copies:
                shutil.copy(tmp_path / rows[1][place], tmp_path / name)
            else:
                make_video(tmp_path / name, frames=20, seed=number)
        (tmp_path / "list.csv").write_text(content)
        directory = tmp_path / "shards"
        status, out, errors = run(capfd, *arguments(tmp_path / "list.csv", directory, *more))
        assert (status, errors) == (0, [])
        return directory, [line for line in out.splitlines() if line.startswith("warning")]

    return build


def rows(*values):
    return "\n".join(values) + "\n"


def test_equal_files_in_train_and_test(build_list, capfd):
    content = [f"{n}.mp4,run,train" for n in range(5)] + ["again.mp4,run,test", "5.mp4,run,test"]
    directory, at_build = build_list(
        rows("path,label,subset", *content), copies=["again.mp4", "3.mp4"]
    )
    assert at_build == []
    assert warnings(capfd, directory) == [
        "warning: equal files in several subsets: 0.mp4 (train) and again.mp4 (test)"
    ]


def test_equal_files_with_different_labels(build_list, capfd):
    content = [f"{n}.mp4,{'sit' if n > 4 else 'run'},train" for n in range(10)]
    directory, at_build = build_list(rows("path,label,subset", *content), copies=["3.mp4", "9.mp4"])
    assert at_build == []
    assert warnings(capfd, directory) == [
        "warning: equal files with different labels: 0.mp4 (run) and 9.mp4 (sit)"
    ]


def test_classes_of_few_videos(build_list, capfd):
    content = [f"{n}.mp4,run,train" for n in range(5)] + ["a.mp4,run,test", "b.mp4,sit,train"]
    directory, at_build = build_list(rows("path,label,subset", *content))
    untested = "warning: classes without a test video: 1 of 2 (sit)"
    assert at_build == [untested]
    assert warnings(capfd, directory) == [
        untested,
        "warning: classes with fewer than 5 training videos: 1 of 2 (sit: 1)",
    ]


def test_clips_of_one_recording(build_list, capfd):
    content = [f"kitchen_take{n}.mp4,run" for n in range(7)]
    directory, at_build = build_list(rows("path,label", *content))
    assert len(at_build) == 1
    assert "clips of one recording in several subsets: kitchen_take" in at_build[0]
    assert warnings(capfd, directory) == at_build


def test_groups_that_the_list_splits(build_list, capfd):
    content = [f"{n}.mp4,run,train,{n}" for n in range(5)] + ["5.mp4,run,test,3"]
    directory, at_build = build_list(rows("path,label,subset,group", *content))
    expected = "warning: clips of one recording in several subsets: 3.mp4 (train) and 5.mp4 (test)"
    assert at_build == [expected]
    assert warnings(capfd, directory) == [expected]


def test_groups_that_are_whole(build_list, capfd):
    content = [f"x{n}_take{part}.mp4,run" for n in range(4) for part in (1, 2)]
    directory, at_build = build_list(rows("path,label", *content), r"--group_by=x\d")
    assert at_build == []
    assert warnings(capfd, directory) == []
    assert Manifest.load(str(directory)).settings["group_by"] == r"x\d"
    # Repair lists the videos in the same way.
    (directory / schema.SOURCES).unlink()
    videos = f"--videos={directory.parent / 'list.csv'}"
    assert run(capfd, str(directory), "--repair", videos, program=verify)[0] == 0


def test_shards_of_version_0_1_0(tmp_path, capfd):
    """Without a record of the files, names alone tell."""
    write_shards(tmp_path, [3] * 9)
    assert warnings(capfd, tmp_path) == [
        "warning: classes with fewer than 5 training videos: 3 of 3 "
        "(approach: 3, recede: 3, swap: 3)"
    ]


def test_several_labels_and_intervals(build_list, capfd):
    """A video is stored once; a sample for each label, of the frames of its interval."""
    # 20 frames at 25 a second.
    directory, at_build = build_list(
        rows(
            "path,label,subset,start,end",
            *("a.mp4,run,train,0,0.2", "a.mp4,sit,train,0.4,0.6", "a.mp4,eat;sit,train,0.5,99"),
            *("b.mp4,eat,train,,", "b.mp4,run,train,7,8", "c.mp4,run,test,0.1,0.3"),
        )
    )
    assert at_build == [
        "warning: classes without a test video: 2 of 3 (eat, sit)",
        "warning: an interval after the end of its video has no sample; start is in seconds",
    ]
    manifest = Manifest.load(str(directory))
    assert manifest.multi_label
    assert manifest.classes == ("eat", "run", "sit")
    assert manifest.notes == {"labels_without_sample": 1}
    assert (manifest.subsets["train"].videos, manifest.subsets["train"].samples) == (2, 5)
    found = {}
    for shard in manifest.subsets["train"].shards:
        records = np.load(schema.records_path(str(directory), shard.name))
        for video, *sample in np.load(schema.samples_path(str(directory), shard.name)).tolist():
            found.setdefault(records["id"][video], []).append(tuple(sample))
    assert found == {
        b"a.mp4": [(1, 0, 5), (2, 10, 5), (0, 12, 8), (2, 12, 8)],
        b"b.mp4": [(0, 0, 20), (1, 0, 0)],
    }
    test = Shards.open(str(directory), "test")
    assert test.ids == ["c.mp4"]
    assert warnings(capfd, directory)[1:] == [
        "warning: classes with fewer than 5 training videos: 3 of 3 (eat: 2, run: 2, sit: 1)"
    ]

"""`kill -9` while videos are added to finished shards: the shards of before stay valid."""

from __future__ import annotations

import random
import shutil

import pytest
from build_processes import Build
from builds import files

from rlstm_tf.data.manifest import Manifest
from tfrecords_tools.checker.checks import find_problems


@pytest.fixture(scope="module")
def more_videos(videos, make_video, tmp_path_factory):
    """The videos, of which one is changed and three are new, of which one is damaged."""
    directory = tmp_path_factory.mktemp("more") / "videos"
    shutil.copytree(videos, directory)
    make_video(directory / "c0/0.mp4", frames=4, size=(40, 32), seed=20)
    for seed in (21, 22):
        make_video(directory / f"c1/{seed}.mp4", frames=4, size=(40, 32), seed=seed)
    (directory / "c1/23.mp4").write_bytes(b"text")
    return directory


def arguments(videos, directory):
    return [
        *("--dataset=folder", f"--videos={videos}", f"--output={directory}", "--test_share=0.25"),
        *("--short_side=32", "--shards=3", "--workers=2", "--max_bad_videos=1"),
    ]


def test_killed_at_points_of_every_phase(videos, more_videos, tmp_path, times, survived):
    assert Build(arguments(videos, tmp_path / "before")).status() == 0
    shutil.copytree(tmp_path / "before", tmp_path / "whole")
    given = [*arguments(more_videos, tmp_path / "whole"), "--add"]
    left_alone = Build(given)
    assert left_alone.status() == 0
    expected = files(tmp_path / "whole")
    old, new = (Manifest.load(str(tmp_path / name)) for name in ("before", "whole"))
    assert set(new.shards) & set(old.shards)
    draw = random.Random(0)
    count, kills = times(12, 3), 0
    for number in range(count):
        directory = tmp_path / str(number)
        shutil.copytree(tmp_path / "before", directory)
        given = [*arguments(more_videos, directory), "--add"]
        build = Build(given, 1 + int((number + draw.random()) * left_alone.touches / count))
        if build.held() is None:
            # It touched fewer files this time.
            assert build.status() == 0
        else:
            build.kill(alone=draw.random() < 0.5)
            kills += 1
        manifest = Manifest.load(str(directory))
        assert manifest in (old, new)
        assert find_problems(str(directory), manifest, True) == {}
        assert Build(given).status() == 0
        assert files(directory) == expected
        assert not (directory / ".build").exists()
    assert kills >= count - 1
    survived(1, kills)

"""Flipped bytes in the working files of a killed build never reach the shards."""

from __future__ import annotations

import random
import re
import shutil
from pathlib import Path

import pytest
from build_processes import Build, check_is_part_of
from builds import arguments, files

# File about to be written when the build is killed.
LAST = [
    "train-00000-of-00002.tfrecord",
    "train-00001-of-00002.tfrecord",
    "test-00000-of-00001.samples.npy",
]


@pytest.fixture(scope="module")
def videos(own, tmp_path_factory):
    """The videos of `own`, and a damaged one."""
    directory = tmp_path_factory.mktemp("work") / "videos"
    shutil.copytree(own, directory)
    (directory / "walk/broken.mp4").write_bytes(b"text")
    return directory


def test_flipped_bytes_in_the_work_of_a_build(videos, tmp_path, times, survived):
    def given(name):
        return [*arguments(videos, tmp_path / str(name)), "--max_bad_videos=1"]

    assert Build(given("whole")).status() == 0
    expected = files(tmp_path / "whole")
    draw = random.Random(0)
    count, refused = times(24, 2), 0
    for name in LAST[:count]:
        build = Build(given(name), ("open", f"{name}.partial"))
        assert build.held()
        build.kill(alone=False)
    for number in range(count):
        directory = tmp_path / str(number)
        shutil.copytree(tmp_path / LAST[number % 3], directory)
        work = directory / ".build"
        # The number of partial files depends on the time of the kill; they are deleted unread.
        counts = [path for path in work.iterdir() if path.suffix != ".partial"]
        path = draw.choice(sorted(path for path in counts if path.stat().st_size))
        content = bytearray(path.read_bytes())
        content[draw.randrange(len(content))] ^= draw.randrange(1, 256)
        path.write_bytes(content)
        again = Build(given(number))
        if again.status() == 1:
            refused += 1
            (line,) = again.errors()
            named = re.match(r"error: (/[^:]*?)( was| is| has| holds| lacks|:)", line).group(1)
            assert named in (str(path), str(directory)), line
            check_is_part_of(directory, expected)
            # Delete what the error names.
            if path.name == "plan.json":
                shutil.rmtree(directory)
            else:
                what = re.search(r"delete (\S+)", line).group(1)
                Path(str(path) if what == "it" else what).unlink()
            once_more = Build(given(number))
            assert once_more.status() == 0, (line, once_more.errors())
        assert files(directory) == expected
    assert count < 20 or refused > count / 2
    survived(4, count)

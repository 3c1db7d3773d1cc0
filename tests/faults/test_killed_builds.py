"""`kill -9` during builds: finished files are complete, and the same command resumes."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from functools import cache

import pytest
from build_processes import Build, check_is_part_of
from builds import files
from repository import ROOT

STREAMS = {"spatial": [], "temporal": ["--stream=temporal", "--flow=dis"]}


@pytest.fixture(scope="module")
def whole(videos, tmp_path_factory):
    """A function: stream -> files of an undisturbed build, and the number of file accesses."""
    directory = tmp_path_factory.mktemp("whole")

    @cache
    def build(stream):
        left_alone = Build(arguments(videos, directory / stream, stream))
        assert left_alone.status() == 0
        return files(directory / stream), left_alone.touches

    return build


def arguments(videos, directory, stream):
    return [
        *("--dataset=folder", f"--videos={videos}", f"--output={directory}", "--test_share=0.25"),
        *("--short_side=32", "--shards=3", "--workers=2", *STREAMS[stream]),
    ]


@pytest.mark.parametrize("stream", STREAMS)
def test_killed_at_points_of_every_phase(videos, whole, tmp_path, times, survived, stream):
    expected, touches = whole(stream)
    draw = random.Random(stream)
    count, kills, held = times(16, 2), 0, []
    for number in range(count):
        directory = tmp_path / str(number)
        given = arguments(videos, directory, stream)
        # One point in each of `count` equal parts of the build; every third build is killed again.
        points = [1 + int((number + draw.random()) * touches / count)]
        points += [1 + draw.randrange(touches // 2)] * (number % 3 == 2)
        killed = []
        for point in points:
            build = Build(given, point)
            held.append(build.held())
            if held[-1] is None:
                assert build.status() == 0
                break
            build.kill(alone=draw.random() < 0.5)
            killed.append(build)
            kills += 1
            check_is_part_of(directory, expected)
        # The lock is free at once, whatever the workers of the killed builds still do.
        assert Build(given).status() == 0
        assert files(directory) == expected
        assert [path.name for path in directory.iterdir() if path.is_dir()] == []
        while any(build.has_living_processes() for build in killed):
            time.sleep(0.01)
        assert [path.name for path in directory.iterdir() if path.is_dir()] == []
    assert kills >= count
    places = [place for _, place in filter(None, held)]
    for part in ("/.build/0", "/.build/train-", "/.build/test-"):
        assert count < 20 or any(part in place for place in places)
    survived(1, kills)


@pytest.mark.parametrize(
    ("point", "is_complete", "alone"),
    [
        (("os.rename", "test-00000-of-00001.samples.npy.partial"), False, True),
        (("os.rename", "manifest.json.partial"), False, False),
        (("os.rmdir", ".build"), True, False),
    ],
)
def test_killed_beside_the_last_steps(videos, whole, tmp_path, survived, point, is_complete, alone):
    given = arguments(videos, tmp_path / "killed", "spatial")
    build = Build(given, point)
    assert build.held()
    build.kill(alone)
    assert (tmp_path / "killed/manifest.json").exists() == is_complete
    assert Build(given).status() == 0
    assert files(tmp_path / "killed") == whole("spatial")[0]
    assert not (tmp_path / "killed/.build").exists()
    survived(1, 1)


def test_killed_at_any_time(videos, whole, tmp_path, times, survived):
    """Kills the real command, at any time since its start."""
    command = [sys.executable, "-m", "tfrecords_tools.build"]

    def start(directory):
        return subprocess.Popen(
            [*command, *arguments(videos, directory, "spatial")],
            cwd=ROOT,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    count = times(6, 0)
    if not count:
        pytest.skip("with --thorough; tests/faults/test_build_faults.py kills the command once")
    expected, _ = whole("spatial")
    began = time.monotonic()
    assert start(tmp_path / "first").wait() == 0
    seconds = time.monotonic() - began
    assert files(tmp_path / "first") == expected
    draw = random.Random(0)
    kills = ended = 0
    while kills < count:
        directory = tmp_path / f"killed{ended}"
        process = start(directory)
        time.sleep(seconds * draw.random())
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        else:
            # Too late: it has ended. Kill the next ones earlier.
            assert files(directory) == expected
            ended += 1
            seconds *= 0.7
        process.wait()
        if directory.exists():
            check_is_part_of(directory, expected)
    assert start(directory).wait() == 0
    assert files(directory) == expected
    assert not (directory / ".build").exists()
    survived(1, kills)

"""Two builds at once in one directory: the second is refused, and nothing mixes."""

from __future__ import annotations

import random

import pytest
from build_processes import Build, check_is_part_of
from builds import arguments, files, run

from tfrecords_tools import verify


def test_second_build_is_refused_at_any_point_of_the_first(own, tmp_path, times, survived, capfd):
    whole = Build(arguments(own, tmp_path / "whole"))
    assert whole.status() == 0
    expected = files(tmp_path / "whole")
    draw = random.Random(1)
    # From the lock to the manifest of the first build.
    count, first, end = times(20, 2), 10, whole.touches - 25
    for number in range(count):
        directory = tmp_path / str(number)
        point = first + int((number + draw.random()) * (end - first) / count)
        build = Build(arguments(own, directory), point)
        assert build.held()
        for more in ([], ["--short_side=48"]):
            second = Build(arguments(own, directory, *more))
            assert second.status() == 1
            assert second.errors() == [f"error: {directory} is in use by another build"]
        # Verifying meanwhile fails, and does not disturb the build.
        status, _, errors = run(capfd, str(directory), program=verify)
        assert status == 1
        assert errors[0].startswith(f"error: no shards in {directory}: ")
        check_is_part_of(directory, expected)
        build.go_on()
        assert build.status() == 0
        assert files(directory) == expected
    survived(12, 2 * count)


@pytest.mark.parametrize("point", [("os.mkdir", ".build"), ("open", "lock"), ("fcntl.flock", "")])
@pytest.mark.parametrize("more", [[], ["--short_side=48"]])
def test_first_build_ends_while_the_second_starts(own, tmp_path, survived, point, more):
    """The second has seen no manifest, and takes the lock after the first has released it."""
    directory = tmp_path / "shards"
    last = "os.rename", "manifest.json.partial"
    first = Build(arguments(own, directory), last)
    assert first.held()
    second = Build(arguments(own, directory, *more), point)
    assert second.held()
    first.go_on()
    assert first.status() == 0
    before = files(directory)
    second.go_on()
    # The lock's directory is gone, or the build is complete, or has other settings.
    assert second.status() == (1 if more or point[0] != "os.mkdir" else 0)
    assert len(second.errors()) == second.status()
    assert files(directory) == before
    assert not (directory / ".build").exists()
    survived(12, 1)


def test_verify_while_a_build_deletes_its_work(own, tmp_path, survived, capfd):
    build = Build(arguments(own, tmp_path / "shards"), ("os.rmdir", ".build"))
    assert build.held()
    assert run(capfd, str(tmp_path / "shards"), "--decode", program=verify)[0] == 0
    build.go_on()
    assert build.status() == 0
    survived(12, 1)

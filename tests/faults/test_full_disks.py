"""Builds on full disks: one error line; with more room, the same bytes."""

from __future__ import annotations

import contextlib
import re
from functools import partial

import pytest
from build_processes import Build, check_is_part_of
from builds import arguments, files
from jobs import plan_of, start_and_kill
from small_disks import mounted

from rlstm_tf.errors import DataError
from tfrecords_tools.builder import distributed_build

KINDS = {
    "plan": r"\.build/plan\.json$",
    "decoded": r"\.build/\d{7}(\.jpegs|\.json|)$",
    "shard": r"(train|test)-\d{5}-of-\d{5}\.tfrecord$",
    "manifest": r"/manifest\.json$",
    "directory": r"/shards(/\.build/lock)?$",
}
FULL = r"No space left on device \(\d+\.\d MB free\)"


def kind_of(line, reason):
    """Returns the kind of file that could not be written, from the error."""
    path = re.fullmatch(rf"error: cannot write (/.*): {reason}", line).group(1)
    return next(kind for kind, pattern in KINDS.items() if re.search(pattern, path))


@pytest.fixture(scope="module")
def whole(own, tmp_path_factory):
    """The files of a build with enough room."""
    directory = tmp_path_factory.mktemp("whole")
    assert Build(arguments(own, directory / "shards")).status() == 0
    return files(directory / "shards")


def check_resumes(own, directory, whole, build, reason, make_room):
    """Runs a build without room, resumes it with room; returns the file kind that did not fit."""
    if build.status() == 0:
        assert files(directory) == whole
        return None
    (line,) = build.errors()
    check_is_part_of(directory, whole)
    # A shard with a record is finished.
    done = {
        path: path.stat().st_mtime_ns
        for note in directory.glob(".build/t*.json")
        for path in directory.glob(f"{note.stem}.*")
    }
    make_room()
    again = Build(arguments(own, directory))
    assert again.status() == 0, again.errors()
    assert files(directory) == whole
    assert not (directory / ".build").exists()
    assert done == {path: path.stat().st_mtime_ns for path in done}
    return kind_of(line, reason)


def spread(numbers, count):
    """Selects `count` numbers at equal distances, with the first and the last."""
    return sorted({numbers[round(n * (len(numbers) - 1) / (count - 1))] for n in range(count)})


@pytest.mark.parametrize("limit", ["size", "nr_inodes"])
def test_full_disk(own, whole, tmp_path, times, survived, limit):
    """Too few bytes, and too few files."""
    # A file takes whole pages. At most, all decoded videos and all shards exist at once.
    pages = 2 * sum(-(-len(content) // 4096) for content in whole.values())
    steps = {
        "size": [f"{4 * number}k" for number in spread(range(1, pages * 3 // 4), times(20, 2))],
        "nr_inodes": [str(number) for number in spread(range(2, 24), times(22, 2))],
    }[limit]
    kinds = []
    for number, step in enumerate(steps):
        with mounted(tmp_path / str(number)) as remount:
            remount(f"{limit}={step}")
            directory = tmp_path / str(number) / "shards"
            build = Build(arguments(own, directory))
            more = partial(remount, f"{limit}=100m")
            kinds.append(check_resumes(own, directory, whole, build, FULL, more))
    assert kinds[0]
    survived(7, len(kinds) - kinds.count(None))


def test_disk_that_fills_up_before_a_file(own, whole, tmp_path, times, survived):
    # Before the last shard, a decoded video may not fit.
    points = [
        ("open", "manifest.json.partial", {"manifest"}),
        ("open", "test-00000-of-00001.samples.npy.partial", {"shard"}),
        ("open", "train-00000-of-00002.tfrecord.partial", {"shard", "decoded"}),
        ("open", "train-00000-of-00002.frames.npy.partial", {"shard", "decoded"}),
        ("fcntl.flock", "", {"plan"}),
    ][: times(5, 2)]
    for number, (*point, kinds) in enumerate(points):
        with mounted(tmp_path / str(number)) as remount:
            remount("size=1m")
            directory = tmp_path / str(number) / "shards"
            build = Build(arguments(own, directory), tuple(point))
            assert build.held()
            filler = tmp_path / str(number) / "filler"
            fill(filler)
            build.go_on()
            assert check_resumes(own, directory, whole, build, FULL, filler.unlink) in kinds
    survived(7, len(points))


def fill(path):
    """Fills the disk."""
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_limited_file_size(own, whole, tmp_path, times, survived):
    """With a process limit on file sizes, which needs no root."""
    largest = max(map(len, whole.values()))
    sizes = [int(256 * (largest / 256) ** (n / 32)) for n in range(33)]
    kinds = []
    for size in spread(sizes, times(20, 3)):
        directory = tmp_path / str(size)
        build = Build(arguments(own, directory), file_size=size)
        reason = "File too large"
        kinds.append(check_resumes(own, directory, whole, build, reason, lambda: None))
    assert len(kinds) < 20 or {"plan", "decoded", "shard"} <= set(kinds)
    survived(7, len(kinds) - kinds.count(None))


def test_full_disk_under_the_output_of_a_job(own, tmp_path, survived):
    """TensorFlow copies the files there, and raises its own errors."""
    with mounted(tmp_path / "small") as remount:
        remount("size=1m")
        plan, output = plan_of(own), str(tmp_path / "small/shards")
        job, listings = start_and_kill(plan, output)
        fill(tmp_path / "small/filler")
        with pytest.raises(DataError, match=FULL):
            distributed_build.build_shard(job, listings[0])
        assert not list((tmp_path / "small").rglob("*.partial"))
    survived(7, 1)

"""Unwritable outputs are refused before anything is decoded; the error names the path."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest
from build_processes import Build
from builds import arguments, files
from small_disks import mounted


def refused(own, directory):
    """Runs a build that must be refused at once; returns its error."""
    build = Build(arguments(own, directory))
    assert build.status() == 1
    (line,) = build.errors()
    assert "videos/s" not in build.printed
    return line


def test_something_else_in_the_way(own, tmp_path, survived):
    (tmp_path / "file").write_text("thesis")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/.build").write_text("thesis")
    (tmp_path / "locked/.build/lock").mkdir(parents=True)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere/else")
    lines = {
        "file": "{} is a file; --output must be a directory",
        "file/new": "cannot write {}: Not a directory",
        "file/new/newer": "cannot write {}: Not a directory",
        "work": "cannot write {}: File exists",
        "locked": "cannot write {}/.build/lock: Is a directory",
        "dangling": "cannot write {}: No such file or directory",
        "x" * 300: "cannot write {}: File name too long",
        "/proc/self/new": "cannot write {}: No such file or directory",
    }
    before = sorted(tmp_path.rglob("*"))
    for name, line in lines.items():
        output = str(tmp_path / name)
        assert refused(own, output) == "error: " + line.format(output)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "thesis"
    survived(13, len(lines))


def test_read_only_file_system(own, tmp_path, survived):
    reason = os.strerror(errno.EROFS)
    with mounted(tmp_path / "disk") as remount:
        disk = tmp_path / "disk"
        begun = Build(
            arguments(own, disk / "begun"), ("open", "train-00000-of-00002.tfrecord.partial")
        )
        assert begun.held()
        begun.kill(alone=False)
        assert Build(arguments(own, disk / "complete")).status() == 0
        whole, half = files(disk / "complete"), files(disk / "begun/.build")
        remount("ro")
        for name in ("new", "new/newer", "begun"):
            line = refused(own, disk / name)
            assert line == f"error: cannot write {disk / name}: {reason}"
        # A complete build writes nothing.
        assert Build(arguments(own, disk / "complete")).status() == 0
        assert files(disk / "complete") == whole
        assert files(disk / "begun/.build") == half
        remount("rw")
        assert Build(arguments(own, disk / "begun")).status() == 0
        assert files(disk / "begun") == whole
    survived(13, 3)


def test_directory_that_may_not_be_written(own, tmp_path, survived):
    """Skipped for root, who may write everywhere."""
    (tmp_path / "new").mkdir()
    (tmp_path / "begun/.build").mkdir(parents=True)
    (tmp_path / "begun/.build/plan.json").write_text("{}")
    for name in ("new", "begun"):
        (tmp_path / name).chmod(0o555)
    if os.access(tmp_path / "new", os.W_OK):
        pytest.skip("is root, who may write everywhere")
    for name in ("new", "begun"):
        line = refused(own, tmp_path / name)
        assert line == f"error: cannot write {tmp_path / name}: {os.strerror(errno.EACCES)}"
        (tmp_path / name).chmod(0o755)
    survived(13, 2)


def test_directory_that_is_immutable(own, tmp_path, survived):
    """The work directory is writable, the output is not: noticed before the work."""
    (tmp_path / "begun/.build").mkdir(parents=True)
    (tmp_path / "begun/.build/plan.json").write_text("{}")
    command = ["chattr", "+i", str(tmp_path / "begun")]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs chattr")
    if done.returncode:
        pytest.skip(f"may not be made immutable: {done.stderr.decode().strip()}")
    try:
        line = refused(own, tmp_path / "begun")
    finally:
        subprocess.run(["chattr", "-i", command[-1]], check=True)
    assert line.startswith(f"error: cannot write {tmp_path}/begun: ")
    survived(13, 1)

"""Exports that are killed, have no room, or are two: a server sees whole versions alone."""

from __future__ import annotations

import fcntl
import random
import re
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf
from exports import run_export, videos
from small_disks import mounted
from warm_python import Python

from rlstm_tf.errors import DataError
from rlstm_tf.serving.artifact import ModelMetadata, list_versions, load_signatures
from rlstm_tf.serving.versions import new_version, publish


def start(run, directory):
    return Python(["-m", "rlstm_tf.export", f"--run_dir={run.path}", f"--output={directory}"])


def check_whole(run, directory):
    """Checks that every version answers as the checkpoint, and nothing else looks like one."""
    for version in list_versions(directory).values():
        assert ModelMetadata.read(version).checkpoint
        found = load_signatures(version)["serving_default"](frames=tf.constant(videos(1)))
        np.testing.assert_allclose(found["logits"], run.model(videos(1)).numpy(), atol=1e-4)
        assert (version / "assets.extra" / "tf_serving_warmup_requests").stat().st_size
    others = {path.name for path in directory.iterdir()} - {
        str(n) for n in list_versions(directory)
    }
    assert others <= {".lock", "new.partial"}


def test_killed_at_any_moment(small_run, tmp_path, times, survived):
    """At a moment drawn for each, from its first file to just before the rename and after it."""
    directory = tmp_path / "small"
    rng = random.Random(0)
    kills = times(12, 2)
    for number in range(kills):
        before = list_versions(directory)
        process = start(small_run, directory)
        partial = directory / "new.partial"
        waited = time.monotonic() + 120
        # A killed one's is there already: what counts is that it is begun anew.
        old = partial.stat().st_ino if partial.exists() else None
        while time.monotonic() < waited and process.poll() is None:
            if partial.exists() and partial.stat().st_ino != old:
                break
            time.sleep(0.01)
        stage = number % 4
        if stage:
            wanted = ("saved_model.pb", "fingerprint.pb", "assets.extra")[stage - 1]
            while process.poll() is None and not (partial / wanted).exists():
                time.sleep(0.002)
        time.sleep(rng.random() * (0.2, 0.3, 0.5, 3.0)[stage])
        process.kill()
        process.communicate()
        check_whole(small_run, directory)
        assert set(before) <= set(list_versions(directory))
    process = start(small_run, directory)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    check_whole(small_run, directory)
    assert not (directory / "new.partial").exists()
    survived(1, kills)


def test_the_second_of_two_is_refused(small_run, tmp_path, capsys, survived):
    directory = tmp_path / "small"
    with new_version(directory) as partial:
        (partial / "theirs").write_bytes(b"1")
        assert run_export(f"--run_dir={small_run.path}", f"--output={directory}") == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert error == f"error: {directory} is in use by another export"
        assert publish(partial) == directory / "1"
    assert sorted(path.name for path in (directory / "1").iterdir()) == ["theirs"]
    survived(12, 1)


def test_two_processes_at_once(small_run, tmp_path, survived):
    """Each writes a version of its own, or is told of the other."""
    directory = tmp_path / "small"
    both = [start(small_run, directory) for _ in range(2)]
    outputs = [process.communicate()[0] for process in both]
    written = sum(process.returncode == 0 for process in both)
    assert written >= 1
    assert len(list_versions(directory)) == written
    for process, output in zip(both, outputs):
        assert process.returncode == 0 or "is in use by another export" in output
    check_whole(small_run, directory)
    survived(12, 1)


def test_a_version_that_appears_meanwhile_is_not_touched(tmp_path):
    """Put there by something that knows nothing of the lock."""
    directory = tmp_path / "small"
    with new_version(directory) as partial:
        (directory / "1").mkdir()
        (directory / "1" / "theirs").write_bytes(b"1")
        assert publish(partial) == directory / "2"
    assert (directory / "1" / "theirs").exists()


def test_what_a_killed_export_left_is_cleared(tmp_path):
    partial = tmp_path / "small" / "new.partial"
    partial.mkdir(parents=True)
    (partial / "half").write_bytes(b"1")
    with new_version(tmp_path / "small") as path:
        assert path == partial
        assert list(path.iterdir()) == []
    assert not partial.exists()


def test_a_lock_that_is_deleted_before_it_is_locked(tmp_path, monkeypatch):
    """By an export that failed; a third one has made its own, and is at work."""
    directory = tmp_path / "small"
    directory.mkdir()

    def late(lock, operation):
        (directory / ".lock").unlink()
        (directory / ".lock").touch()
        real(lock, operation)

    real = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(DataError, match="in use by another"), new_version(directory):
        pass
    assert [path.name for path in directory.iterdir()] == [".lock"]


def test_a_full_disk(small_run, tmp_path, capsys, times, survived):
    disk = tmp_path / "disk"
    with mounted(disk) as remount:
        assert run_export(f"--run_dir={small_run.path}", f"--output={disk / 'small'}") == 0
        size = sum(path.stat().st_size for path in (disk / "small" / "1").rglob("*"))
        used = shutil.disk_usage(disk).used
        shares = [0.05, 0.3, 0.6, 0.9][:: times(1, 2)]
        for share in shares:
            remount(f"size={(used + int(share * size)) // 4096 * 4}k")
            capsys.readouterr()
            assert run_export(f"--run_dir={small_run.path}", f"--output={disk / 'small'}") == 1
            (line,) = capsys.readouterr().err.splitlines()[-1:]
            where = re.escape(str(disk / "small"))
            assert re.match(rf"error: cannot write {where}.*No space left on device", line), line
            assert re.search(r"\(\d+\.\d MB free\)", line)
            assert sorted(list_versions(disk / "small")) == [1]
            assert not (disk / "small" / "new.partial").exists()
        remount("size=100m")
        assert run_export(f"--run_dir={small_run.path}", f"--output={disk / 'small'}") == 0
        check_whole(small_run, disk / "small")
        survived(7, len(shares))


def test_not_writable(small_run, tmp_path, capsys, survived):
    def refused(output, message):
        capsys.readouterr()
        assert run_export(f"--run_dir={small_run.path}", f"--output={output}") == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith(f"error: cannot write {output}")
        assert message in error

    file = tmp_path / "file"
    file.write_bytes(b"1")
    refused(file, "File exists")
    refused(file / "small", "Not a directory")
    with mounted(tmp_path / "disk") as remount:
        remount("ro")
        refused(tmp_path / "disk" / "small", "Read-only file system")
    survived(13, 3)

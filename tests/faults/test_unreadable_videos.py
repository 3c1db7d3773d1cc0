"""Unreadable videos and killed decoders do not make a video count as damaged."""

from __future__ import annotations

import multiprocessing.spawn
import os
import shutil

import failing_decoders
import pytest
from builds import arguments, files, run
from jobs import plan_of, remote_files, run_job

from rlstm_tf import worker_pool
from rlstm_tf.data.manifest import Manifest
from rlstm_tf.errors import DataError
from tfrecords_tools.builder import decoded_video
from tfrecords_tools.builder.decoded_video import DecodeTask

VIDEO = "run <b>é/3.mp4"


def marked(directory):
    return list(directory.rglob("*.damaged"))


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        ("no_files", "Too many open files"),
        ("no_right", "Permission denied"),
        ("unmounted", "No such file or directory"),
    ],
)
def test_refusal_by_the_system_is_not_damage(
    own, built, tmp_path, capfd, monkeypatch, failing, reason
):
    videos = shutil.copytree(own, tmp_path / "videos")
    given = arguments(videos, tmp_path / "new", "--max_bad_videos=9")
    with monkeypatch.context() as patch:
        patch.setattr(decoded_video, "decode", getattr(failing_decoders, failing))
        status, _, errors = run(capfd, *given)
    assert (status, errors) == (1, [f"error: cannot read {videos}/{VIDEO}: {reason}"])
    assert not marked(tmp_path)
    assert run(capfd, *given)[::2] == (0, [])
    assert files(tmp_path / "new") == files(built)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that gives EIO")
def test_unreadable_disk(own, built, tmp_path, capfd):
    videos = shutil.copytree(own, tmp_path / "videos")
    os.remove(videos / VIDEO)
    # Reading its first page fails.
    (videos / VIDEO).symlink_to("/proc/self/mem")
    given = arguments(videos, tmp_path / "new")
    status, _, errors = run(capfd, *given)
    assert (status, errors) == (1, [f"error: cannot read {videos}/{VIDEO}: Input/output error"])
    assert not marked(tmp_path)
    # A lost sector: build without the video.
    status, _, errors = run(capfd, *given, f"--leave_out={VIDEO}", "--max_bad_videos=1")
    assert (status, errors) == (0, [f"damaged: {VIDEO}: left out by --leave_out"])


def test_lack_of_memory_is_not_damage(own, built, tmp_path, capfd, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(decoded_video, "decode", failing_decoders.no_memory)
        status, _, errors = run(capfd, *arguments(own, tmp_path, "--max_bad_videos=9"))
    assert (status, errors) == (1, [f"error: no memory to decode {own}/{VIDEO}"])
    assert not marked(tmp_path)
    assert run(capfd, *arguments(own, tmp_path, "--max_bad_videos=9"))[::2] == (0, [])
    assert files(tmp_path) == files(built)


def test_damage_must_be_found_twice(own, built, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(decoded_video, "decode", failing_decoders.hiccup)
    assert run(capfd, *arguments(own, tmp_path / "new"))[::2] == (0, [])
    assert files(tmp_path / "new") == files(built)


def test_unreadable_mark_is_not_damage(tmp_path):
    (tmp_path / "0.damaged").mkdir()
    with pytest.raises(DataError, match=rf"^cannot read {tmp_path}/0.damaged: Is a directory$"):
        decoded_video.read_damage(str(tmp_path / "0"))


def killed_line(videos):
    return (
        f"the process that decoded {videos}/{VIDEO} was killed twice, signal 9 (out of memory?): "
        f"run the same command again; --leave_out={VIDEO} builds without it"
    )


def test_killed_worker_is_not_damage(own, built, tmp_path, capfd, monkeypatch):
    given = arguments(own, tmp_path, "--workers=2")
    monkeypatch.setattr(decoded_video, "decode", failing_decoders.killed)
    status, _, errors = run(capfd, *given, "--max_bad_videos=9")
    assert (status, errors) == (1, [f"error: {killed_line(own)}"])
    assert not marked(tmp_path)
    monkeypatch.undo()
    assert run(capfd, *given)[::2] == (0, [])
    assert files(tmp_path) == files(built)


def test_video_that_is_left_out(own, tmp_path, capfd, monkeypatch):
    """By a local and by a distributed build; it is named, and counts as damaged."""
    monkeypatch.setattr(decoded_video, "decode", failing_decoders.killed)
    given = arguments(own, tmp_path / "new", f"--leave_out={VIDEO}")
    status, _, errors = run(capfd, *given)
    assert status == 1
    assert errors == [
        f"damaged: {VIDEO}: left out by --leave_out",
        f"error: damaged videos left out of {tmp_path}/new: 1; --max_bad_videos allows "
        "0, and --max_bad_videos=1 accepts the shards without them",
    ]
    assert run(capfd, *given, "--max_bad_videos=1")[0] == 0
    manifest = Manifest.load(str(tmp_path / "new"))
    assert [video["id"] for video in manifest.damaged] == [VIDEO]
    assert sum(subset.videos for subset in manifest.subsets.values()) == 6

    plan, output = plan_of(own), str(tmp_path / "job")
    with pytest.raises(DataError) as caught:
        run_job(plan, output)
    assert str(caught.value) == killed_line(own)
    run_job(plan, output, left_out=(VIDEO,))
    assert remote_files(output) == files(tmp_path / "new")


def test_unknown_video_to_leave_out(own, tmp_path, capfd):
    status, _, errors = run(capfd, *arguments(own, tmp_path / "new", "--leave_out=3.mp4"))
    assert (status, errors) == (2, [f"error: --leave_out=3.mp4: no video of {own} has this id"])
    assert not (tmp_path / "new").exists()


def test_worker_that_ends_before_it_begins_is_not_damage(own, built, tmp_path, capfd, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(multiprocessing.spawn, "_python_exe", b"/nowhere/python")
        status, _, errors = run(capfd, *arguments(own, tmp_path))
    assert status == 1
    assert errors == ["error: a decoding process ended before it started to work: exit status 255"]
    assert not marked(tmp_path)
    assert run(capfd, *arguments(own, tmp_path))[::2] == (0, [])
    assert files(tmp_path) == files(built)


def test_worker_that_cannot_be_started(tmp_path):
    task = DecodeTask(str(tmp_path / "0"), "none.mp4", 32, 95)
    message = r"^cannot start a decoding process: Too many open files$"
    with failing_decoders.no_more_files(), pytest.raises(DataError, match=message):
        next(worker_pool.run_tasks(decoded_video.decode, [task], 1))

"""Builds shard by shard, as Beam's workers do, but without Beam."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from dataclasses import replace

import failing_decoders
import pytest
from builds import arguments, files, run
from jobs import plan_of, remote_files, run_job, start_and_kill, upload

from rlstm_tf.cli import app
from rlstm_tf.data.manifest import Manifest
from rlstm_tf.errors import DataError
from rlstm_tf.storage import files as data_files
from tfrecords_tools import beam, verify
from tfrecords_tools.builder import decoded_video, distributed_build, lease, shard_builder
from tfrecords_tools.builder.reuse import find_stored_videos


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(lease, "sleep", lambda seconds: None)


@pytest.mark.parametrize("kind", ["local", "file", "ram"])
def test_gives_the_bytes_of_a_local_build(own, built, tmp_path, capfd, kind):
    videos = upload(own, "ram://bytes/videos") if kind == "ram" else own
    output = {"local": "", "file": "file://"}.get(kind, "ram:/") + str(tmp_path / "new")
    manifest = run_job(plan_of(videos), output)
    assert remote_files(output) == files(built)
    assert manifest == Manifest.load(str(built))
    assert data_files.list_directory(output) == sorted(files(built))
    assert run(capfd, output, program=verify)[0] == 0


def test_finished_shards_are_not_built_again(own, built, monkeypatch):
    plan, output = plan_of(own), "ram://again/new"
    job, listings = start_and_kill(plan, output)
    distributed_build.build_shard(job, listings[0])
    made = []
    monkeypatch.setattr(
        distributed_build,
        "build_shards",
        lambda builders, *rest: made.extend(builders) or build_shards(builders, *rest),
    )
    build_shards = shard_builder.build_shards
    run_job(plan, output)
    assert [builder.name for builder in made] == [listing.name for listing in listings[1:]]
    assert remote_files(output) == files(built)


@pytest.mark.parametrize("what", ["tfrecord", "frames.npy"])
def test_deleted_shard_is_built_again(own, built, what):
    plan, output = plan_of(own), f"ram://away/{what}"

    def lose_one(job, listings):
        distributed_build.build_in_sequence(job, listings)
        data_files.remove(f"{output}/{listings[1].name}.{what}")

    name = list(plan.shards)[1]
    with pytest.raises(DataError, match=rf"1 of 3 shards were not built, the first {name}"):
        run_job(plan, output, run=lose_one)
    run_job(plan, output)
    assert remote_files(output) == files(built)


def test_changed_record_is_refused(own):
    plan, output = plan_of(own), "ram://note/new"
    job, listings = start_and_kill(plan, output)
    distributed_build.build_shard(job, listings[0])
    path = f"{output}/.build/{listings[0].name}.json"
    note = json.loads(data_files.read_text(path))
    note["shard"]["frames"] += 1
    data_files.write_text(path, json.dumps(note))
    with pytest.raises(DataError, match="was changed since it was written"):
        distributed_build.build_shard(job, listings[0])


def test_damaged_video_is_listed_as_by_a_local_build(own, tmp_path, capfd):
    videos = shutil.copytree(own, tmp_path / "videos")
    (videos / "walk/2.mp4").write_bytes(b"text")
    more = ("--max_bad_videos=1",)
    assert run(capfd, *arguments(videos, tmp_path / "build", *more))[0] == 0
    manifest = run_job(plan_of(videos), str(tmp_path / "job"))
    assert [video["id"] for video in manifest.damaged] == ["walk/2.mp4"]
    assert files(tmp_path / "job") == files(tmp_path / "build")


def test_images_of_another_build_are_copied(own, built, tmp_path):
    videos = shutil.copytree(own, tmp_path / "videos")
    for path in videos.rglob("*.mp4"):
        # Same size but not a video: decoding it would fail.
        path.write_bytes(bytes(path.stat().st_size))
    plan = plan_of(videos)
    run_job(plan, str(tmp_path / "new"), find_stored_videos([str(built)], plan))
    assert files(tmp_path / "new") == files(built)


def test_truncated_copy_is_never_renamed(own, tmp_path, monkeypatch):
    def short(source, target):
        with open(source, "rb") as file, open(target, "wb") as other:
            other.write(file.read()[:-1])

    plan, output = plan_of(own), str(tmp_path / "new")
    with monkeypatch.context() as patch:
        patch.setattr(distributed_build, "copy", short)
        with pytest.raises(DataError, match="has another size than was written"):
            run_job(plan, output)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [".build"]
    run_job(plan, output)
    assert not (tmp_path / "new/.build").exists()


@pytest.mark.parametrize("ends", [DataError, KeyboardInterrupt])
def test_queued_shards_are_not_written_after_a_failure(own, tmp_path, ends):
    plan = plan_of(own)
    for builder in shard_builder.make_shard_builders(plan, str(tmp_path)):
        for task in builder.decode_tasks():
            decoded_video.decode(task)
    builders = shard_builder.make_shard_builders(plan, str(tmp_path))
    assert [builder.num_pending for builder in builders] == [0, 0, 0]
    begun = []

    def finish(builder):
        begun.append(builder.name)
        if ends is DataError:
            raise DataError("full")
        if begun == [builder.name]:
            time.sleep(0.5)  # until the others are queued
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)

    with pytest.raises(ends):
        shard_builder.build_shards(builders, 1, finish, lambda: None)
    # The second may have started before the failure of the first was noticed.
    assert builders[-1].name not in begun


def test_failure_leaves_no_threads(own, tmp_path, monkeypatch):
    """The stack frames of the error must not keep threads alive."""
    builders = shard_builder.make_shard_builders(plan_of(own), str(tmp_path))
    monkeypatch.setattr(decoded_video, "decode", failing_decoders.full)
    before = threading.enumerate()
    with pytest.raises(DataError, match="No space left") as caught:
        shard_builder.build_shards(builders, 1, lambda builder: builder.name, lambda: None)
    assert set(threading.enumerate()) <= set(before)
    assert caught.value.__traceback__


@pytest.mark.parametrize("gone", ["before", "meanwhile"])
def test_missing_tmpdir_is_one_line(own, tmp_path, monkeypatch, gone):
    job, listings = start_and_kill(plan_of(own), str(tmp_path / "new"))
    monkeypatch.setattr(tempfile, "tempdir", None if gone == "before" else str(tmp_path / "gone"))
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "gone")])
    with pytest.raises(DataError) as caught:
        distributed_build.build_shard(job, listings[0])
    where = "TMPDIR: No usable temporary" if gone == "before" else f"{tmp_path}/gone/tmp"
    assert str(caught.value).startswith(f"cannot write {where}")


def test_truncated_shard_list_is_refused(own):
    plan, output = plan_of(own), "ram://list/new"
    job, listings = start_and_kill(plan, output)
    path = f"{output}/.build/shards.jsonl"
    data_files.write_text(path, data_files.read_text(path)[:-20])
    with pytest.raises(DataError, match=r"shards.jsonl, line of .* is not JSON: .* again"):
        distributed_build.build_shard(job, listings[-1])


def test_shard_list_with_a_changed_label_is_refused(own):
    plan, output = plan_of(own), "ram://list/label"
    job, listings = start_and_kill(plan, output)
    path = f"{output}/.build/shards.jsonl"
    text = data_files.read_text(path)
    changed = text.replace("[[1, 0.0, null]]", "[[0, 0.0, null]]").replace("[[1, ", "[[0, ")
    assert changed != text
    data_files.write_text(path, changed)
    old, new = text.splitlines(), changed.splitlines()
    first = next(number for number in range(len(listings)) if old[number] != new[number])
    with pytest.raises(DataError, match="was changed since it was written"):
        distributed_build.build_shard(job, listings[first])


def other_plan(plan):
    return replace(plan, settings={**plan.settings, "plan": "f" * 64})


def test_shard_of_another_plan_does_not_count(own, built):
    """A worker may outlive a job whose output was deleted, and leave a shard."""
    plan, output = plan_of(own), "ram://outlived/new"
    job, listings = start_and_kill(other_plan(plan), output)
    distributed_build.build_shard(job, listings[0])
    data_files.write_text(f"{output}/.build/plan.json", json.dumps(plan.identity))
    with pytest.raises(DataError, match="3 of 3 shards were not built"):
        run_job(plan, output, run=lambda job, listings: None)
    run_job(plan, output)
    assert remote_files(output) == files(built)


def test_worker_that_outlives_its_job_writes_nothing_into_the_next(own):
    plan, output = plan_of(own), "ram://outlives/new"
    job, listings = start_and_kill(plan, output)
    data_files.write_text(f"{output}/.build/plan.json", json.dumps(other_plan(plan).identity))
    with pytest.raises(DataError, match="no longer holds a build with this plan"):
        distributed_build.build_shard(job, listings[0])
    assert remote_files(output) == {}


def test_failed_copy_is_deleted(own, tmp_path, monkeypatch):
    def half(source, target):
        with open(target, "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device", target)

    plan, output = plan_of(own), str(tmp_path / "new")
    monkeypatch.setattr(distributed_build, "copy", half)
    with pytest.raises(DataError, match=r"No space left on device \([0-9.]+ MB free\)"):
        run_job(plan, output)
    assert not list(tmp_path.rglob("*.partial"))


def test_progress_counts_shards_of_any_machine(own, tmp_path, capsys):
    plan, output = plan_of(own), str(tmp_path)
    job, listings = start_and_kill(plan, output)
    distributed_build.build_shard(job, listings[0])
    run_job(plan, output)
    error = capsys.readouterr().err
    assert "1/3" in error
    assert "3/3" in error
    assert "shards/s" in error


def test_without_beam_installed(own, tmp_path, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    given = ["beam", *arguments(own, tmp_path / "new")]
    assert app.run(beam.main, beam.define_flags, given, rest="pipeline_options") == 2
    error = capfd.readouterr().err
    assert error.startswith("error: Apache Beam is needed: pip install 'rlstm-tf[beam]'")
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()

"""Builds that fail: nothing is lost, and every failure is reported."""

from __future__ import annotations

import errno
import json
import os
import shutil

import failing_decoders
import pytest
from builds import arguments, files, kill_once_made, run

from rlstm_tf.cli import app
from rlstm_tf.data.manifest import Manifest
from tfrecords_tools import build, verify
from tfrecords_tools.builder import decoded_video, shard_builder


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--short_side=48"], "holds a build with short_side 32, not 48: give another --output"),
        (["--test_share=0.5"], "test_share None, not 0.5"),
        (["--shards=3"], "shards 2, not 3"),
    ],
)
def test_other_settings_do_not_mix(own, built, capfd, more, message):
    before = files(built)
    status, _, errors = run(capfd, *arguments(own, built, *more))
    assert status == 1
    assert len(errors) == 1
    assert message in errors[0]
    assert files(built) == before


def test_other_videos_do_not_mix(own, built, tmp_path, capfd):
    shutil.copytree(own, tmp_path / "videos")
    (tmp_path / "videos/walk/0.mp4").rename(tmp_path / "videos/walk/other.mp4")
    status, _, errors = run(capfd, *arguments(tmp_path / "videos", built))
    assert status == 1
    assert "holds a build with another list of videos" in errors[0]


def test_directory_of_something_else_is_refused(own, tmp_path, capfd):
    (tmp_path / "thesis.txt").write_text("")
    status, _, errors = run(capfd, *arguments(own, tmp_path))
    assert status == 1
    assert f"{tmp_path} is not empty and holds no shards" in errors[0]
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_killed_build_continues_to_the_same_bytes(make_video, tmp_path, capfd):
    # Long enough to be killed before the last is finished.
    for seed in range(12):
        make_video(tmp_path / "videos" / f"c{seed % 2}" / f"{seed}.mp4", frames=150, seed=seed)
    more = ("--shards=4", "--workers=2", "--short_side=256", "--test_share=0")
    given = arguments(tmp_path / "videos", tmp_path / "killed", *more)
    work = tmp_path / "killed/.build"
    kill_once_made("tfrecords_tools.build", given, work, "0*.json")
    assert not (tmp_path / "killed/manifest.json").exists()

    status, _, errors = run(capfd, *given)
    assert (status, errors) == (0, [])
    run(capfd, *arguments(tmp_path / "videos", tmp_path / "whole", *more))
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert not work.exists()


def test_full_disk_while_decoding(own, built, tmp_path, capfd, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(decoded_video, "decode", failing_decoders.full)
        status, _, errors = run(capfd, *arguments(own, tmp_path))
    assert status == 1
    assert len(errors) == 1
    assert f"cannot write {tmp_path}/.build/0000003: No space left on device (" in errors[0]
    assert errors[0].endswith(" MB free)")
    done = {path.name for path in (tmp_path / ".build").iterdir()}
    assert not [name for name in done if name.endswith(".partial")]
    assert run(capfd, *arguments(own, tmp_path))[0] == 0
    assert files(tmp_path) == files(built)


def test_full_disk_while_a_shard_is_written(own, built, tmp_path, capfd, monkeypatch):
    write_shard = shard_builder.write_shard

    def full(directory, name, *rest, **keywords):
        if name == "train-00001-of-00002":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_shard(directory, name, *rest, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(shard_builder, "write_shard", full)
        status, _, errors = run(capfd, *arguments(own, tmp_path))
    assert status == 1
    assert len(errors) == 1
    assert "cannot write " in errors[0]
    assert "train-00001-of-00002.tfrecord: No space left on device (" in errors[0]
    assert not (tmp_path / "manifest.json").exists()
    first = (tmp_path / "train-00000-of-00002.tfrecord").stat()
    assert run(capfd, *arguments(own, tmp_path))[0] == 0
    assert (tmp_path / "train-00000-of-00002.tfrecord").stat().st_mtime_ns == first.st_mtime_ns
    assert files(tmp_path) == files(built)


def test_truncated_decoded_video_is_refused(own, tmp_path, capfd, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(decoded_video, "decode", failing_decoders.full)
        run(capfd, *arguments(own, tmp_path))
    decoded = sorted((tmp_path / ".build").glob("*.jpegs"))[-1]
    decoded.write_bytes(decoded.read_bytes()[:-1])
    status, _, errors = run(capfd, *arguments(own, tmp_path))
    assert status == 1
    assert errors == [
        f"error: {decoded} is damaged: delete {decoded.with_suffix('.json')} and build again"
    ]


def test_worker_that_dies(own, built, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(decoded_video, "decode", failing_decoders.dying)
    status, _, errors = run(capfd, *arguments(own, tmp_path, "--workers=2", "--max_bad_videos=1"))
    reason = "the process that decoded it died twice, signal 11"
    assert (status, errors) == (0, [f"damaged: run <b>é/3.mp4: {reason}"])
    manifest = Manifest.load(str(tmp_path))
    assert manifest.damaged == (
        {"id": "run <b>é/3.mp4", "path": str(own / "run <b>é/3.mp4"), "reason": reason},
    )
    assert sum(subset.videos for subset in manifest.subsets.values()) == 6
    # The other shards and the record of the video files are what they would have been.
    same = [name for name, content in files(tmp_path).items() if files(built)[name] == content]
    assert len(same) == 9
    assert run(capfd, str(tmp_path), program=verify)[0] == 0


def test_bug_in_a_worker_is_not_a_damaged_video(own, tmp_path, monkeypatch):
    monkeypatch.setattr(decoded_video, "decode", failing_decoders.buggy)
    with pytest.raises(RuntimeError, match=r"(?s)in a worker:.*KeyError: 'bug'"):
        app.run(build.main, build.define_flags, ["build", *arguments(own, tmp_path)])


def test_genuine_broken_files_are_named(real, tmp_path, capfd):
    good = {"decord_video_90.mov", "torchcodec_var_fps_video.mp4", "mp4parse_minimal.mp4"}
    for number, path in enumerate(sorted((real / "broken").iterdir())):
        directory = tmp_path / "videos" / ("even", "odd")[number % 2]
        directory.mkdir(parents=True, exist_ok=True)
        (directory / path.name).symlink_to(path)
    given = arguments(tmp_path / "videos", tmp_path / "shards", "--test_share=0")
    status, _, errors = run(capfd, *given)
    assert status == 1
    assert errors[-1] == (
        f"error: damaged videos left out of {tmp_path}/shards: 10; --max_bad_videos allows "
        "0, and --max_bad_videos=10 accepts the shards without them"
    )
    names = {line.split(": ")[1].split("/")[1] for line in errors[:-1]}
    assert names == {path.name for path in (real / "broken").iterdir()} - good
    manifest = Manifest.load(str(tmp_path / "shards"))
    assert {entry["id"].split("/")[1] for entry in manifest.damaged} == names
    assert manifest.subsets["train"].videos == 3
    assert manifest.subsets["train"].frames == 3 + 300 + 1
    assert run(capfd, str(tmp_path / "shards"), "--decode", program=verify)[0] == 0
    # A second build, and one that allows damaged videos, list the same.
    assert run(capfd, *given)[0] == 1
    status, _, errors = run(capfd, *given, "--max_bad_videos=10")
    assert status == 0
    assert len(errors) == 10


def test_nothing_decodes(tmp_path, capfd):
    for name in ("a/1.avi", "b/2.avi"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True)
        (tmp_path / "videos" / name).write_bytes(b"text")
    status, _, errors = run(capfd, *arguments(tmp_path / "videos", tmp_path / "shards"))
    assert status == 1
    assert len(errors) == 1
    assert "none of the 2 videos can be decoded; the first, " in errors[0]


def test_unfinished_build_with_other_settings_is_not_resumed(own, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(decoded_video, "decode", failing_decoders.full)
    run(capfd, *arguments(own, tmp_path))
    plan = json.loads((tmp_path / ".build/plan.json").read_text())
    assert plan["short_side"] == 32
    status, _, errors = run(capfd, *arguments(own, tmp_path, "--short_side=48"))
    assert status == 1
    assert "short_side 32, not 48" in errors[0]


def test_csv_with_a_missing_video(own, tmp_path, capfd):
    (tmp_path / "list.csv").write_text(f"path,label\n{own}/walk/0.mp4,walk\nnone.mp4,run\n")
    given = arguments(tmp_path / "list.csv", tmp_path / "shards")
    status, _, errors = run(capfd, *given)
    assert status == 1
    assert "1 of 2 listed videos are missing: none.mp4" in errors[0]
    assert not (tmp_path / "shards").exists()

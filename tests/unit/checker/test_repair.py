"""Repair restores damaged shards byte for byte and changes nothing else."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import failing_decoders
import pytest
import warm_python
from builds import arguments, files, run
from small_shards import flip_byte, write_shards

from rlstm_tf.data.manifest import Manifest
from tfrecords_tools import verify
from tfrecords_tools.builder import decoded_video
from tfrecords_tools.checker.repair import reserve_for_repair

SHARD = "train-00000-of-00002"


@pytest.fixture
def shards(built, tmp_path):
    """A copy of a complete build."""
    return Path(shutil.copytree(built, tmp_path / "shards"))


def repair(capfd, shards, videos, *more):
    given = (str(shards), "--repair", f"--videos={videos}", "--workers=1", *more)
    return run(capfd, *given, program=verify)


def cut_at_a_record_boundary(path):
    content = path.read_bytes()
    path.write_bytes(content[: 16 + int.from_bytes(content[:8], "little")])


DAMAGE = {
    "flipped": lambda path: flip_byte(path, path.stat().st_size // 2),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "boundary": cut_at_a_record_boundary,
    "empty": lambda path: path.write_bytes(b""),
    "deleted": Path.unlink,
}


@pytest.mark.parametrize(
    ("suffix", "how"),
    [(".tfrecord", how) for how in DAMAGE]
    + [
        (f".{kind}.npy", how)
        for kind in ("records", "frames", "samples")
        for how in ("flipped", "cut", "deleted")
    ],
)
def test_each_file_of_a_shard(own, built, shards, capfd, suffix, how):
    others = {path: path.stat().st_mtime_ns for path in shards.iterdir() if SHARD not in path.name}
    DAMAGE[how](shards / (SHARD + suffix))
    status, out, errors = repair(capfd, shards, own)
    assert (status, errors) == (0, [])
    assert f"found: {shards}/{SHARD}{suffix}" in out
    assert f"repaired: {SHARD}\n" in out
    assert "3 shards, 7 videos, 56 frames match the manifest" in out
    assert files(shards) == files(built)
    assert set(os.listdir(shards)) == set(files(built))
    assert {path: path.stat().st_mtime_ns for path in others} == others


def test_only_the_manifest_is_left(own, built, shards, capfd):
    for path in shards.iterdir():
        if path.name != "manifest.json":
            path.unlink()
    status, out, errors = repair(capfd, shards, own)
    assert (status, errors) == (0, [])
    # Three shards, and sources.jsonl.
    assert out.count("repaired: ") == 4
    assert files(shards) == files(built)


def test_intact_shards_are_unchanged(shards, capfd, tmp_path):
    """Does not even read the videos."""
    before = {path: path.stat().st_mtime_ns for path in shards.iterdir()}
    status, out, errors = repair(capfd, shards, tmp_path / "nowhere")
    assert (status, errors) == (0, [])
    assert "repaired" not in out
    assert {path: path.stat().st_mtime_ns for path in shards.iterdir()} == before


def test_videos_may_have_moved(own, built, shards, capfd, tmp_path):
    shutil.copytree(own, tmp_path / "elsewhere")
    (shards / f"{SHARD}.tfrecord").unlink()
    assert repair(capfd, shards, tmp_path / "elsewhere")[0] == 0
    assert files(shards) == files(built)


def added(videos, make_video):
    make_video(videos / "walk/new.mp4")


def renamed(videos, make_video):
    (videos / "walk/2.mp4").rename(videos / "walk/9.mp4")


def another_size(videos, make_video):
    with open(videos / "walk/2.mp4", "ab") as file:
        file.write(b"\0")


def another_class(videos, make_video):
    make_video(videos / "stand/1.mp4")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (added, "8 videos, 7 when it was built, walk/new.mp4 is new"),
        (renamed, "1 videos no longer exist, the first walk/2.mp4"),
        (another_size, "a video has another name, size, label or subset"),
        (another_class, "3 classes, 2 when it was built: 'stand'"),
        (lambda videos, make_video: shutil.rmtree(videos), "no such directory"),
    ],
)
def test_other_videos_are_refused(own, shards, capfd, tmp_path, make_video, change, message):
    videos = shutil.copytree(own, tmp_path / "videos")
    change(videos, make_video)
    flip_byte(shards / f"{SHARD}.tfrecord", 5000)
    before = files(shards)
    status, _, errors = repair(capfd, shards, videos)
    assert status == 1
    assert len(errors) == 1
    assert message in errors[0]
    assert files(shards) == before
    assert not (shards / ".repair").exists()


def swapped(path, make_video):
    """Writes another video, padded to the same size with an empty MP4 box."""
    size = path.stat().st_size
    content = make_video(path, frames=4, seed=99).read_bytes()
    free = size - len(content)
    path.write_bytes(content + free.to_bytes(4, "big") + b"free" + bytes(free - 8))


def destroyed(path, make_video):
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize(
    ("change", "message"), [(swapped, ""), (destroyed, "; run <b>é/5.mp4: cannot be opened: ")]
)
def test_shard_with_other_bytes_is_not_replaced(
    own, built, shards, capfd, tmp_path, make_video, change, message
):
    """The plan is the same, only the bytes differ. The other shards are repaired."""
    videos = shutil.copytree(own, tmp_path / "videos")
    change(videos / "run <b>é/5.mp4", make_video)
    manifest = Manifest.load(str(built))
    names = [shard.name for shard in manifest.shards]
    for name in names:
        flip_byte(shards / f"{name}.tfrecord", 3000)
    before = files(shards)
    status, out, errors = repair(capfd, shards, videos)
    assert status == 1
    assert len(errors) == 1
    assert (
        "is unchanged: these videos, or this version of the decoder, do not give the bytes"
        in errors[0]
    )
    assert message in errors[0]
    refused = errors[0].split()[1]
    after = files(shards)
    assert after[f"{refused}.tfrecord"] == before[f"{refused}.tfrecord"]
    assert sorted(names) == sorted([refused, *(n for n in names if f"repaired: {n}\n" in out)])
    assert sum(after[name] != content for name, content in files(built).items()) == 1
    # Nothing of the failed attempt is left behind.
    assert repair(capfd, shards, own)[0] == 0
    assert files(shards) == files(built)


def test_videos_left_out_of_the_build_stay_out(own, tmp_path, capfd, make_video):
    """Even if they can be decoded now: the shard must match the manifest."""
    videos = shutil.copytree(own, tmp_path / "videos")
    sound = (videos / "walk/2.mp4").read_bytes()
    (videos / "walk/2.mp4").write_bytes(b"\0" * len(sound))
    shards = tmp_path / "shards"
    assert run(capfd, *arguments(videos, shards, "--max_bad_videos=1"))[0] == 0
    whole = files(shards)
    (videos / "walk/2.mp4").write_bytes(sound)
    for path in shards.glob("*.tfrecord"):
        path.unlink()
    status, _, errors = repair(capfd, shards, videos)
    assert (status, errors) == (0, [])
    assert files(shards) == whole


def test_split_files_and_missing_videos(real, tmp_path, capfd):
    given = [
        *("--dataset=hmdb51", f"--videos={real}/hmdb51/videos", "--split=1", "--allow_missing"),
        *(f"--splits={real}/splits/testTrainMulti_7030_splits", f"--output={tmp_path}/new"),
        *("--shards=2", "--workers=1", "--short_side=32", "--stream=temporal", "--flow=dis"),
    ]
    assert run(capfd, *given)[0] == 0
    whole = files(tmp_path / "new")
    flip_byte(tmp_path / "new/test-00000-of-00001.tfrecord", 5000)
    status, _, errors = repair(capfd, tmp_path / "new", real / "hmdb51/videos")
    assert (status, len(errors)) == (2, 1)
    assert "--splits is required" in errors[0]
    splits = f"--splits={real}/splits/testTrainMulti_7030_splits"
    assert repair(capfd, tmp_path / "new", real / "hmdb51/videos", splits)[0] == 0
    assert files(tmp_path / "new") == whole


def test_second_repair_is_refused(own, shards, capfd):
    (shards / ".repair").mkdir()
    with open(shards / ".repair/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, _, errors = repair(capfd, shards, own)
    assert (status, errors) == (1, [f"error: {shards} is in use by another repair"])
    assert repair(capfd, shards, own)[0] == 0


def test_the_lock_is_deleted_last(tmp_path, monkeypatch):
    """Without the lock file, another repair would start in the same directory."""
    rmtree, seen = shutil.rmtree, []

    def looking(path, **options):
        seen.append((os.path.basename(path), sorted(os.listdir(tmp_path / ".repair"))))
        rmtree(path, **options)

    with reserve_for_repair(str(tmp_path)):
        monkeypatch.setattr(shutil, "rmtree", looking)
    assert seen == [("work", ["lock", "work"]), (".repair", ["lock"])]


def test_full_disk(own, built, shards, capfd, monkeypatch):
    (shards / f"{SHARD}.tfrecord").unlink()
    (shards / "train-00001-of-00002.tfrecord").unlink()
    before = files(shards)
    with monkeypatch.context() as patch:
        patch.setattr(decoded_video, "decode", failing_decoders.full)
        status, _, errors = repair(capfd, shards, own)
    assert status == 1
    assert len(errors) == 1
    assert "No space left on device" in errors[0]
    left = files(shards)
    assert {name: left[name] for name in before} == before
    assert not (shards / ".repair").exists()
    assert repair(capfd, shards, own)[0] == 0
    assert files(shards) == files(built)


def test_progress_is_shown(own, shards):
    (shards / f"{SHARD}.tfrecord").unlink()
    line = ["-m", "tfrecords_tools.verify", str(shards), "--repair", f"--videos={own}"]
    result = warm_python.run(line, stderr=subprocess.PIPE)
    assert result.returncode == 0
    assert "repair: 100%" in result.stderr
    assert "videos/s" in result.stderr


def test_shards_of_another_program(tmp_path, own, capfd):
    write_shards(tmp_path, (3, 4))
    flip_byte(tmp_path / f"{SHARD}.tfrecord", 20)
    status, _, errors = repair(capfd, tmp_path, own)
    assert status == 1
    assert len(errors) == 1
    assert "lacks the settings plan, shards" in errors[0]

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from builds import arguments, files, run
from repository import ROOT

from rlstm_tf.cli import app
from rlstm_tf.data import schema, video
from rlstm_tf.data.manifest import Manifest
from tfrecords_tools import build, verify

FOLDER = "--dataset=folder --videos=v --output=o"
CHARADES = "--dataset=charades --videos=v --output=o --splits=s"


def test_folder(own, built, capfd):
    manifest = Manifest.load(str(built))
    assert manifest.classes == ("run <b>é", "walk")
    assert (manifest.dataset, manifest.split, manifest.stream) == ("folder", 0, "spatial")
    assert manifest.settings["short_side"] == 32
    assert manifest.settings["jpeg_quality"] == 95
    assert {name: subset.videos for name, subset in manifest.subsets.items()} == {
        "train": 5,
        "test": 2,
    }
    assert sum(subset.frames for subset in manifest.subsets.values()) == sum(range(5, 12))
    assert (manifest.damaged, manifest.missing) == ((), {"count": 0, "first": []})
    shards = [shard.name for shard in manifest.shards]
    suffixes = (".tfrecord", ".records.npy", ".frames.npy", ".samples.npy")
    expected = {name + suffix for name in shards for suffix in suffixes}
    assert set(os.listdir(built)) == expected | {"manifest.json", "sources.jsonl"}
    assert run(capfd, str(built), "--decode", program=verify)[0] == 0


def test_frames_equal_those_of_the_video(own, built):
    for subset in ("train", "test"):
        for shard in Manifest.load(str(built)).subsets[subset].shards:
            content = Path(schema.tfrecord_path(str(built), shard.name)).read_bytes()
            places = np.load(schema.frames_path(str(built), shard.name))
            samples = np.load(schema.samples_path(str(built), shard.name))
            for row, sample in zip(np.load(schema.records_path(str(built), shard.name)), samples):
                name = row["id"].decode()
                assert sample["label"] == name.startswith("walk")
                assert (sample["first_frame"], sample["num_frames"]) == (0, row["num_frames"])
                with video.VideoReader(str(own / name), 32) as reader:
                    expected = [video.encode_jpeg(frame, 95) for frame in reader]
                rows = places[row["first_row"] :][: row["num_frames"]]
                found = [content[o : o + s] for o, s in zip(rows["offset"], rows["size"])]
                assert found == expected
                assert (row["height"], row["width"], row["fps"]) == (32, 43, 25)


def test_number_of_workers_does_not_matter(own, built, tmp_path, capfd):
    status, out, errors = run(capfd, *arguments(own, tmp_path / "new", "--workers=3"))
    assert (status, errors) == (0, [])
    assert files(tmp_path / "new") == files(built)
    assert "folder: 2 classes, videos: 5 train, 2 test" in out


def test_progress_shows_rate_and_time_left(own, tmp_path):
    command = [sys.executable, "-m", "tfrecords_tools.build", *arguments(own, tmp_path / "new")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0
    assert "7/7" in result.stderr
    assert "videos/s" in result.stderr
    assert "Traceback" not in result.stderr


def test_long_video_is_split_over_records(own, tmp_path, capfd):
    status, _, _ = run(capfd, *arguments(own, tmp_path / "new", "--frames_per_record=4"))
    assert status == 0
    manifest = Manifest.load(str(tmp_path / "new"))
    shard = manifest.subsets["test"].shards[0]
    rows = np.load(schema.records_path(str(tmp_path / "new"), shard.name))
    assert shard.records > shard.videos
    assert rows["num_frames"].max() == 4
    assert run(capfd, str(tmp_path / "new"), program=verify)[0] == 0


@pytest.mark.skipif(not os.path.isfile("/proc/self/status"), reason="needs Linux's /proc")
def test_memory_of_a_worker_does_not_grow_with_the_length(make_video, tmp_path):
    # getrusage would include the peak of the parent process.
    script = r"""
import re, sys
from tfrecords_tools.builder.decoded_video import DecodeTask, decode
peaks = []
for length in ("short", "long"):
    target = sys.argv[1] + "/" + length
    assert decode(DecodeTask(target, target + ".mp4", 256, 95)) is None
    peaks.append(int(re.search(r"VmHWM:\s*(\d+)", open("/proc/self/status").read())[1]))
print(peaks[1] - peaks[0])
"""
    for length, frames in (("short", 50), ("long", 1500)):
        make_video(tmp_path / f"{length}.mp4", frames=frames)
    command = [sys.executable, "-c", script, str(tmp_path)]
    root = ROOT
    grown = int(subprocess.run(command, cwd=root, capture_output=True, check=True).stdout)
    assert (tmp_path / "long.jpegs").stat().st_size > 20e6
    assert grown < 4000


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "--dataset is required"),
        ("--dataset=folder", "--videos is required"),
        ("--dataset=folder --videos=v", "--output is required"),
        ("--dataset=ucf101 --videos=v --output=o", "--splits is required"),
        ("--dataset=ucf101 --videos=v --output=o --splits=s", "--split is required"),
        ("--dataset=charades --videos=v --output=o", "--splits is required"),
        (f"{FOLDER} --splits=s", "--splits does not go with --dataset=folder"),
        (f"{CHARADES} --split=1", "--split does not go with --dataset=charades"),
        (f"{CHARADES} --test_share=0.1", "--test_share does not go with --dataset=charades"),
        (f"{FOLDER} --val_seed=1", "--val_seed does nothing without --val_share"),
        (f"{FOLDER} --flow=dis", "--flow does nothing without --stream=temporal"),
        (f"{FOLDER} --stream=temporal --flow=farneback", "farneback"),
        (f"{FOLDER} --stream=flow", "--stream"),
        (
            f"{FOLDER} --stream=temporal --short_side=15",
            "--short_side=15: --stream=temporal needs at least 16",
        ),
        ("--dataset=folder --videos=v --output=v/o", "neither may be inside the other"),
        ("--dataset=folder --videos=v --output=./v", "neither may be inside the other"),
        ("--dataset=folder --videos=v/o/w --output=v/a/../o/", "--videos=v/o/w and --output=v/a/"),
        ("--dataset=folder --videos=a://v/ --output=a://v/o", "neither may be inside the other"),
        ("--dataset=kinetics", "kinetics"),
        ("--colour=red", "colour"),
        ("--workers=0", "workers"),
        ("--jpeg_quality=101", "jpeg_quality"),
        ("folder", "unexpected argument 'folder'"),
    ],
)
def test_bad_usage(capfd, tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    status = app.run(build.main, build.define_flags, ["build", *given.split()])
    errors = capfd.readouterr().err.splitlines()
    assert (status, len(errors)) == (2, 1)
    assert errors[0].startswith("error: ")
    assert message in errors[0]
    assert os.listdir(tmp_path) == []


def test_output_inside_videos_by_a_link(own, tmp_path, capfd):
    (tmp_path / "link").symlink_to(own)
    status, _, errors = run(capfd, *arguments(own, tmp_path / "link/new"))
    assert status == 2
    assert errors == [
        f"error: --videos={own} and --output={tmp_path}/link/new: neither may be inside the other"
    ]
    # Beside it, with a name that begins alike, is another place.
    assert app.run(build.main, build.define_flags, ["build", *arguments("v", "v2")]) == 1


def test_complete_build_is_unchanged(own, built, capfd):
    before = files(built)
    status, out, errors = run(capfd, *arguments(own, built))
    assert (status, errors) == (0, [])
    assert "is complete already" in out
    assert files(built) == before


def test_genuine_hmdb51(real, tmp_path, capfd):
    given = [
        *("--dataset=hmdb51", f"--videos={real}/hmdb51/videos", "--split=1"),
        *(f"--splits={real}/splits/testTrainMulti_7030_splits", f"--output={tmp_path}/new"),
        *("--shards=2", "--workers=2", "--short_side=112"),
    ]
    status, _, errors = run(capfd, *given)
    assert status == 1
    assert len(errors) == 1
    assert "5095 of 5100 listed videos are missing: brush_hair/" in errors[0]
    assert not (tmp_path / "new").exists()

    status, out, errors = run(capfd, *given, "--allow_missing")
    assert (status, errors) == (0, [])
    assert "5095 listed videos are missing" in out
    manifest = Manifest.load(str(tmp_path / "new"))
    assert manifest.missing["count"] == 5095
    assert len(manifest.missing["first"]) == 20
    assert {name: (s.videos, s.frames) for name, s in manifest.subsets.items()} == {
        "train": (4, 242 + 89 + 81 + 140),
        "test": (1, 172),
    }
    assert [len(subset.shards) for subset in manifest.subsets.values()] == [2, 1]
    assert run(capfd, f"{tmp_path}/new", "--decode", program=verify)[0] == 0


def test_ucf101_with_validation(make_video, tmp_path, capfd):
    lists = {"train": "", "test": ""}
    for label, name in enumerate(("Walk", "Run"), 1):
        for group in range(1, 5):
            video_id = f"{name}/v_{name}_g{group:02d}_c01.avi"
            make_video(tmp_path / "videos" / video_id, frames=4, seed=group)
            subset = "test" if group == 1 else "train"
            lists[subset] += f"{video_id} {label}\n" if subset == "train" else f"{video_id}\n"
    (tmp_path / "classInd.txt").write_text("1 Walk\n2 Run\n")
    for subset, text in lists.items():
        (tmp_path / f"{subset}list01.txt").write_text(text)
    status, _, _ = run(
        capfd,
        *("--dataset=ucf101", f"--videos={tmp_path}/videos", f"--splits={tmp_path}", "--split=1"),
        *(f"--output={tmp_path}/new", "--val_share=0.3", "--workers=1", "--short_side=32"),
    )
    assert status == 0
    manifest = Manifest.load(f"{tmp_path}/new")
    assert manifest.classes == ("Walk", "Run")
    assert [(name, subset.videos) for name, subset in manifest.subsets.items()] == [
        *(("train", 4), ("val", 2), ("test", 2))
    ]
    assert len(manifest.subsets["train"].shards) == 4
    assert manifest.settings["val_share"] == 0.3

"""Builds of the temporal stream."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys

import cv2
import failing_decoders
import numpy as np
import pytest
from builds import arguments, files, run
from repository import ROOT

from rlstm_tf.cli import app
from rlstm_tf.data.flow import ZERO, dequantize
from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.optical_flow import compute_flow
from rlstm_tf.data.shards import Shards
from rlstm_tf.data.video import VideoReader, encode_jpeg
from tfrecords_tools import build, verify
from tfrecords_tools.builder import decoded_video

DIS = ("--stream=temporal", "--flow=dis")


@pytest.fixture(scope="module")
def temporal(own, tmp_path_factory):
    """A complete build of the flow of `own`."""
    directory = tmp_path_factory.mktemp("temporal") / "shards"
    given = ["build", *arguments(own, directory, *DIS)]
    assert app.run(build.main, build.define_flags, given) == 0
    return directory


def decoded(shards, video, frame):
    (stored,) = shards.read_frames(video, [frame])
    return cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED)


def test_fields_equal_those_of_the_video(own, temporal, built, capfd):
    manifest = Manifest.load(str(temporal))
    assert (manifest.stream, manifest.settings["flow"]) == ("temporal", "dis")
    assert "flow" not in Manifest.load(str(built)).settings
    cv2.setNumThreads(1)
    for subset in ("train", "test"):
        shards = Shards.open(str(temporal), subset)
        spatial = Shards.open(str(built), subset)
        assert shards.ids == spatial.ids
        assert shards.labels.tolist() == spatial.labels.tolist()
        assert shards.num_frames.tolist() == [count - 1 for count in spatial.num_frames]
        assert shards.samples["num_frames"].tolist() == shards.num_frames.tolist()
        assert (shards.heights[0], shards.widths[0]) == (32, 43)
        for video, name in enumerate(shards.ids):
            with VideoReader(str(own / name), 32) as reader:
                expected = [encode_jpeg(levels, 95) for levels in compute_flow(reader, "dis")]
            assert shards.read_frames(video, range(len(expected))) == expected
        assert decoded(shards, 0, 0).shape == (64, 43)
    assert run(capfd, str(temporal), "--decode", program=verify)[0] == 0


def test_fields_show_the_motion_of_the_videos(temporal):
    """`make_video` moves its texture 2 of 64 pixels to the right, 1.3 of 43 here."""
    shards = Shards.open(str(temporal), "train")
    for video in range(len(shards)):
        motion = dequantize(decoded(shards, video, 1))[8:-8, 8:-8]
        x, y = np.median(motion.reshape(-1, 2), axis=0)
        assert abs(x - 2 * 43 / 64) < 0.35
        assert abs(y) < 0.2


def test_tvl1_is_the_default(make_video, tmp_path, capfd):
    for label in ("a", "b"):
        make_video(tmp_path / "videos" / label / "0.mp4", frames=3)
    given = arguments(tmp_path / "videos", tmp_path / "new", "--stream=temporal")
    status, out, errors = run(capfd, *given, "--test_share=0")
    assert (status, errors) == (0, [])
    assert "train: 2 videos, 4 fields, 2 samples, 2 shards" in out
    assert Manifest.load(f"{tmp_path}/new").settings["flow"] == "tvl1"
    assert run(capfd, f"{tmp_path}/new", "--decode", program=verify)[0] == 0
    cv2.setNumThreads(1)
    shards = Shards.open(f"{tmp_path}/new", "train")
    with VideoReader(f"{tmp_path}/videos/{shards.ids[0]}", 32) as reader:
        expected = [encode_jpeg(levels, 95) for levels in compute_flow(reader, "tvl1")]
    assert shards.read_frames(0, range(2)) == expected


def test_number_of_workers_does_not_matter(own, temporal, tmp_path, capfd):
    status, _, errors = run(capfd, *arguments(own, tmp_path / "new", *DIS, "--workers=3"))
    assert (status, errors) == (0, [])
    assert files(tmp_path / "new") == files(temporal)


def test_interrupted_build_resumes_to_the_same_bytes(own, temporal, tmp_path, capfd, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(decoded_video, "decode", failing_decoders.full)
        assert run(capfd, *arguments(own, tmp_path, *DIS))[0] == 1
    assert list((tmp_path / ".build").glob("0*.json"))
    status, _, errors = run(capfd, *arguments(own, tmp_path))
    assert status == 1
    assert "holds a build with stream 'temporal', not 'spatial'" in errors[0]
    assert run(capfd, *arguments(own, tmp_path, *DIS))[0] == 0
    assert files(tmp_path) == files(temporal)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--stream=temporal", "--flow=tvl1"], "holds a build with flow 'dis', not 'tvl1'"),
        (["--stream=temporal"], "holds a build with flow 'dis', not 'tvl1'"),
        ([], "holds a build with stream 'temporal', not 'spatial'"),
    ],
)
def test_another_stream_or_method_is_refused(own, temporal, built, capfd, more, message):
    before = files(temporal)
    status, _, errors = run(capfd, *arguments(own, temporal, *more))
    assert (status, len(errors)) == (1, 1)
    assert message in errors[0]
    assert files(temporal) == before
    _, _, errors = run(capfd, *arguments(own, built, *DIS))
    assert "holds a build with stream 'spatial', not 'temporal', flow None, not 'dis'" in errors[0]


def test_video_of_one_frame_has_one_field(make_video, tmp_path, capfd):
    make_video(tmp_path / "videos/a/0.mp4", frames=1)
    make_video(tmp_path / "videos/b/0.mp4", frames=2)
    given = arguments(tmp_path / "videos", tmp_path / "new", *DIS, "--test_share=0", "--shards=1")
    assert run(capfd, *given)[0] == 0
    shards = Shards.open(f"{tmp_path}/new", "train")
    assert dict(zip(shards.ids, shards.num_frames.tolist())) == {"a/0.mp4": 1, "b/0.mp4": 1}
    assert (decoded(shards, shards.ids.index("a/0.mp4"), 0) == ZERO).all()


def test_field_too_high_for_a_jpeg_is_a_damaged_video(make_video, tmp_path, monkeypatch):
    """Frames of this size fit, but a field is twice as high."""
    monkeypatch.setattr(decoded_video, "LONGEST_SIDE", 63)
    video = make_video(tmp_path / "0.mp4", frames=3)
    temporal = decoded_video.DecodeTask(str(tmp_path / "t"), str(video), 32, 95, flow="dis")
    assert decoded_video.decode(temporal) == "fields of 43x32 are too high for a JPEG"
    assert (
        decoded_video.decode(decoded_video.DecodeTask(str(tmp_path / "s"), str(video), 32, 95))
        is None
    )


def test_workers_do_not_import_tensorflow():
    script = (
        "import sys, tfrecords_tools.builder.decoded_video; assert 'tensorflow' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0


def test_verify_detects_the_wrong_stream(own, temporal, built, tmp_path, capfd):
    """Tests frames with a manifest for flow, and the reverse."""
    for place, says, message in (
        (built, "temporal", "is 43x32, the record says 43x64 gray"),
        (temporal, "spatial", "is 43x64 gray, the record says 43x32"),
    ):
        copy = tmp_path / says
        shutil.copytree(place, copy)
        dataclasses.replace(Manifest.load(str(copy)), stream=says).save(str(copy))
        status, _, errors = run(capfd, str(copy), "--decode", program=verify)
        assert status == 1
        frames = sum(shard.frames for shard in Manifest.load(str(copy)).shards)
        assert len(errors) == frames
        assert message in errors[0]

"""Truncated videos are reported as damaged, never stored as shorter ones."""

from __future__ import annotations

import json
import random
import shutil

import av
import numpy as np
import pytest
from builds import arguments, files, run

from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.video import DamagedVideoError, VideoReader
from tfrecords_tools import verify

FRAMES = 30
# Without faststart, the header of an MP4 file is at its end.
CONTAINERS = {
    "avi": ("mpeg4", {}),
    "mp4": ("mpeg4", {"movflags": "faststart"}),
    "mov": ("mjpeg", {"movflags": "faststart"}),
    "mkv": ("mpeg4", {}),
    "webm": ("libvpx", {}),
}


def make(path, codec, options):
    texture = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(FRAMES):
            image = np.roll(texture, 2 * number, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def count(path):
    with VideoReader(str(path), 48) as reader:
        return sum(1 for _ in reader)


@pytest.mark.parametrize("container", CONTAINERS)
def test_cut_short(tmp_path, times, survived, container):
    path = tmp_path / f"whole.{container}"
    make(path, *CONTAINERS[container])
    assert count(path) == FRAMES
    content = path.read_bytes()
    cut = tmp_path / f"cut.{container}"
    ends = random.Random(0).sample(range(len(content)), times(60, 10))
    refused = 0
    for end in ends:
        cut.write_bytes(content[:end])
        try:
            # Intact files, too, may have one frame fewer than the header says.
            assert count(cut) >= FRAMES - 1
        except DamagedVideoError:
            refused += 1
    assert refused > len(ends) / 2
    survived(5, refused)


def test_genuine_files_cut_short(real, tmp_path, times, survived):
    """One of each container: AVI, MP4, Matroska."""
    paths = [
        next((real / "hmdb51/videos").rglob("*.avi")),
        real / "videos/part_0.mp4",
        real / "videos/flipping_a_pancake.mkv",
    ]
    cuts = 0
    for path in paths:
        frames = count(path)
        content = path.read_bytes()
        cut = tmp_path / f"cut{path.suffix}"
        for end in random.Random(path.name).sample(range(len(content)), times(8, 1)):
            cut.write_bytes(content[:end])
            try:
                assert count(cut) >= frames - 1, f"{path.name} cut at {end}"
            except DamagedVideoError:
                cuts += 1
    assert cuts
    survived(5, cuts)


def test_one_corrupt_video_among_many(make_video, tmp_path, times, survived, capfd):
    """It is listed; --max_bad_videos decides whether it makes the build fail."""
    number = times(1000, 60)
    first = make_video(tmp_path / "first.mp4", frames=2, size=(16, 16))
    videos = tmp_path / "videos"
    for name in ("even", "odd"):
        (videos / name).mkdir(parents=True)
    for index in range(number):
        shutil.copy(first, videos / ("even", "odd")[index % 2] / f"{index:04d}.mp4")
    corrupt = videos / "odd/0037.mp4"
    corrupt.write_bytes(corrupt.read_bytes()[:-200])
    given = arguments(videos, tmp_path / "shards", "--short_side=16", "--workers=2")
    status, _, errors = run(capfd, *given)
    assert status == 1
    assert errors[0].startswith("damaged: odd/0037.mp4: ")
    assert errors[1:] == [
        f"error: damaged videos left out of {tmp_path}/shards: 1; --max_bad_videos allows "
        "0, and --max_bad_videos=1 accepts the shards without them"
    ]
    manifest = Manifest.load(str(tmp_path / "shards"))
    assert [(video["id"], video["path"]) for video in manifest.damaged] == [
        ("odd/0037.mp4", str(corrupt))
    ]
    assert sum(subset.videos for subset in manifest.subsets.values()) == number - 1
    assert run(capfd, str(tmp_path / "shards"), program=verify)[0] == 0
    before = files(tmp_path / "shards")
    for allowed, expected in ((0, 1), (1, 0)):
        status, _, errors = run(capfd, *given, f"--max_bad_videos={allowed}")
        assert status == expected
        assert errors[0].startswith("damaged: odd/0037.mp4: ")
    # A new build that allows it gives the same bytes.
    given = arguments(videos, tmp_path / "again", "--short_side=16", "--workers=2")
    assert run(capfd, *given, "--max_bad_videos=1")[0] == 0
    assert files(tmp_path / "shards") == before == files(tmp_path / "again")
    assert json.loads(before["manifest.json"])["damaged"][0]["id"] == "odd/0037.mp4"
    survived(6, 1)

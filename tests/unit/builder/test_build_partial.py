"""Building with videos that decode in part, and with several video streams."""

from __future__ import annotations

import re
import shutil

import av
import numpy as np
import pytest
from builds import arguments, run

from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError
from tfrecords_tools import verify


@pytest.fixture
def videos(make_video, tmp_path):
    """Two classes of two videos; one of them ends after 15 of its 20 frames."""
    for name in ("run/1.avi", "run/2.avi", "walk/1.avi", "walk/2.avi"):
        make_video(tmp_path / "videos" / name, frames=20)
    path = tmp_path / "videos" / "walk/2.avi"
    content = path.read_bytes()
    chunks = [match.start() for match in re.finditer(b"00dc", content)]
    path.write_bytes(content[: [place for place in chunks if place > content.index(b"movi")][15]])
    return tmp_path / "videos"


def test_partial_video(videos, tmp_path, capfd):
    given = arguments(videos, tmp_path / "new")
    status, _, errors = run(capfd, *given)
    assert status == 1
    assert errors[0].startswith("damaged: walk/2.avi: ")
    assert '"partial"' not in (tmp_path / "new/manifest.json").read_text()
    status, _, errors = run(capfd, *given, "--keep_partial=0.5")
    assert status == 1
    assert "holds a build with keep_partial None, not 0.5" in errors[0]
    shutil.rmtree(tmp_path / "new")
    status, _, errors = run(capfd, *given, "--keep_partial=0.5")
    assert status == 0
    manifest = Manifest.load(f"{tmp_path}/new")
    partial = dict(*manifest.partial)
    reason, share = partial.pop("reason"), partial.pop("share")
    assert partial == {"id": "walk/2.avi", "path": f"{videos}/walk/2.avi"}
    assert errors == [f"partial: walk/2.avi: {share:.1%} of its frames decode: {reason}"]
    assert reason.endswith("frames decode, header says 20")
    assert manifest.damaged == ()
    assert share == 0.75
    assert sum(subset.frames for subset in manifest.subsets.values()) == 75
    status, out, _ = run(capfd, f"{tmp_path}/new", "--decode", program=verify)
    assert status == 0
    assert errors[0] in out
    repair = ["--repair", f"--videos={videos}"]
    for shard in (tmp_path / "new").glob("*.tfrecord"):
        shard.write_bytes(b"")
    assert run(capfd, f"{tmp_path}/new", *repair, program=verify)[0] == 0
    assert Manifest.load(f"{tmp_path}/new") == manifest


def test_less_than_the_share_is_damaged(videos, tmp_path, capfd):
    status, _, errors = run(capfd, *arguments(videos, tmp_path / "new", "--keep_partial=0.99"))
    assert status == 1
    assert errors[0].startswith("damaged: walk/2.avi: ")
    assert Manifest.load(f"{tmp_path}/new").partial == ()
    status, _, errors = run(capfd, *arguments(videos, tmp_path / "no", "--keep_partial=1.5"))
    assert status == 2
    assert "keep_partial" in errors[0]


def test_changed_entry_of_a_partial_video_is_refused(videos, tmp_path):
    entry = {"id": "a", "path": "b", "reason": "c", "share": 0.9}
    values = Manifest("folder", 0, "spatial", ("a",), {}, {}, partial=(entry,))
    assert Manifest.from_json(values.to_json()) == values
    for name in entry:
        changed = Manifest("folder", 0, "spatial", ("a",), {}, {}, partial=({**entry, name: [1]},))
        with pytest.raises(DataError, match=f"partial: {name} must be"):
            Manifest.from_json(changed.to_json())


def test_video_streams(videos, tmp_path, capfd):
    """The second stream is larger, and has more frames."""
    with av.open(str(videos / "walk/2.avi"), "w") as container:
        streams = [container.add_stream("mjpeg", rate=25) for _ in range(2)]
        for stream, side in zip(streams, (64, 128)):
            stream.width, stream.height, stream.pix_fmt = side, side, "yuvj420p"
        for stream, count in zip(streams, (5, 7)):
            image = np.full((stream.height, stream.width, 3), 99, np.uint8)
            for _ in range(count):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
    status, out, errors = run(capfd, *arguments(videos, tmp_path / "new", "--test_share=0"))
    assert (status, errors) == (0, [])
    assert "videos with several video streams: 1" in out
    shards = Shards.open(f"{tmp_path}/new", "train")
    assert dict(zip(shards.ids, shards.num_frames.tolist()))["walk/2.avi"] == 7
    given = arguments(videos, tmp_path / "second", "--test_share=0", "--video_stream=0")
    status, out, errors = run(capfd, *given)
    assert (status, errors) == (0, [])
    assert "several video streams" not in out
    shards = Shards.open(f"{tmp_path}/second", "train")
    assert dict(zip(shards.ids, shards.num_frames.tolist()))["walk/2.avi"] == 5
    given = arguments(videos, tmp_path / "third", "--video_stream=1", "--max_bad_videos=3")
    status, out, errors = run(capfd, *given)
    assert status == 0
    assert sorted(errors) == [
        f"damaged: {name}: has no video stream 1: it has 1, from 0"
        for name in ("run/1.avi", "run/2.avi", "walk/1.avi")
    ]


@pytest.mark.parametrize("shards", [1, 8])
def test_partial_video_stays_listed(videos, make_video, tmp_path, capfd, shards):
    """Whether its shard stays, or its images are copied."""
    given = arguments(videos, tmp_path / "new", "--keep_partial=0.5", f"--shards={shards}")
    assert run(capfd, *given)[0] == 0
    make_video(videos / "run/3.avi", seed=3)
    status, out, errors = run(capfd, *given, "--add")
    assert status == 0
    assert "videos: 1 to decode" in out
    assert len(errors) == 1
    assert errors[0].startswith("partial: walk/2.avi: 75.0% of its frames decode: 15 frames")

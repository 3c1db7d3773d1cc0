"""Another split from finished shards: the same bytes as from the videos, without decoding."""

import shutil

import pytest
from builds import files, run
from small_shards import flip_byte

from rlstm_tf.cli import app
from tfrecords_tools import demo


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Synthetic clips in the layout of UCF-101, with three splits."""
    output = tmp_path_factory.mktemp("demo") / "made"
    arguments = (f"--output={output}", "--videos_per_class=13", "--num_frames=5", "--size=32")
    assert app.run(demo.main, demo.define_flags, ["demo", *arguments, "--workers=1"]) == 0
    return output


def arguments(videos, split, output, *more):
    return [
        *("--dataset=ucf101", f"--videos={videos / 'videos'}"),
        *(f"--splits={videos / 'ucfTrainTestlist'}", f"--split={split}", f"--output={output}"),
        *("--short_side=32", "--shards=2", "--workers=1", *more),
    ]


@pytest.fixture(scope="module")
def first(videos, tmp_path_factory):
    """Shards of split 1, both streams."""
    from tfrecords_tools import build

    root = tmp_path_factory.mktemp("records")
    for stream in ("spatial", "temporal"):
        more = ["--stream=temporal", "--flow=dis"] if stream == "temporal" else []
        given = ["build", *arguments(videos, 1, root / stream, *more)]
        assert app.run(build.main, build.define_flags, given) == 0
    return root


@pytest.mark.parametrize("more", [[], ["--stream=temporal", "--flow=dis"]], ids=["frames", "flow"])
def test_same_bytes_without_decoding(videos, first, tmp_path, capfd, more):
    plain, copied = tmp_path / "plain", tmp_path / "copied"
    assert run(capfd, *arguments(videos, 2, plain, *more))[0] == 0
    other = tmp_path / "videos"
    shutil.copytree(videos, other)
    for path in (other / "videos").rglob("*.avi"):
        # Same size but not a video: decoding it would fail.
        path.write_bytes(b"\0" * path.stat().st_size)
    source = first / ("temporal" if more else "spatial")
    status, _, errors = run(capfd, *arguments(other, 2, copied, *more, f"--reuse={source}"))
    assert (status, errors) == (0, [])
    assert files(copied) == files(plain)


def test_other_images_are_refused(videos, first, tmp_path, capfd):
    def refused(status, message, *more):
        found, _, errors = run(capfd, *arguments(videos, 2, tmp_path / "new", *more))
        assert found == status
        assert message in errors[0]
        assert not (tmp_path / "new").exists()

    spatial, temporal = f"--reuse={first / 'spatial'}", f"--reuse={first / 'temporal'}"
    refused(2, "made with stream temporal, this build has spatial", temporal)
    refused(2, "made with short_side 32, this build has 40", spatial, "--short_side=40")
    flow = ("--stream=temporal", "--flow=tvl1")
    refused(2, "made with flow dis, this build has tvl1", temporal, *flow)
    refused(1, "no shards in", f"--reuse={tmp_path}")
    folder = ["--dataset=folder", f"--videos={videos / 'videos'}", f"--output={tmp_path / 'new'}"]
    assert run(capfd, *folder, spatial)[0] == 2


def test_damaged_shards_are_named(videos, first, tmp_path, capfd):
    damaged = tmp_path / "damaged"
    shutil.copytree(first / "spatial", damaged)
    path = next(damaged.glob("train-*.tfrecord"))
    flip_byte(path, path.stat().st_size // 2)
    status, _, errors = run(capfd, *arguments(videos, 2, tmp_path / "new", f"--reuse={damaged}"))
    assert status == 1
    assert path.name.split(".")[0] in errors[0]
    assert "checksum" in errors[0]

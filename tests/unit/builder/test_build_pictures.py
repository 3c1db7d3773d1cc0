"""Builds from folders of pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import pytest
from builds import arguments, files, run
from jobs import upload

from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.shards import Shards
from rlstm_tf.data.video import VideoReader
from tfrecords_tools import verify
from tfrecords_tools.builder.sources import load_sources


@pytest.fixture(scope="module")
def folders(own, tmp_path_factory):
    """The pictures of the videos of `own`, with the same names; and one video as it is."""
    directory = tmp_path_factory.mktemp("folders") / "videos"
    for path in sorted(own.glob("*/*.mp4")):
        folder = directory / path.relative_to(own)
        folder.mkdir(parents=True)
        with VideoReader(str(path), 48) as reader:
            for number, frame in enumerate(reader, 8):
                cv2.imwrite(str(folder / f"img_{number}.png"), frame)
    shutil.rmtree(directory / "walk/0.mp4")
    shutil.copy(own / "walk/0.mp4", directory / "walk")
    return directory


def images(directory):
    """The images of each video by its id."""
    found = {}
    for subset in Manifest.load(str(directory)).subsets:
        shards = Shards.open(str(directory), subset)
        for video, name in enumerate(shards.ids):
            count = int(shards.num_frames[video])
            found[name] = list(shards.read_frames(video, range(count)))
    return found


@pytest.fixture(scope="module")
def from_folders(folders, tmp_path_factory):
    from rlstm_tf.cli import app
    from tfrecords_tools import build

    directory = tmp_path_factory.mktemp("from_folders") / "shards"
    given = arguments(folders, directory, "--fps=12.5")
    assert app.run(build.main, build.define_flags, ["build", *given]) == 0
    return directory


def test_images_equal_those_of_the_videos(built, from_folders, capfd):
    assert images(from_folders) == images(built)
    manifest = Manifest.load(str(from_folders))
    assert manifest.settings["fps"] == 12.5
    assert "fps" not in Manifest.load(str(built)).settings
    rates = {}
    for subset in manifest.subsets:
        shards = Shards.open(str(from_folders), subset)
        rates.update(zip(shards.ids, shards.fps.tolist()))
    assert rates.pop("walk/0.mp4") == 25
    assert set(rates.values()) == {12.5}
    assert run(capfd, str(from_folders), "--decode", program=verify)[0] == 0


def test_sources_are_those_of_the_pictures(folders, from_folders):
    sources = load_sources(str(from_folders), Manifest.load(str(from_folders)))
    assert len({source.digest.sha256 for source in sources}) == 7
    for source in sources:
        path = folders / source.id
        paths = [path] if path.is_file() else path.iterdir()
        assert source.digest.size == sum(one.stat().st_size for one in paths)


def test_repair(folders, from_folders, tmp_path, capfd):
    shutil.copytree(from_folders, tmp_path / "shards")
    first = next((tmp_path / "shards").glob("train*.tfrecord"))
    first.write_bytes(b"")
    given = str(tmp_path / "shards"), "--repair", f"--videos={folders}"
    assert run(capfd, *given, program=verify)[0] == 0
    assert files(tmp_path / "shards") == files(from_folders)


def test_remote_folders(folders, from_folders, tmp_path, capfd):
    there = upload(folders, "ram://pictures/videos")
    status, _, errors = run(capfd, *arguments(there, tmp_path / "new", "--fps=12.5"))
    assert (status, errors) == (0, [])
    assert files(tmp_path / "new") == files(from_folders)


def test_temporal_stream(own, folders, tmp_path, capfd):
    for videos in (own, folders):
        given = arguments(videos, tmp_path / f"{videos.parent.name}", "--stream=temporal")
        assert run(capfd, *given, "--flow=dis")[0] == 0
    assert images(tmp_path / folders.parent.name) == images(tmp_path / own.parent.name)


def test_gaps_and_sizes_are_named(folders, tmp_path, capfd):
    shutil.copytree(folders, tmp_path / "videos")
    gap, size = tmp_path / "videos/walk/2.mp4", tmp_path / "videos/walk/4.mp4"
    (gap / "img_10.png").unlink()
    cv2.imwrite(str(size / "img_9.png"), cv2.imread(str(size / "img_9.png"))[:-8])
    status, _, errors = run(capfd, *arguments(tmp_path / "videos", tmp_path / "new"))
    assert status == 1
    assert sorted(errors[:2]) == [
        "damaged: walk/2.mp4: lacks 1 of 7 pictures, the first between img_9.png and img_11.png",
        "damaged: walk/4.mp4: img_9.png has 64x40 pixels, img_8.png 64x48",
    ]
    assert errors[2].startswith(f"error: damaged videos left out of {tmp_path}/new: 2; ")
    assert not list(Path(tmp_path / "new").glob(".*"))


def test_fps_without_pictures(own, tmp_path, capfd):
    status, _, errors = run(capfd, *arguments(own, tmp_path / "new", "--fps=25"))
    assert status == 2
    assert errors == [f"error: --fps does nothing: {own} lists no folder of pictures"]
    given = ("--dataset=charades", "--videos=v", "--output=o", "--splits=s", "--fps=25")
    assert run(capfd, *given)[2] == ["error: --fps goes with --dataset=folder"]


def test_intervals_require_the_rate(folders, tmp_path, capfd):
    rows = "path,label,start,end\nwalk/2.mp4,a,0,0.2\nwalk/4.mp4,b,0.16,0.4\n"
    (tmp_path / "list.csv").write_text(rows.replace("walk", f"{folders}/walk"))
    given = arguments(tmp_path / "list.csv", tmp_path / "new")
    assert run(capfd, *given)[2] == [
        f"error: --fps is required: {folders}/walk/2.mp4 is a folder of pictures, "
        "and its actions are given in seconds"
    ]
    assert run(capfd, *given, "--fps=12.5", "--test_share=0")[0] == 0
    samples = Shards.open(str(tmp_path / "new"), "train").samples
    assert sorted(zip(samples["first_frame"], samples["num_frames"])) == [(0, 3), (2, 3)]


def test_another_rate_is_another_build(folders, from_folders, capfd):
    for given, now in ((("--fps=25",), "25.0"), ((), "None")):
        status, _, errors = run(capfd, *arguments(folders, from_folders, *given))
        assert status == 1
        assert f"holds a build with fps 12.5, not {now}: give another --output" in errors[0]

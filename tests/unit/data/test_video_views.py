"""Compares views of video files with those of their records."""

import dataclasses

import cv2
import numpy as np
import pytest
from builds import arguments

from rlstm_tf.cli import app
from rlstm_tf.data.batches import evaluation_example
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.protocols import CENTER, CHARADES, PAPER
from rlstm_tf.data.shards import Shards
from rlstm_tf.data.timeline import frame_times, window_snippets, window_views, windows
from rlstm_tf.data.video import DamagedVideoError, VideoReader
from rlstm_tf.data.video_views import RecordFormat, make_image_reader, video_views
from rlstm_tf.errors import DataError
from tfrecords_tools import build

SPATIAL = InputConfig(2, num_segments=5, image_size=32)
TEMPORAL = dataclasses.replace(SPATIAL, stream="temporal", new_length=3)


@pytest.fixture(scope="module")
def flow_shards(own, make_video, tmp_path_factory):
    """Shards of the flow of `own`, and of a video of one frame."""
    make_video(own / "walk" / "still.mp4", frames=1)
    directory = tmp_path_factory.mktemp("flow") / "shards"
    line = ["build", *arguments(own, directory), "--stream=temporal", "--flow=dis"]
    assert app.run(build.main, build.define_flags, line) == 0
    (own / "walk" / "still.mp4").rename(own.parent / "still.mp4")
    return directory


def compare_views(shards_directory, own, config, protocol):
    """Compares the views of all videos in the shards with those of their files; counts them."""
    record_format = RecordFormat.from_manifest(Manifest.load(str(shards_directory)))
    count = 0
    for subset in ("train", "test"):
        shards = Shards.open(str(shards_directory), subset)
        for position, video in enumerate(shards.ids):
            path = own / video
            path = path if path.exists() else own.parent / path.name
            views = video_views(str(path), record_format, config, protocol)
            expected = evaluation_example(shards, config, position, protocol)["frames"]
            np.testing.assert_array_equal(views.frames, expected, err_msg=video)
            np.testing.assert_allclose(views.times, views.numbers / 25)
            assert views.numbers.shape[1] == config.num_segments
            count += 1
    return count


@pytest.mark.parametrize("protocol", [CENTER, PAPER, CHARADES], ids=("center", "paper", "charades"))
def test_frames_of_a_file_equal_those_of_its_record(built, own, protocol):
    assert compare_views(built, own, SPATIAL, protocol) == 7


@pytest.mark.parametrize("protocol", [CENTER, PAPER], ids=("center", "paper"))
def test_flow_of_a_file_equals_that_of_its_record(flow_shards, own, protocol):
    assert compare_views(flow_shards, own, TEMPORAL, protocol) == 8


@pytest.mark.parametrize("config", [SPATIAL, TEMPORAL], ids=("spatial", "temporal"))
def test_views_of_pictures_equal_those_of_the_video(make_video, tmp_path, config):
    path = str(make_video(tmp_path / "clip.mp4", frames=12))
    (tmp_path / "clip").mkdir()
    with VideoReader(path, 48) as reader:
        for number, frame in enumerate(reader):
            cv2.imwrite(f"{tmp_path}/clip/{number}.png", frame)
    record_format = RecordFormat(40, 95, "dis" if config is TEMPORAL else None)
    expected = video_views(path, record_format, config, PAPER)
    views = video_views(str(tmp_path / "clip"), record_format, config, PAPER)
    np.testing.assert_array_equal(views.frames, expected.frames)
    assert np.isnan(views.times).all()
    # And in a timeline, at the rate that is given.
    times, by_number = (frame_times(p, 40, fps=25) for p in (path, str(tmp_path / "clip")))
    np.testing.assert_allclose(by_number.starts, times.starts)
    assert by_number.end == pytest.approx(times.end)
    numbers = window_snippets(times, windows(times.end, 0.2, 0.1), config)
    for one, other in zip(
        *(window_views(p, record_format, config, numbers) for p in (path, str(tmp_path / "clip")))
    ):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(DamagedVideoError, match="give --fps"):
        frame_times(str(tmp_path / "clip"), 40)


def test_genuine_clips(real):
    paths = sorted((real / "hmdb51" / "videos").rglob("*.avi"))[:2]
    assert paths
    for path in paths:
        with VideoReader(str(path), 40) as reader:
            images = list(reader)
        views = video_views(str(path), RecordFormat(40, 95), SPATIAL)
        assert views.numbers.max() < len(images)
        assert views.frames.shape == (1, 5, 32, 32, 3)
        shown = views.frames[0, 2].astype(int)
        top, left = ((size - 32) // 2 for size in images[0].shape[:2])
        crops = [image[top : top + 32, left : left + 32, ::-1] for image in images]
        # Up to JPEG compression, it is the frame with this number.
        assert np.argmin([abs(shown - crop).mean() for crop in crops]) == views.numbers[0, 2]


def test_count_is_the_number_of_frames(make_video, tmp_path):
    with VideoReader(str(make_video(tmp_path / "a.mp4", frames=9)), 32) as reader:
        assert reader.count() == 9


def test_unusable_videos_are_refused(make_video, tmp_path, real):
    path = str(make_video(tmp_path / "a.mp4"))
    with pytest.raises(DataError, match="less than 64 pixels"):
        video_views(path, RecordFormat(32, 95), dataclasses.replace(SPATIAL, image_size=64))
    with pytest.raises(DamagedVideoError, match="header says"):
        video_views(
            str(real / "broken" / "derived_truncated_half.avi"), RecordFormat(32, 95), SPATIAL
        )
    with VideoReader(path, 32) as reader, pytest.raises(DamagedVideoError, match="frame 10"):
        make_image_reader(reader, RecordFormat(32, 95))(10)


def test_manifest_with_missing_or_invalid_settings_is_refused(built):
    manifest = Manifest.load(str(built))
    assert RecordFormat.from_manifest(manifest) == RecordFormat(32, 95)

    def with_settings(**changes):
        settings = {name: value for name, value in manifest.settings.items() if name not in changes}
        given = {name: value for name, value in changes.items() if value is not None}
        return dataclasses.replace(manifest, settings={**settings, **given})

    for changes in ({"short_side": None}, {"short_side": "32"}, {"jpeg_quality": 101}):
        with pytest.raises(DataError, match=next(iter(changes))):
            RecordFormat.from_manifest(with_settings(**changes))
    for flow in (None, "farneback"):
        temporal = dataclasses.replace(with_settings(flow=flow), stream="temporal")
        with pytest.raises(DataError, match="flow"):
            RecordFormat.from_manifest(temporal)

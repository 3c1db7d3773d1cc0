"""Windows of long videos: their times, their frames, and their pixels."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from rlstm_tf.data import augmentation
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.sampling import group_snippets
from rlstm_tf.data.stream_times import FrameTimes
from rlstm_tf.data.timeline import (
    check_windows,
    covering_windows,
    frame_times,
    pieces,
    window_snippets,
    window_views,
    windows,
)
from rlstm_tf.data.video import DamagedVideoError, VideoReader
from rlstm_tf.data.video_views import RecordFormat, make_image_reader, video_views
from rlstm_tf.errors import DataError, UsageError

SPATIAL = InputConfig(1, num_segments=3, image_size=32)
TEMPORAL = InputConfig(1, num_segments=3, image_size=32, stream="temporal", new_length=4)
FORMAT = {"spatial": RecordFormat(40, 95), "temporal": RecordFormat(40, 95, "dis")}


def write_timed(path, milliseconds, codec="mpeg4", **options):
    """Writes a video with a frame at each of these times."""
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(milliseconds):
            image = np.full((48, 64, 3), 20 * number % 256, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return str(path)


@pytest.mark.parametrize(
    ("end", "window", "stride", "expected"),
    [
        (10, 4, 2, [(0, 4), (2, 6), (4, 8), (6, 10)]),
        # The last window ends with the video.
        (10.5, 4, 2, [(0, 4), (2, 6), (4, 8), (6, 10), (6.5, 10.5)]),
        (5, 4, 3, [(0, 4), (1, 5)]),
        (4, 4, 4, [(0, 4)]),
        # Shorter than a window.
        (3, 4, 2, [(0, 3)]),
        # 3 x 0.1 is more than 0.3 in binary.
        (0.5, 0.2, 0.1, [(0, 0.2), (0.1, 0.3), (0.2, 0.4), (0.3, 0.5)]),
    ],
)
def test_windows(end, window, stride, expected):
    found = windows(end, window, stride)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert found[-1, 1] == end


@pytest.mark.parametrize(
    ("end", "stride", "edges"),
    [(6, 2, [0, 2, 4, 6]), (5, 2, [0, 2, 4, 5]), (1, 2, [0, 1]), (0.3, 0.1, [0, 0.1, 0.2, 0.3])],
)
def test_pieces(end, stride, edges):
    np.testing.assert_allclose(pieces(end, stride), list(zip(edges, edges[1:])), atol=1e-9)


def test_covering_windows():
    bounds, parts = windows(10.5, 4, 2), pieces(10.5, 2)
    assert covering_windows(bounds, parts).tolist() == [
        [0, 0],
        [0, 1],
        [1, 2],
        [2, 3],
        [3, 4],
        [4, 4],
    ]


def test_pieces_cover_the_video_and_are_each_in_a_window():
    rng = np.random.default_rng(0)
    for _ in range(500):
        end, window = rng.uniform(0.01, 100, 2)
        stride = window * rng.choice([1 / 16, 0.1, 0.3, 0.5, 0.9, 1])
        bounds, parts = windows(end, window, stride), pieces(end, stride)
        assert parts[0, 0] == 0
        assert parts[-1, 1] == end
        assert (parts[1:, 0] == parts[:-1, 1]).all()
        assert (parts[:, 1] > parts[:, 0]).all()
        assert (np.diff(bounds, axis=0) >= 0).all()
        for (first, last), (start, stop) in zip(
            covering_windows(bounds, parts).tolist(), parts.tolist()
        ):
            inside = (bounds[:, 0] <= start + 1e-6) & (bounds[:, 1] >= stop - 1e-6)
            assert np.flatnonzero(inside).tolist() == list(range(first, last + 1))
            assert inside.any()


def test_invalid_windows_and_strides_are_refused():
    for good in ((4, 2), (4, 4), (4, 0.25), (0.5, 0.5)):
        check_windows(*good)
    for bad in ((4, 4.1), (4, 0.2), (4, 0), (4, -1), (0, 0), (-1, -1), (1e6, 1e6)):
        with pytest.raises(UsageError, match=r"--(window|stride)=.* must be"):
            check_windows(*bad)


def test_times_of_a_constant_frame_rate(make_video, tmp_path):
    times = frame_times(str(make_video(tmp_path / "a.mp4", frames=10)), 32)
    np.testing.assert_allclose(times.starts, np.arange(10) / 25)
    assert times.end == pytest.approx(0.4)


def test_times_of_a_variable_frame_rate_start_at_the_first_frame(tmp_path):
    given = [500, 540, 600, 1500, 1520, 3000]
    times = frame_times(write_timed(tmp_path / "a.mkv", given), 32)
    np.testing.assert_allclose(times.starts, (np.array(given) - 500) / 1000)
    assert times.end > 2.5


def test_genuine_times(real):
    times = frame_times(str(real / "broken" / "torchcodec_var_fps_video.mp4"), 32)
    assert len(times.starts) == 300
    steps = np.diff(times.starts)
    assert steps.max() > 1.9 * steps.min() > 0
    assert times.end == pytest.approx(14.967, abs=1e-3)
    (path,) = (real / "hmdb51" / "videos" / "punch").iterdir()
    times = frame_times(str(path), 32)
    np.testing.assert_allclose(times.starts, np.arange(172) / 30)
    assert times.end == pytest.approx(172 / 30)


def test_track_gets_the_expected_number_of_frames(make_video, tmp_path):
    seen = []

    def track(items, total):
        for item in items:
            seen.append(total)
            yield item

    paths = [str(make_video(tmp_path / name, frames=10)) for name in ("a.mp4", "a.mkv")]
    # FLV stores only its duration, M4V not even that.
    paths.append(write_timed(tmp_path / "a.flv", range(0, 400, 40), codec="flv1"))
    paths.append(write_timed(tmp_path / "a.m4v", range(0, 400, 40), format="m4v"))
    for path in paths:
        frame_times(path, 32, track)
    assert seen == [10] * 30 + [0] * 10


def test_window_is_sampled_like_a_video():
    times = FrameTimes(np.arange(250) / 25, 10.0)
    numbers = window_snippets(times, windows(10, 4, 2), SPATIAL)
    assert numbers.shape == (4, 3, 1)
    for window, found in enumerate(numbers[..., 0]):
        np.testing.assert_array_equal(found, 50 * window + group_snippets(100, 3)[0])


def test_flow_snippets_stay_in_a_longer_window():
    times = FrameTimes(np.arange(250) / 25, 10.0)
    numbers = window_snippets(times, windows(10, 4, 2), TEMPORAL)
    assert numbers.shape == (4, 3, 4)
    for window, found in enumerate(numbers[:3]):
        np.testing.assert_array_equal(found[:, 0], 50 * window + group_snippets(100, 3, 1, 4)[0])
    # 250 frames have 249 flow fields.
    np.testing.assert_array_equal(numbers[3, :, 0], 150 + group_snippets(99, 3, 1, 4)[0])


def test_snippets_of_variable_frame_rates_follow_the_times():
    # 10 frames per second, then one in 5 seconds, then 10 per second again.
    starts = np.concatenate([np.arange(20) / 10, [7.0], 7.1 + np.arange(9) / 10])
    bounds = windows(8.0, 1, 1)
    numbers = window_snippets(FrameTimes(starts, 8.0), bounds, SPATIAL)[..., 0]
    assert numbers[0].tolist() == [1, 5, 8]
    # No frame starts in these windows: the one still shown is used.
    assert (numbers[2:7] == 19).all()
    assert numbers[7].tolist() == [20 + 1, 20 + 5, 20 + 8]


def test_single_frame():
    bounds = windows(0.04, 4, 2)
    for config in (SPATIAL, TEMPORAL):
        assert not window_snippets(FrameTimes(np.zeros(1), 0.04), bounds, config).any()


@pytest.mark.parametrize("config", [SPATIAL, TEMPORAL], ids=("spatial", "temporal"))
def test_window_as_long_as_the_video_equals_its_view(make_video, tmp_path, config):
    path, record_format = str(make_video(tmp_path / "a.mp4", frames=23)), FORMAT[config.stream]
    times = frame_times(path, 40)
    numbers = window_snippets(times, windows(times.end, 4, 2), config)
    (found,) = window_views(path, record_format, config, numbers)
    np.testing.assert_array_equal(found, video_views(path, record_format, config).frames[0])


@pytest.mark.parametrize("config", [SPATIAL, TEMPORAL], ids=("spatial", "temporal"))
@pytest.mark.parametrize("stride", [0.25, 0.4, 1.0])
def test_views_show_the_numbered_frames(make_video, tmp_path, config, stride):
    path, record_format = str(make_video(tmp_path / "a.mp4", frames=90)), FORMAT[config.stream]
    with VideoReader(path, 40) as reader:
        image = make_image_reader(reader, record_format)
        images = [image(number) for number in range(90 if config is SPATIAL else 89)]
    times = frame_times(path, 40)
    bounds = windows(times.end, 1.0, stride)
    numbers = window_snippets(times, bounds, config)
    views = list(window_views(path, record_format, config, numbers))
    assert len(views) == len(bounds) > 3
    [box] = augmentation.evaluation_crops(40, 53, 32)
    for window, view in enumerate(views):
        for segment in range(3):
            shown = [images[number] for number in numbers[window, segment]]
            expected = np.empty(config.video_shape[1:], np.uint8)
            if config is SPATIAL:
                augmentation.crop_and_resize(shown[0], box, 32, out=expected)
            else:
                augmentation.crop_flow(shown, box, 32, False, expected)
            np.testing.assert_array_equal(view[segment], expected)


def test_snippets_ascend_for_any_times():
    """No window ends before an earlier one, which `window_views` relies on."""
    rng = np.random.default_rng(1)
    for trial in range(300):
        config = (SPATIAL, TEMPORAL)[trial % 2]
        starts = np.sort(rng.choice([rng.uniform(0, 20, 60), rng.integers(0, 20, 60)]))
        starts = starts[: rng.integers(1, 60)]
        starts = starts - starts[0]
        end = float(starts[-1]) + 0.1
        window = float(rng.uniform(0.01, 8))
        bounds = windows(end, window, window * float(rng.uniform(1 / 16, 1)))
        numbers = window_snippets(FrameTimes(starts, end), bounds, config)
        assert (np.diff(numbers[:, -1, 0]) >= 0).all()
        assert (np.diff(numbers[..., 0], axis=1) >= 0).all()
        assert numbers.max() < len(starts)


def test_unusable_videos_are_refused(make_video, tmp_path):
    path = str(make_video(tmp_path / "a.mp4", frames=10))
    small = RecordFormat(24, 95)
    with pytest.raises(DataError, match="is less than 32 pixels"):
        next(window_views(path, small, SPATIAL, np.zeros((1, 3, 1), np.int64)))
    with pytest.raises(DamagedVideoError, match="ends before frame 10"):
        list(window_views(path, FORMAT["spatial"], SPATIAL, np.full((1, 3, 1), 10)))

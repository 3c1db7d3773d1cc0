"""Folders of pictures as videos."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from rlstm_tf.data.picture_reader import PictureReader, open_video
from rlstm_tf.data.picture_series import order_pictures
from rlstm_tf.data.video import DamagedVideoError, VideoReader, require_readable
from rlstm_tf.errors import DataError


def picture(number, size=(64, 48)):
    """A picture whose brightness is its number times 20."""
    return np.full((size[1], size[0], 3), 20 * number, np.uint8)


def write(folder, names, **kwargs):
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        assert cv2.imwrite(str(folder / name), picture(number, **kwargs))
    return folder


def count(folder):
    """Returns the number of frames, or what is damaged."""
    try:
        with PictureReader(str(folder), 48) as reader:
            return reader.count()
    except DamagedVideoError as error:
        return str(error)


def test_order_is_that_of_the_numbers():
    names = ["img_10.jpg", "img_9.jpg", "img_11.JPG", "img_8.png"]
    assert order_pictures(names) == ["img_8.png", "img_9.jpg", "img_10.jpg", "img_11.JPG"]
    # The number that varies counts, wherever it is.
    assert order_pictures(["v2_0007_640.jpg", "v2_0006_640.jpg"])[0] == "v2_0006_640.jpg"
    assert order_pictures(["0.png"]) == ["0.png"]
    assert order_pictures(["frame.png"]) == ["frame.png"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            "img_1.jpg img_2.jpg img_5.jpg img_7.jpg",
            "lacks 3 of 7 pictures, the first between img_2.jpg and img_5.jpg",
        ),
        ("img_1.jpg img_01.jpg", "holds two pictures of one number, img_01.jpg and img_1.jpg"),
        ("1.jpg 1.png 2.jpg", "holds two pictures of one number, 1.jpg and 1.png"),
        (
            "img_1.jpg flow_x_1.jpg flow_y_1.jpg",
            "holds pictures of 3 series, such as flow_x_1.jpg and flow_y_1.jpg: a folder holds one",
        ),
        (
            "s1_1.jpg s1_2.jpg s2_1.jpg",
            "holds pictures whose names differ in 2 numbers, such as s1_1.jpg and s2_1.jpg: only "
            "one may count",
        ),
        ("a.jpg a.png", "holds two pictures of one number, a.jpg and a.png"),
    ],
)
def test_other_names_are_refused(tmp_path, names, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        order_pictures(names.split())
    assert count(write(tmp_path / "a", names.split())) == message


@pytest.mark.parametrize("suffix", ["jpg", "PNG", "bmp", "tif", "webp", "ppm"])
def test_reads_like_a_video(tmp_path, suffix):
    folder = write(tmp_path / "clip", [f"img_{number}.{suffix}" for number in range(8, 12)])
    (folder / "notes.txt").touch()
    (folder / f"._img_1.{suffix}").touch()
    with open_video(str(folder), 24, 10.0) as reader:
        assert (reader.width, reader.height, reader.fps) == (32, 24, 10)
        assert (reader.count(), reader.num_expected) == (4, 4)
        frames = list(reader)
        for frame in frames:
            assert (frame.shape, frame.dtype) == ((24, 32, 3), np.uint8)
            assert frame.flags.c_contiguous
        np.testing.assert_allclose([frame.mean() for frame in frames], (0, 20, 40, 60), atol=2)
        for read, frame in zip(reversed(list(reader.lazy_frames())), reversed(frames)):
            np.testing.assert_array_equal(read(), frame)


def test_resized_like_a_video(make_video, tmp_path):
    path = str(make_video(tmp_path / "clip.mp4", frames=3))
    (tmp_path / "clip").mkdir()
    with open_video(path, 48) as reader:
        assert isinstance(reader, VideoReader)
        for number, frame in enumerate(reader):
            cv2.imwrite(f"{tmp_path}/clip/{number}.png", frame)
    for short_side in (48, 24, 60):
        with open_video(path, short_side) as reader:
            expected = list(reader)
        with open_video(str(tmp_path / "clip"), short_side) as reader:
            np.testing.assert_array_equal(list(reader), expected)


def test_gray_transparent_and_deep_pictures(tmp_path):
    levels = np.full((48, 64), 200, np.uint8)
    cv2.imwrite(f"{tmp_path}/0.png", levels)
    cv2.imwrite(f"{tmp_path}/1.png", np.dstack([levels] * 4))
    cv2.imwrite(f"{tmp_path}/2.png", levels.astype(np.uint16) * 257)
    with PictureReader(str(tmp_path), 48) as reader:
        np.testing.assert_array_equal(list(reader), np.full((3, 48, 64, 3), 200))


def test_another_size_is_refused_by_name(tmp_path):
    write(tmp_path, ["1.png", "2.png"])
    cv2.imwrite(str(tmp_path / "3.png"), picture(0, size=(48, 64)))
    assert count(tmp_path) == "3.png has 48x64 pixels, 1.png 64x48"


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "webp"])
def test_damaged_pictures_are_refused_by_name(tmp_path, capfd, suffix):
    write(tmp_path, [f"{number}.{suffix}" for number in range(3)])
    path = tmp_path / f"1.{suffix}"
    content = path.read_bytes()
    for damaged in (b"", b"text", content[:20], content[: len(content) // 2], content[:-1]):
        path.write_bytes(damaged)
        assert count(tmp_path) in (f"1.{suffix} is cut off", f"1.{suffix} cannot be decoded")
    # OpenCV's own lines do not reach the terminal.
    assert capfd.readouterr().err == ""


def test_jpeg_with_a_thumbnail_or_a_trailer_is_intact(tmp_path):
    write(tmp_path, ["0.jpg"])
    content = (tmp_path / "0.jpg").read_bytes()
    with_thumbnail = content[:2] + b"\xff\xe2" + bytes(divmod(len(content) + 2, 256)) + content
    (tmp_path / "1.jpg").write_bytes(with_thumbnail + content[2:] + bytes(100))
    assert count(tmp_path) == 2
    (tmp_path / "1.jpg").write_bytes(with_thumbnail + content[2:-2])
    assert count(tmp_path) == "1.jpg is cut off"


def test_pictures_that_cannot_be_read_are_not_damaged(tmp_path):
    write(tmp_path, ["0.jpg", "1.jpg"])
    require_readable(str(tmp_path))
    with PictureReader(str(tmp_path), 48) as reader:
        (tmp_path / "1.jpg").unlink()
        with pytest.raises(DataError, match=r"cannot read .*1.jpg: No such file"):
            reader.count()
    (tmp_path / "none").mkdir()
    assert count(tmp_path / "none") == "holds no pictures"


def test_times(tmp_path):
    write(tmp_path, ["0.jpg", "1.jpg"])
    with PictureReader(str(tmp_path), 48, 4.0) as reader:
        times = reader.frame_times()
    assert (times.starts.tolist(), times.end) == ([0.0, 0.25], 0.5)
    with (
        PictureReader(str(tmp_path), 48) as reader,
        pytest.raises(DamagedVideoError, match="give --fps"),
    ):
        reader.frame_times()


def test_a_png_whose_chunk_claims_gigabytes(tmp_path):
    """OpenCV 4.11 would ask for them."""
    content = bytearray(cv2.imencode(".png", np.zeros((40, 48, 3), np.uint8))[1].tobytes())
    at = content.index(b"IDAT") - 4
    content[at : at + 4] = b"\x7f\xff\xff\xff"
    (tmp_path / "img_1.png").write_bytes(content)
    with pytest.raises(DamagedVideoError, match=r"img_1\.png is cut off"):
        PictureReader(str(tmp_path), 32)

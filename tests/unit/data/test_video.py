"""Decoding of genuine files, good and broken: see README.md in ../shared/real."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from rlstm_tf.data.video import DamagedVideoError, VideoReader, encode_jpeg
from rlstm_tf.data.video_names import is_video_name


def read(path, short_side=256):
    """Returns the number of frames, (height, width) and fps; checks every frame's shape."""
    count = 0
    with VideoReader(str(path), short_side) as reader:
        for frame in reader:
            assert frame.shape == (reader.height, reader.width, 3)
            assert frame.dtype == np.uint8
            assert frame.flags.c_contiguous
            count += 1
        return count, (reader.height, reader.width), reader.fps


@pytest.mark.parametrize(
    ("name", "frames", "size", "fps"),
    [
        ("videos/demo.mp4", 280, (256, 340), 28),
        ("videos/part_0.mp4", 32, (256, 340), 30),
        # Two video streams: the first one is 320x180.
        ("videos/nasa_13013.mp4", 325, (256, 455), 25),
        # Header without a frame count.
        ("videos/flipping_a_pancake.mkv", 310, (256, 454), 30),
        # One frame less than the header says.
        ("hmdb51/videos/climb/(HQ)*", 242, (256, 341), 30),
        ("hmdb51/videos/golf/*", 89, (256, 341), 30),
        ("hmdb51/videos/punch/*", 172, (256, 341), 30),
        ("hmdb51/videos/shoot_bow/*", 81, (256, 341), 30),
        ("hmdb51/videos/swing_baseball/*", 140, (256, 452), 30),
        # Stored as 568x320.
        ("broken/decord_video_90.mov", 3, (454, 256), 30),
        # Variable rate: every frame, the average rate.
        ("broken/torchcodec_var_fps_video.mp4", 300, (256, 256), 1125 / 56),
        ("broken/mp4parse_minimal.mp4", 1, (256, 341), 25),
    ],
)
def test_genuine_good(real, name, frames, size, fps):
    (path,) = real.glob(name)
    assert read(path) == (frames, size, pytest.approx(fps))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("derived_zero_length.avi", "cannot be opened: Invalid data"),
        ("derived_text.avi", "cannot be opened: Invalid data"),
        ("mp4parse_chunk_out_of_range.mp4", "cannot be opened: Invalid data"),
        ("decord_corrupted.mp4", "decoding fails after 28 frames, header says 50: Invalid data"),
        ("derived_truncated_half.avi", "77 frames decode, header says 164"),
        ("derived_flipped_bytes.avi", "133 frames decode, header says 164"),
        ("mp4parse_invalid_userdata.mp4", "no frame decodes, header says 5544"),
        ("mp4parse_test_case_1185230.mp4", "decoding fails after 0 frames, header says 10"),
        ("mp4parse_no_timescale.mp4", "decoding fails after 8 frames, header says nothing"),
        ("mp4parse_amr_nb_1f.3gp", "has no video stream"),
        ("not_there.avi", "cannot be opened: No such file"),
    ],
)
def test_genuine_broken(real, name, reason):
    with pytest.raises(DamagedVideoError, match=f"^{reason}"):
        read(real / "broken" / name)


def test_every_genuine_broken_file_is_tested(real):
    named = set()
    for function in (test_genuine_good, test_genuine_broken):
        for mark in function.pytestmark:
            named.update(str(case[0]).split("/")[-1] for case in mark.args[1])
    assert {path.name for path in (real / "broken").iterdir()} <= named


FORMATS = {
    # Suffix -> FFmpeg's format, codec, pixels, size. Each at 25 frames per second.
    "GIF": ("gif", "gif", "rgb8", (64, 48)),
    "apng": ("apng", "apng", "rgb24", (64, 48)),
    "vob": ("vob", "mpeg2video", "yuv420p", (64, 48)),
    "mxf": ("mxf", "mpeg2video", "yuv420p", (64, 48)),
    "dv": ("dv", "dvvideo", "yuv420p", (720, 576)),
    "h264": ("h264", "libx264", "yuv420p", (64, 48)),
    "mjpeg": ("mjpeg", "mjpeg", "yuvj420p", (64, 48)),
    "y4m": ("yuv4mpegpipe", "wrapped_avframe", "yuv420p", (64, 48)),
    "m2v": ("mpeg2video", "mpeg2video", "yuv420p", (64, 48)),
    "rm": ("rm", "rv10", "yuv420p", (128, 96)),
    "swf": ("swf", "flv", "yuv420p", (64, 48)),
}


@pytest.mark.parametrize("suffix", FORMATS)
def test_formats(tmp_path, suffix):
    container, codec, pixels, (width, height) = FORMATS[suffix]
    path = tmp_path / f"clip.{suffix}"
    assert is_video_name(path.name)
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        for level in range(0, 240, 40):
            image = np.full((height, width, 3), level, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    with VideoReader(str(path), 48) as reader:
        assert reader.fps == 25
        np.testing.assert_allclose([f.mean() for f in reader], range(0, 240, 40), atol=3)


def stored(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def test_genuine_rotation_is_clockwise(real):
    path = real / "broken/decord_video_90.mov"
    with VideoReader(str(path), 320) as reader:
        frames = list(reader)
    expected = [cv2.rotate(frame, cv2.ROTATE_90_CLOCKWISE) for frame in stored(path)]
    np.testing.assert_array_equal(frames, expected)


UPRIGHT = {
    (1, 0, 0, 1): lambda image: image,
    (0, 1, -1, 0): lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    (-1, 0, 0, -1): lambda image: cv2.rotate(image, cv2.ROTATE_180),
    (0, -1, 1, 0): lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
    # Mirrored, as by front cameras.
    (-1, 0, 0, 1): lambda image: image[:, ::-1],
    (0, 1, 1, 0): lambda image: image.transpose(1, 0, 2),
    (0, 0, 0, 0): lambda image: image,
}


def with_matrix(path, matrix):
    """Replaces the identity matrix in the `tkhd` box of an MP4 file's track."""
    a, b, c, d = (int(value * 65536) for value in matrix)
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    other = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    content = path.read_bytes()
    track = content.index(b"tkhd")
    path.write_bytes(content[:track] + content[track:].replace(identity, other, 1))


@pytest.mark.parametrize("matrix", UPRIGHT)
def test_display_matrix(make_video, tmp_path, matrix):
    path = make_video(tmp_path / "clip.mp4", frames=2)
    expected = [UPRIGHT[matrix](frame) for frame in stored(path)]
    with_matrix(path, matrix)
    with VideoReader(str(path), 48) as reader:
        np.testing.assert_array_equal(list(reader), expected)
        assert (reader.height, reader.width) == expected[0].shape[:2]


def test_display_matrix_of_45_degrees_is_refused(make_video, tmp_path):
    path = make_video(tmp_path / "clip.mp4", frames=2)
    with_matrix(path, (0.707, 0.707, -0.707, 0.707))
    with pytest.raises(DamagedVideoError, match="not a multiple of 90 degrees"):
        read(path)


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((64, 48), 48, (48, 64)),
        ((64, 48), 24, (24, 32)),
        ((64, 48), 96, (96, 128)),
        ((48, 64), 24, (32, 24)),
        # 48 * 25 / 34 = 35.29, 50 * 25 / 34 = 36.76
        ((48, 34), 25, (25, 35)),
        ((50, 34), 25, (25, 37)),
        ((48, 48), 20, (20, 20)),
    ],
)
def test_short_side(make_video, tmp_path, size, short_side, expected):
    path = make_video(tmp_path / "clip.mp4", frames=3, size=size)
    assert read(path, short_side) == (3, expected, 25)


def test_too_long_for_a_jpeg(make_video, tmp_path):
    path = make_video(tmp_path / "clip.mp4", frames=1, size=(512, 16))
    with pytest.raises(DamagedVideoError, match="512x16 are too long"):
        read(path, 4096)


def test_frames_equal_those_of_a_plain_decoder(real):
    path = real / "videos/part_0.mp4"
    with VideoReader(str(path), 256) as reader:
        np.testing.assert_array_equal(list(reader), stored(path))


@pytest.mark.skipif(
    not hasattr(av.stream.Stream, "index_entries"), reason="PyAV of Python 3.9 reads no edit lists"
)
def test_clip_trimmed_without_encoding_is_not_damaged(make_video, tmp_path):
    """An edit list hides the first frames, which the header counts."""
    source = make_video(tmp_path / "whole.mp4", frames=20, fps=10)
    options = {"avoid_negative_ts": "disabled"}
    trimmed = av.open(str(tmp_path / "trimmed.mp4"), "w", container_options=options)
    with av.open(str(source)) as whole, trimmed:
        stream = trimmed.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.dts is not None:
                second = int(1 / packet.time_base)
                packet.pts, packet.dts = packet.pts - second, packet.dts - second
                packet.stream = stream
                trimmed.mux(packet)
    assert av.open(str(tmp_path / "trimmed.mp4")).streams.video[0].frames == 20
    assert read(tmp_path / "trimmed.mp4")[0] == 10


def test_names_with_a_special_meaning_are_taken_literally(make_video, tmp_path, monkeypatch):
    make_video(tmp_path / "clip.mp4", frames=2)
    for name in ("http:clip.mp4", "-i", "%03d.mp4", "a b'\"$(x)\n.mp4", "ü.mp4"):
        (tmp_path / "clip.mp4").rename(tmp_path / name)
        assert read(tmp_path / name)[0] == 2
        (tmp_path / name).rename(tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    assert read("clip.mp4")[0] == 2


def test_disguised_playlist_reads_no_other_file(make_video, tmp_path):
    make_video(tmp_path / "secret.mp4", frames=2)
    (tmp_path / "list.avi").write_text(f"ffconcat version 1.0\nfile '{tmp_path}/secret.mp4'\n")
    with pytest.raises(DamagedVideoError, match="cannot be opened"):
        read(tmp_path / "list.avi")


def test_format_without_a_decoder(make_video, tmp_path):
    path = make_video(tmp_path / "clip.avi", frames=2)
    path.write_bytes(path.read_bytes().replace(b"FMP4", b"zzzz"))
    with pytest.raises(DamagedVideoError, match="is in a format that has no decoder"):
        read(path)


def test_metadata_that_is_not_text(make_video, tmp_path):
    path = make_video(tmp_path / "clip.avi", frames=2)
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "XXXX"
        stream = container.add_stream("mpeg4", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        image = np.zeros((48, 64, 3), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes().replace(b"XXXX", b"\xff\xfe\xe9\xe9"))
    assert read(path)[0] == 1


def test_cover_picture_is_not_a_video(tmp_path):
    with av.open(str(tmp_path / "song.mp4"), "w") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
        stream.disposition = av.stream.Disposition.attached_pic.value
        packet = av.Packet(encode_jpeg(np.zeros((32, 32, 3), np.uint8), 90))
        packet.stream = stream
        container.mux(packet)
    assert len(av.open(str(tmp_path / "song.mp4")).streams.video) == 1
    with pytest.raises(DamagedVideoError, match="has no video stream"):
        read(tmp_path / "song.mp4")


def test_encode_jpeg():
    image = np.full((48, 64, 3), (10, 200, 60), np.uint8)
    decoded = cv2.imdecode(np.frombuffer(encode_jpeg(image, 95), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded.astype(int) - image).max() <= 3
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    assert len(encode_jpeg(noise, 50)) < len(encode_jpeg(noise, 95))


def test_lazy_frames_equal_those_of_iterating(real):
    path = str(real / "broken" / "decord_video_90.mov")
    with VideoReader(path, 64) as reader:
        expected = list(reader)
    with VideoReader(path, 64) as reader:
        lazy = list(reader.lazy_frames())
    assert len(lazy) == 3
    for read_frame, image in zip(reversed(lazy), reversed(expected)):
        np.testing.assert_array_equal(read_frame(), image)

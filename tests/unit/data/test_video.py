"""Decoding of genuine files, good and broken: see README.md in ../shared/real."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from rlstm_tf.data.container import describe_streams
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
        # Two video streams, both marked as default: the second one is larger, and has 390 frames.
        ("videos/nasa_13013.mp4", 390, (256, 455), 30000 / 1001),
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
        # 40 frames in 48 places of an AVI file, of which 8 are empty.
        ("jhmdb/videos/clap/boom-snap-clap_clap_u_nm_np1_fr_med_0.avi", 40, (256, 341), 25),
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


@pytest.mark.parametrize("matrix", [m for m in UPRIGHT if any(m)])
def test_display_matrix_is_rounded(make_video, tmp_path, matrix):
    """Writers round sines differently, and phones record their angle: here half a degree."""
    path = make_video(tmp_path / "clip.mp4", frames=2)
    expected = [UPRIGHT[matrix](frame) for frame in stored(path)]
    turn = np.array([[1, 0.0087], [-0.0087, 1]])
    original = path.read_bytes()
    for noisy in (np.array(matrix) - 1 / 65536, (np.reshape(matrix, (2, 2)) @ turn).ravel()):
        path.write_bytes(original)
        with_matrix(path, noisy)
        with VideoReader(str(path), 48) as reader:
            np.testing.assert_array_equal(list(reader), expected)


@pytest.mark.parametrize("matrix", [(1, 0.5, 0, 1), (1, 0, 0.1, 1), (0.2, 1, -1, 0), (1, 0, 1, 0)])
def test_display_matrix_that_shears_is_refused(make_video, tmp_path, matrix):
    path = make_video(tmp_path / "clip.mp4", frames=2)
    with_matrix(path, matrix)
    with pytest.raises(DamagedVideoError, match="is sheared, or rotated"):
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
    with pytest.raises(DamagedVideoError, match="512x16 are too large"):
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


@pytest.mark.parametrize("name", ["list.avi", "list.mp4", "list.m3u8"])
@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile {}\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 26\n",
        "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='static'>"
        "<Period><AdaptationSet><Representation><BaseURL>{}</BaseURL></Representation>"
        "</AdaptationSet></Period></MPD>",
    ],
    ids=("ffconcat", "hls", "sdp", "dash"),
)
def test_playlist_reads_no_other_file(make_video, tmp_path, monkeypatch, name, text):
    make_video(tmp_path / "secret.mp4", frames=2)
    monkeypatch.chdir(tmp_path)
    for path in ("secret.mp4", f"{tmp_path}/secret.mp4"):
        (tmp_path / name).write_text(text.format(path))
        for given in (name, tmp_path / name):
            with pytest.raises(DamagedVideoError, match="cannot be opened: "):
                read(given)
    if text.startswith("ffconcat"):
        with pytest.raises(DamagedVideoError, match="it names other files, as a playlist does"):
            read(name)


def add_stream(container, codec="mpeg4", rate=25, size=(64, 48)):
    stream = container.add_stream(codec, rate=rate)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    return stream


def picture(number, size=(64, 48)):
    image = np.full((size[1], size[0], 3), 20 * number % 256, np.uint8)
    return av.VideoFrame.from_ndarray(image, format="rgb24")


def write_streams(path, sizes, default=()):
    """Writes one stream of each size, with one frame more than the one before."""
    with av.open(str(path), "w") as container:
        streams = [add_stream(container, size=size) for size in sizes]
        for number in default:
            streams[number].disposition = av.stream.Disposition.default
        for frames, (stream, size) in enumerate(zip(streams, sizes), 3):
            for number in range(frames):
                container.mux(stream.encode(picture(number, size)))
            container.mux(stream.encode())
    return str(path)


@pytest.mark.parametrize(
    ("sizes", "default", "chosen"),
    [
        ([(64, 48), (96, 64)], [0], 0),
        ([(96, 64), (64, 48)], [1], 1),
        ([(64, 48), (96, 64), (64, 48)], [0, 2], 0),
    ],
)
def test_stream_marked_as_default(tmp_path, sizes, default, chosen):
    path = write_streams(tmp_path / "a.mkv", sizes, default)
    expected = f"video stream {chosen} of 0 to {len(sizes) - 1}"
    with VideoReader(path, 32) as reader:
        assert (reader.count(), reader.streams) == (3 + chosen, expected)
    assert describe_streams(path) == expected


def test_largest_of_several_default_streams(tmp_path):
    """In MP4 files every stream that is turned on is marked so."""
    path = write_streams(tmp_path / "a.mp4", [(64, 48), (96, 64), (48, 32)], default=range(3))
    assert read(path, 32) == (4, (32, 48), 25)
    assert describe_streams(path) == "video stream 1 of 0 to 2"


def test_stream_by_number(make_video, tmp_path):
    path = write_streams(tmp_path / "a.mp4", [(64, 48), (96, 64), (48, 32)])
    for number in range(3):
        with VideoReader(path, 32, video_stream=number) as reader:
            assert (reader.count(), reader.streams) == (3 + number, "")
    with pytest.raises(DamagedVideoError, match="has no video stream 3: it has 3, from 0"):
        VideoReader(path, 32, video_stream=3)
    single = str(make_video(tmp_path / "b.mp4"))
    assert describe_streams(single) == describe_streams(f"{tmp_path}/nowhere.mp4") == ""
    with VideoReader(single, 32) as reader:
        assert reader.streams == ""


def write_sizes(path, sizes):
    """Writes a stream whose size changes: 3 frames of each size."""
    with av.open(str(path), "w") as container:
        target = add_stream(container, "libvpx", size=sizes[0])
        for part, size in enumerate(sizes):
            with av.open(f"{path}.{part}.webm", "w") as other:
                stream = add_stream(other, "libvpx", size=size)
                packets = [p for n in range(3) for p in stream.encode(picture(n, size))]
                packets += stream.encode()
            for number, packet in enumerate(packets, 3 * part):
                packet.pts = packet.dts = number
                packet.time_base, packet.stream = Fraction(1, 25), target
                container.mux(packet)
    return str(path)


def test_size_that_changes_keeps_its_shape(tmp_path):
    """As in a video call whose bandwidth drops. 426x240 and 854x480 both are 16:9, rounded."""
    path = write_sizes(tmp_path / "a.webm", [(426, 240), (854, 480), (212, 120)])
    with VideoReader(path, 60) as reader:
        frames = list(reader)
    assert {frame.shape for frame in frames} == {(60, 107, 3)}
    assert len(frames) == 9


def test_shape_that_changes_is_refused(tmp_path):
    path = write_sizes(tmp_path / "a.webm", [(64, 48), (48, 64)])
    with VideoReader(path, 48) as reader:
        shown = iter(reader)
        for _ in range(3):
            next(shown)
        with pytest.raises(DamagedVideoError, match="frame 3 is 48x64, the first one 64x48"):
            next(shown)
    with VideoReader(path, 48) as reader, pytest.raises(DamagedVideoError, match="frame 3 is"):
        reader.count()


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

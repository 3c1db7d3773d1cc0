"""When each frame is shown, and which gaps are damage, in files as encoders write them."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from rlstm_tf.data.stream_times import FrameTimes
from rlstm_tf.data.timeline import frame_times
from rlstm_tf.data.video import DamagedVideoError, VideoReader

RATE = 10


def make(path, codec="mpeg4", numbers=range(30), rate=RATE, edit=None, **options):
    """Writes frames that are shown at number / rate; `edit` changes the list of their packets."""
    size = (720, 576) if codec == "dvvideo" else (64, 48)
    with av.open(str(path), "w") as target:
        options = {key: str(value) for key, value in options.items()}
        stream = target.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        packets = []
        for number in numbers:
            image = np.full((size[1], size[0], 3), 8 * number % 256, np.uint8)
            image[:, : 2 * number] = 255
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, 1 / Fraction(rate)
            packets += stream.encode(frame)
        packets += stream.encode()
        for packet in edit(packets) if edit else packets:
            packet.stream = stream
            target.mux(packet)
    return str(path)


def look(path):
    """Returns the times of the frames, and their pixels."""
    with VideoReader(path, 48) as reader:
        frames = list(reader)
        return reader.frame_times(), frames, reader.fps


def changed(packet, content):
    """Returns another packet at the same time."""
    other = av.Packet(content)
    other.pts, other.dts, other.time_base = packet.pts, packet.dts, packet.time_base
    other.duration = packet.duration
    return other


def not_coded(number, rate=RATE):
    """Returns a predicted picture whose bit vop_coded is 0 (ISO/IEC 14496-2, 6.2.5)."""
    second, ticks = divmod(number, rate)
    before = (number - 1) // rate
    bits = "01" + "1" * (second - before) + "0" + "1"
    bits += f"{ticks:0{(rate - 1).bit_length()}b}" + "1" + "0"
    # Stuffing, which XviD leaves out where the bits end with a byte.
    if len(bits) % 8:
        bits += "0" + "1" * (-len(bits) % 8 - 1)
    return b"\0\0\1\xb6" + int(bits, 2).to_bytes(len(bits) // 8, "big")


@pytest.mark.parametrize("rate", [10, 25])
@pytest.mark.parametrize("container", ["avi", "mp4", "mkv", "m4v"])
def test_picture_that_is_not_coded_is_the_one_before(tmp_path, container, rate):
    numbers = (8, 9, 21, 29)

    def edit(packets):
        return [
            changed(packet, not_coded(number, rate)) if number in numbers else packet
            for number, packet in enumerate(packets)
        ]

    path = make(tmp_path / f"a.{container}", rate=rate, edit=edit)
    times, frames, fps = look(path)
    np.testing.assert_allclose(times.starts, np.arange(30) / rate, atol=1e-3)
    assert times.end == pytest.approx(30 / rate, abs=1e-3)
    assert fps == rate
    same = [number for number in range(1, 30) if np.array_equal(frames[number], frames[number - 1])]
    assert same == list(numbers)


def test_packed_stream_has_no_repeats(tmp_path):
    """DivX puts two pictures in one packet, and one that is not coded in a later one."""

    def pack(packets):
        contents = [bytes(packet) for packet in packets]
        kinds = [content[content.index(b"\0\0\1\xb6") + 4] >> 6 for content in contents]
        assert kinds.count(2) == 14
        packed = []
        for number, (kind, content) in enumerate(zip(kinds, contents)):
            if kind == 2:
                packed[-1] += content
                packed.append(not_coded(number))
            else:
                packed.append(content)
        # FFmpeg looks for this text.
        packed[0] = b"\0\0\1\xb2DivX503b1393p" + packed[0]
        written = [changed(packet, content) for packet, content in zip(packets, packed)]
        for number, packet in enumerate(written):
            packet.pts = packet.dts = number
        return written

    _, expected, _ = look(make(tmp_path / "plain.avi", bf=1))
    times, frames, _ = look(make(tmp_path / "packed.avi", edit=pack, bf=1))
    np.testing.assert_allclose(times.starts, np.arange(30) / RATE)
    np.testing.assert_array_equal(frames, expected)


HELD = [*range(8), *range(16, 30)]


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4", "libx264"])
def test_empty_places_of_avi(tmp_path, codec):
    """The writer leaves the places from 8 to 15 empty."""
    options = {"bf": 0} if codec == "libx264" else {}
    times, frames, fps = look(make(tmp_path / "a.avi", codec, HELD, **options))
    assert len(frames) == 22
    np.testing.assert_allclose(times.starts, np.array(HELD) / RATE)
    assert times.end == pytest.approx(3)
    assert fps == pytest.approx(22 / 3)


def set_length(content, frames):
    """Replaces the number of frames in the header of an AVI file's first stream."""
    place = content.index(b"strh") + 8 + 32
    return content[:place] + struct.pack("<I", frames) + content[place + 4 :]


def add_to_movi(content, chunks):
    """Appends chunks to the pictures of an AVI file."""
    index, place = content.index(b"idx1"), content.index(b"movi") - 4
    (size,) = struct.unpack_from("<I", content, place)
    content = content[:index] + chunks + content[index:]
    return content[:place] + struct.pack("<I", size + len(chunks)) + content[place + 4 :]


def test_last_picture_of_avi_that_is_held(tmp_path):
    """FFmpeg passes over empty places at the end without a trace."""
    path = tmp_path / "a.avi"
    content = (tmp_path / make(path, "mjpeg", range(10))).read_bytes()
    path.write_bytes(set_length(add_to_movi(content, b"00dc\0\0\0\0" * 20), 30))
    times, frames, fps = look(str(path))
    assert (len(frames), fps) == (10, pytest.approx(10 / 3))
    assert times.starts[-1] == pytest.approx(0.9)
    assert times.end == pytest.approx(3)
    # Places of another stream, too few, or none: then pictures are lost.
    for chunks in (b"01dc\0\0\0\0" * 20, b"00dc\0\0\0\0" * 10, b""):
        path.write_bytes(set_length(add_to_movi(content, chunks), 30))
        with pytest.raises(DamagedVideoError, match=r"10 frames decode.* header says 30"):
            look(str(path))


def test_empty_samples_of_quicktime(tmp_path):
    """Samples without a byte, of which the last two make the picture before them held."""
    empty = (8, 9, 10, 28, 29)
    path = tmp_path / "a.mov"
    content = (tmp_path / make(path, "mjpeg")).read_bytes()
    table, media = content.index(b"stsz") + 16, content.index(b"mdat") + 4
    sizes = struct.unpack_from(">30I", content, table)
    first = content.index(b"\xff\xd8")
    kept, place = content[:first], first
    for number, size in enumerate(sizes):
        kept += b"" if number in empty else content[place : place + size]
        place += size
    kept += content[place:]
    lost = len(content) - len(kept)
    (length,) = struct.unpack_from(">I", content, media - 8)
    kept = kept[: media - 8] + struct.pack(">I", length - lost) + kept[media - 4 :]
    table -= lost
    sizes = [0 if number in empty else size for number, size in enumerate(sizes)]
    path.write_bytes(kept[:table] + struct.pack(">30I", *sizes) + kept[table + 120 :])
    times, frames, fps = look(str(path))
    assert len(frames) == 25
    left = [number for number in range(30) if number not in empty]
    np.testing.assert_allclose(times.starts, np.array(left) / RATE)
    assert times.end == pytest.approx(3)
    assert fps == pytest.approx(25 / 3)


def test_lost_pictures_are_not_empty_places(tmp_path):
    path = tmp_path / "a.avi"
    content = (tmp_path / make(path, "mjpeg", HELD)).read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(DamagedVideoError, match=r"\d+ frames decode, 8 are empty, header says 30"):
        look(str(path))


def test_pictures_of_avi_that_are_stored_out_of_order(tmp_path):
    for codec in ("mpeg4", "libx264"):
        times, _, fps = look(make(tmp_path / f"{codec}.avi", codec, bf=2))
        np.testing.assert_allclose(times.starts, np.arange(30) / RATE)
        assert (times.end, fps) == (pytest.approx(3), RATE)


@pytest.mark.parametrize("container", ["mkv", "webm"])
def test_last_picture_that_is_held(tmp_path, container):
    """As in a slide show, or the recording of a screen."""
    codec = "libvpx" if container == "webm" else "mjpeg"

    def hold(packets):
        packets[-1].duration = 50
        return packets

    times, _, fps = look(make(tmp_path / f"a.{container}", codec, edit=hold))
    assert times.end == pytest.approx(7.9)
    assert fps == pytest.approx(30 / 7.9)
    # Without it, the end is lost.
    path = make(tmp_path / f"b.{container}", codec, range(29))
    content = (tmp_path / f"b.{container}").read_bytes()
    assert b"00:00:02.9" in content
    (tmp_path / f"b.{container}").write_bytes(content.replace(b"00:00:02.9", b"00:00:07.9"))
    with pytest.raises(DamagedVideoError, match=r"29 frames decode, the last at 2\.80 s"):
        look(path)


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv", "webm", "ts"])
def test_pictures_that_are_held_keep_their_times(tmp_path, container):
    codec = "libvpx" if container == "webm" else "mpeg2video" if container == "ts" else "mpeg4"
    times, _, fps = look(make(tmp_path / f"a.{container}", codec, HELD, rate=25))
    np.testing.assert_allclose(times.starts, np.array(HELD) / 25, atol=1e-3)
    assert times.end == pytest.approx(1.2, abs=1e-3)
    assert fps == pytest.approx(22 / 1.2, rel=0.05)


def test_header_without_a_true_frame_rate(tmp_path):
    """FFmpeg takes the clock of DV for its rate."""
    path = make(tmp_path / "a.dv", "dvvideo", range(5), rate=25)
    times, frames, fps = look(path)
    assert (len(frames), fps) == (5, pytest.approx(25))
    np.testing.assert_allclose(times.starts, np.arange(5) / 25)


@pytest.mark.parametrize(("name", "codec"), [("a.h264", "libx264"), ("a.m4v", "mpeg4")])
def test_stream_without_timestamps(tmp_path, name, codec):
    """Only then the time is number / rate."""
    path = make(tmp_path / name, codec, range(10), rate=25)
    times = frame_times(path, 48)
    np.testing.assert_allclose(times.starts, np.arange(10) / 25)
    assert times.end == pytest.approx(0.4)


def test_stream_cut_out_of_another(tmp_path):
    """The first pictures need some that are not there; the last one is cut."""
    path = tmp_path / "a.ts"
    content = (tmp_path / make(path, "mpeg2video", range(60), g=12)).read_bytes()
    _, frames, _ = look(str(path))
    middle = len(content) // 376 * 188
    for start in (188 * 10, middle, middle + 50):
        path.write_bytes(content[start:])
        times, shown, _ = look(str(path))
        assert 10 < len(shown) < 60
        np.testing.assert_allclose(np.diff(times.starts), 1 / RATE, atol=1e-3)
        np.testing.assert_array_equal(shown[-1], frames[-1])
    path = tmp_path / "a.h264"
    content = (tmp_path / make(path, "libx264", range(60), g=12, bf=0)).read_bytes()
    path.write_bytes(content[len(content) // 3 :])
    assert 10 < len(look(str(path))[1]) < 60


def test_recordings_put_one_after_the_other(tmp_path):
    """`cat a.ts b.ts`: the timestamps start again."""
    path = tmp_path / "a.ts"
    content = (tmp_path / make(path, "mpeg2video", range(30), g=12)).read_bytes()
    path.write_bytes(content + content)
    times, frames, _ = look(str(path))
    assert len(frames) == 60
    assert (np.diff(times.starts) > 0).all()
    assert times.end == pytest.approx(6, abs=0.2)


def test_times_do_not_go_back(tmp_path):
    """Some writers store the order of decoding."""

    def number_by_order(packets):
        for number, packet in enumerate(packets):
            packet.pts = packet.dts = number
        return packets

    times, frames, _ = look(make(tmp_path / "a.mkv", "libx264", edit=number_by_order, bf=2))
    assert len(frames) == 30
    assert (np.diff(times.starts) >= 0).all()
    assert times.end == pytest.approx(3, abs=0.1)


def test_part_of_a_video_is_enough_if_asked(tmp_path):
    path = tmp_path / "a.avi"

    def spoil(packets):
        return [
            changed(packet, b"noise" * 20) if number in (10, 11, 20) else packet
            for number, packet in enumerate(packets)
        ]

    make(path, "mjpeg", edit=spoil)
    for enough in (None, 0.91):
        reader = VideoReader(str(path), 48, keep_partial=enough)
        with reader, pytest.raises(DamagedVideoError, match="decoding fails after 10 frames"):
            reader.count()
    with VideoReader(str(path), 48, keep_partial=0.9) as reader:
        assert (reader.count(), reader.share) == (27, 0.9)
        assert reader.damage.startswith("decoding fails after 10 frames, header says 30: ")
        left = [number for number in range(30) if number not in (10, 11, 20)]
        np.testing.assert_allclose(reader.frame_times().starts, np.array(left) / RATE)


@pytest.mark.parametrize("container", ["avi", "mkv"])
def test_beginning_of_a_video_is_enough_if_asked(tmp_path, container):
    path = tmp_path / f"a.{container}"
    make(path, "mjpeg")
    with VideoReader(str(path), 48, keep_partial=0.9) as reader:
        assert (reader.count(), reader.share, reader.damage) == (30, 1.0, None)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with VideoReader(str(path), 48, keep_partial=0.1) as reader:
        count = reader.count()
        assert 6 < count < 24
        assert reader.share == pytest.approx(count / 30, abs=0.01)
        assert f"{count} frames" in reader.damage
    with VideoReader(str(path), 48, keep_partial=0.8) as reader, pytest.raises(DamagedVideoError):
        reader.count()


def test_times_are_known_once_all_frames_are_read(make_video, tmp_path):
    with VideoReader(str(make_video(tmp_path / "a.mp4", frames=10)), 48) as reader:
        assert reader.count() == 10
        assert isinstance(reader.frame_times(), FrameTimes)


def test_genuine_clips_with_empty_places(real):
    """J-HMDB's hold 25 frames per second in 30 places, so fewer than the header says."""
    paths = sorted((real / "jhmdb/videos").glob("*/*.avi"))[::100]
    assert paths
    for path in paths:
        times, frames, fps = look(str(path))
        assert len(frames) == len(times.starts) <= 40
        assert 24 < fps < 27
        assert set(np.rint(np.diff(times.starts) * 30)) == {1, 2}

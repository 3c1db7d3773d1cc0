"""Frames of a stream at its ticks: files, pipes that do not wait, and broken sources."""

import os
import threading
import time

import numpy as np
import pytest
from streams import damaged_packet, texture

from rlstm_tf.data import live
from rlstm_tf.data.live import LiveReader
from rlstm_tf.data.video import VideoReader
from rlstm_tf.data.video_views import RecordFormat, make_image_reader
from rlstm_tf.errors import DataError

FORMAT = RecordFormat(short_side=40, jpeg_quality=95)


def read(source, every=0.5):
    with LiveReader(str(source), every, FORMAT) as reader:
        return list(reader), reader.damaged


@pytest.fixture
def pipe(tmp_path):
    """pipe(content, hold): a named pipe; a thread writes the content and holds it open."""
    threads, done = [], threading.Event()

    def make(content, hold=False):
        path = tmp_path / "pipe"
        os.mkfifo(path)

        def write():
            with open(path, "wb") as file:
                file.write(content)
                file.flush()
                if hold:
                    done.wait(30)

        threads.append(threading.Thread(target=write))
        threads[-1].start()
        return path

    yield make
    done.set()
    for thread in threads:
        thread.join(30)


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (0.5, [0.0, 0.5, 1.0, 1.5]),
        (0.25, [0.0, 0.3, 0.5, 0.8, 1.0, 1.3, 1.5]),
        (60.0, [0.0]),
        (0.0, np.arange(17) / 10),
    ],
)
def test_frames_at_the_ticks(make_video, tmp_path, every, expected):
    """The first frame at or after each; a file waits, so none is dropped."""
    found, damaged = read(make_video(tmp_path / "a.mp4", frames=17, fps=10), every)
    np.testing.assert_allclose([frame.time for frame in found], expected, atol=1e-6)
    assert {frame.dropped for frame in found} == {0}
    assert damaged == 0


def test_images_are_those_of_a_record(make_video, tmp_path):
    path = str(make_video(tmp_path / "a.mp4", frames=6, size=(96, 64)))
    found, _ = read(path, 0.0)
    with VideoReader(path, FORMAT.short_side) as reader:
        image = make_image_reader(reader, FORMAT)
        for number, frame in enumerate(found):
            np.testing.assert_array_equal(frame.image, image(number))


def test_a_pipe_drops_frames_that_nobody_takes(pipe):
    """Each due frame is taken or counted, and the newest is taken."""
    with LiveReader(str(pipe(texture(60, (64, 48)))), 0.1, FORMAT) as reader:
        frames = iter(reader)
        found = [next(frames)]
        time.sleep(0.5)
        found += frames
    assert sum(1 + frame.dropped for frame in found) == 60
    assert sum(frame.dropped for frame in found) > 10
    assert found[-1].time == pytest.approx(5.9)
    assert (np.diff([frame.time for frame in found]) > 0).all()


def test_a_pipe_that_stalls(pipe, monkeypatch):
    monkeypatch.setattr(live, "STALLED", 0.2)
    source = pipe(texture(40, (64, 48)), hold=True)
    with pytest.raises(DataError, match=r"pipe: cannot be read: no data for 0.2 seconds$"):
        read(source, 5.0)


def test_packets_that_do_not_decode_are_counted(tmp_path):
    """What follows them is read on."""
    content = damaged_packet(texture(10, (64, 48), "png", "mov"), 4)
    (tmp_path / "a.mov").write_bytes(content)
    found, damaged = read(tmp_path / "a.mov", 0.0)
    assert damaged == 1
    np.testing.assert_allclose([frame.time * 10 for frame in found], [0, 1, 2, 3, 5, 6, 7, 8, 9])


def test_sources_that_end_in_one_line(tmp_path, pipe):
    def refused(message, path, every=0.5):
        with pytest.raises(DataError, match=message) as caught:
            read(path, every)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)

    refused("cannot be opened: No such file or directory", "/dev/video99")
    (tmp_path / "empty").write_bytes(b"")
    refused("cannot be opened: Invalid data", tmp_path / "empty")
    (tmp_path / "text").write_text("no video\n" * 100)
    refused("cannot be opened", tmp_path / "text")
    refused("cannot be opened", tmp_path)
    refused("cannot be opened", "/dev/null")
    refused("cannot be opened", pipe(b""))
    (tmp_path / "two.ts").write_bytes(texture(9, (64, 48)) + texture(9, (80, 48)))
    refused("a frame is 80x48, the first one 64x48", tmp_path / "two.ts", 0.0)


def test_a_playlist_names_no_files(make_video, tmp_path, pipe):
    """Neither a file nor a pipe may name other files."""
    video = make_video(tmp_path / "a.mp4")
    playlist = f"ffconcat version 1.0\nfile '{video}'\n".encode()
    (tmp_path / "list.ffconcat").write_bytes(playlist)
    for source in (tmp_path / "list.ffconcat", pipe(playlist)):
        with pytest.raises(DataError, match="cannot be opened"):
            read(source)


def test_times_that_begin_anew_go_on(tmp_path):
    (tmp_path / "twice.ts").write_bytes(2 * texture(9, (64, 48)))
    found, _ = read(tmp_path / "twice.ts", 0.0)
    times = np.array([frame.time for frame in found])
    assert len(times) == 18
    assert (np.diff(times) >= 0).all()
    assert times[-1] == pytest.approx(1.6)


def test_a_pipe_that_gives_nothing(pipe, monkeypatch):
    monkeypatch.setattr(live, "STALLED", 0.2)
    with pytest.raises(DataError, match=r"cannot be opened: no data for 0.2 seconds$"):
        read(pipe(b"", hold=True))


def test_errors_of_the_decoding_thread_arrive(tmp_path, make_video, monkeypatch):
    """The reader would wait for ever."""

    def fails(*_):
        raise MemoryError

    monkeypatch.setattr(live, "compress", fails)
    with pytest.raises(MemoryError):
        read(make_video(tmp_path / "a.mp4"))

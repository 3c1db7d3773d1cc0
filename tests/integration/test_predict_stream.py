"""`rlstm_tf.predict --stream`: lines of JSON, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import warm_python
from exports import CLASSES
from streams import damaged_packet, texture
from tiny_runs import run

from benchmarks.machine import resident
from rlstm_tf import predict
from rlstm_tf.data.live import LiveReader
from rlstm_tf.data.video_views import RecordFormat
from rlstm_tf.serving import stream_predictor
from rlstm_tf.serving.stream_predictor import StreamPredictor


@pytest.fixture(scope="module")
def video(make_video, tmp_path_factory):
    """2 seconds, 10 frames a second."""
    return make_video(tmp_path_factory.mktemp("videos") / "a.mkv", frames=20, fps=10)


@pytest.fixture
def predict_stream(small_export, small_signatures, capsys, monkeypatch):
    """predict_stream(source, *flags): status, answers, and lines of standard error."""
    monkeypatch.setattr(stream_predictor, "load_signatures", lambda version: small_signatures)

    def call(source, *flags):
        capsys.readouterr()
        line = [f"--stream={source}", f"--model={small_export}", *flags]
        status = run(predict, *line, positional="videos")
        captured = capsys.readouterr()
        return status, list(map(json.loads, captured.out.splitlines())), captured.err.splitlines()

    return call


def test_answers_of_a_file(predict_stream, video):
    status, answers, errors = predict_stream(video)
    assert (status, errors) == (0, ["4 answers, 0 frames dropped"])
    assert [answer["time"] for answer in answers] == [0.0, 0.5, 1.0, 1.5]
    assert [answer["dropped"] for answer in answers] == [0] * 4
    for answer in answers:
        logits = np.array(answer["logits"])
        best = [CLASSES[k] for k in np.argsort(-logits)[:5]]
        assert [one["label"] for one in answer["top"]] == best
        probabilities = np.sort(np.exp(logits) / np.exp(logits).sum())[::-1]
        found = [one["probability"] for one in answer["top"]]
        np.testing.assert_allclose(found, probabilities[:5], rtol=1e-5)


def test_an_answer_keeps_what_the_decay_leaves(predict_stream, video):
    """With 0, each is that of its frame alone."""
    (_, kept, _), (_, forgot, _) = (predict_stream(video, f"--decay={d}") for d in (1, 0))
    _, every, _ = predict_stream(video, "--every=0", "--decay=0")
    assert [answer["time"] for answer in every] == [round(0.1 * n, 6) for n in range(20)]
    assert [answer["logits"] for answer in forgot] == [answer["logits"] for answer in every[::5]]
    assert kept[0]["logits"] == forgot[0]["logits"]
    assert np.abs(np.subtract(kept[3]["logits"], forgot[3]["logits"])).max() > 1e-3


def test_standard_input_that_is_a_file_waits(predict_stream, video, monkeypatch):
    with video.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", file)
        status, answers, errors = predict_stream("-", "--every=0.1s")
    assert (status, len(answers), errors) == (0, 20, ["20 answers, 0 frames dropped"])


def test_errors_are_one_line(predict_stream, small_export, video, tmp_path, monkeypatch):
    def refused(status, message, *arguments):
        found, answers, errors = predict_stream(*arguments)
        assert (found, answers) == (status, [])
        assert errors == [errors[-1]]
        assert errors[-1].startswith("error: ")
        assert message in errors[-1]

    refused(2, "goes without videos", video, str(video))
    for wrong in ("soon", "-1s", "nan", "1e9"):
        refused(2, f"--every={wrong} must be seconds", video, f"--every={wrong}")
    refused(2, "--window does not go with --stream", video, "--window=8")
    refused(2, "decay", video, "--decay=1.5")
    refused(1, "/dev/video99: cannot be opened: No such file", "/dev/video99")
    (tmp_path / "empty").touch()
    refused(1, "empty: cannot be opened: Invalid data", tmp_path / "empty")
    monkeypatch.setattr(sys, "stdin", None)
    refused(1, "standard input: cannot be opened: it is closed", "-")
    monkeypatch.setattr(stream_predictor, "load_signatures", lambda version: {})
    refused(1, "has no signatures for streams", video)


def test_flags_of_streams_alone(small_export, video, capsys):
    for flag, message in (
        (f"--stream={video}", "--model must be given"),
        ("--decay=0.5", "--decay needs --stream"),
        ("--every=1s", "--every needs --stream"),
    ):
        model = [] if "model" in message else [str(video), f"--model={small_export}"]
        assert run(predict, flag, *model, positional="videos") == 2
        assert message in capsys.readouterr().err


def test_frames_that_do_not_decode_are_an_error_at_the_end(predict_stream, tmp_path):
    """All others are answered first."""
    path = tmp_path / "a.mov"
    path.write_bytes(damaged_packet(texture(6, (64, 48), "png", "mov"), 2))
    status, answers, errors = predict_stream(path, "--every=0")
    assert (status, [answer["time"] for answer in answers]) == (1, [0.0, 0.1, 0.3, 0.4, 0.5])
    assert errors == [
        "5 answers, 0 frames dropped",
        f"error: {path}: packets that do not decode: 1",
    ]


def test_a_broken_pipe_ends_a_stream(predict_stream, video, monkeypatch):
    """As with `| head -1`."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        status, answers, errors = predict_stream(video)
        monkeypatch.undo()
    assert (status, answers) == (1, [])
    assert errors == [
        "0 answers, 0 frames dropped",
        "error: cannot write to standard output: Broken pipe",
    ]


def _write_slowly(pipe, content, ended):
    for byte in content:
        os.write(pipe, bytes([byte]))
        if ended.wait(0.3):
            return


def test_sigint_ends_a_stream(small_export, video, tmp_path):
    """While it waits for the next frame of a pipe that stays open."""
    os.mkfifo(tmp_path / "pipe")
    # Also for reading: so that opening does not wait.
    pipe = os.open(tmp_path / "pipe", os.O_RDWR)
    flags = [f"--stream={tmp_path / 'pipe'}", f"--model={small_export}", "--every=0.1s"]
    process = warm_python.Python(["-m", "rlstm_tf.predict", *flags], stderr=subprocess.PIPE)
    content, ended = video.read_bytes(), threading.Event()
    trickle = threading.Thread(target=_write_slowly, args=(pipe, content[-200:], ended))
    try:
        os.write(pipe, content[:-200])
        # On a busy machine the first answer takes longer than a pipe may be silent.
        trickle.start()
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(60)
    finally:
        process.kill()
        ended.set()
        trickle.join()
        os.close(pipe)
    assert process.returncode == 130
    answers = [json.loads(line) for line in [first, *out.splitlines()]]
    assert all("time" in answer for answer in answers)
    summary, last = errors.splitlines()
    # It may come after a line, and before that line is counted.
    assert len(answers) - int(summary.split(" answers, ")[0]) in (0, 1)
    assert last == "error: interrupted"


def test_memory_is_constant(make_video, small_export, small_signatures, tmp_path, monkeypatch):
    """A hundred images that stayed would take 23 MB."""
    monkeypatch.setattr(stream_predictor, "load_signatures", lambda version: small_signatures)
    path = str(make_video(tmp_path / "a.mp4", frames=200, size=(320, 240)))
    predictor = StreamPredictor.load(small_export / "1", path)
    with LiveReader(path, 0.0, RecordFormat(short_side=240, jpeg_quality=95)) as reader:
        for number, frame in enumerate(reader):
            predictor.predict(frame.image)
            if number == 99:
                before = resident()
    assert number == 199
    assert resident() - before < 8e6

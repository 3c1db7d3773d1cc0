"""The command on exported networks, against the scores of an evaluation."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import av
import exports
import numpy as np
import pytest
import warm_python
from repository import ROOT
from tiny_runs import CLASSES, make_export, make_shards, run

from rlstm_tf import evaluate, predict
from rlstm_tf.data.batches import evaluation_example
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.shards import Shards
from rlstm_tf.evaluation import score_files
from rlstm_tf.serving import predictor


class Served(NamedTuple):
    """An exported network, its run's evaluation, and what both have seen."""

    model: Path
    videos: Path
    data: Path
    evaluation: Path
    config: InputConfig


def run_predict(capsys, *arguments):
    """Status, standard output, and lines of standard error."""
    capsys.readouterr()
    status = run(predict, *arguments, positional="videos")
    captured = capsys.readouterr()
    return status, captured.out, captured.err.splitlines()


@pytest.fixture(scope="module", params=["spatial", "temporal"])
def served(request, tiny_videos, tmp_path_factory):
    temporal = request.param == "temporal"
    config = InputConfig(1, 2, 32, stream=request.param, new_length=3 if temporal else 1)
    if not temporal:
        fixtures = (request.getfixturevalue(f"tiny_{name}") for name in ("export", "shards", "run"))
        model, data, run_dir = fixtures
    else:
        root = tmp_path_factory.mktemp("temporal")
        model, data, run_dir = root / "saved_models" / "small", root / "data", root / "run"
        make_shards(tiny_videos, data, "--stream=temporal", "--flow=dis")
        more = (f"--data={data}", "--stream=temporal", "--new_length=3")
        exports.make_run(run_dir, *exports.SMALL, *more, classes=CLASSES)
        assert run(evaluate, f"--run_dir={run_dir}", "--split=test") == 0
        make_export(run_dir, model)
    return Served(model, tiny_videos, data, run_dir / "evaluation" / "test", config)


@pytest.fixture(scope="module")
def spatial(served):
    if served.config.stream != "spatial":
        pytest.skip("one stream is enough")
    return served


def test_frames_and_numbers_are_those_of_an_evaluation(served, capsys, monkeypatch):
    found, _ = score_files.load(served.evaluation)
    assert len(found.ids) == 4
    seen = []

    def load_signatures(version):
        [serve] = [real(version)["serving_default"]]

        def noting(frames):
            seen.append(frames.numpy())
            return serve(frames=frames)

        return {"serving_default": noting}

    real = predictor.load_signatures
    monkeypatch.setattr(predictor, "load_signatures", load_signatures)
    paths = [served.videos / video for video in found.ids]
    status, out, errors = run_predict(capsys, *paths, f"--model={served.model}", "--json")
    assert (status, errors) == (0, [])
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["video"] for answer in answers] == list(map(str, paths))
    logits = np.array([answer["logits"] for answer in answers])
    # They would hide any difference if they hardly depended on the video.
    assert np.abs(logits - logits.mean(axis=0)).max() > 1e-3
    np.testing.assert_allclose(logits, found.logits, rtol=1e-5, atol=1e-5)
    shards = Shards.open(str(served.data), "test")
    for position, frames in enumerate(seen):
        expected = evaluation_example(shards, served.config, position)["frames"]
        np.testing.assert_array_equal(frames, expected)
    for answer, row in zip(answers, found.logits):
        probabilities = np.exp(row) / np.exp(row).sum()
        order = np.argsort(-row)
        assert [one["label"] for one in answer["top"]] == [found.classes[k] for k in order]
        shown = [one["probability"] for one in answer["top"]]
        np.testing.assert_allclose(shown, probabilities[order], atol=1e-5)
        assert len(answer["frames"]) == 2


def test_a_timeline_of_a_short_video_is_its_prediction(served, capsys):
    paths = [served.videos / name for name in ("l4.mp4", "r5.mp4")]
    given = [*paths, f"--model={served.model}", "--json"]
    whole = [json.loads(line) for line in run_predict(capsys, *given)[1].splitlines()]
    status, out, errors = run_predict(capsys, *given, "--timeline")
    assert (status, errors) == (0, [])
    for answer, line, end in zip(whole, out.splitlines(), (30 / 25, 1 / 25)):
        (segment,) = json.loads(line)["segments"]
        assert segment["start"] == 0
        assert segment["end"] == pytest.approx(end)
        assert segment["top"][0]["label"] == answer["top"][0]["label"]
        difference = segment["top"][0]["probability"] - answer["top"][0]["probability"]
        assert abs(difference) < 1e-5


def test_what_people_see(spatial, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    path = spatial.videos / "l4.mp4"
    status, out, errors = run_predict(capsys, path, path, "--model", spatial.model)
    assert (status, errors) == (0, [])
    head, first, second, *again = out.splitlines()
    assert [head, first, second] == again
    assert head == str(path)
    assert {first.split("  ")[1].strip(), second.split("  ")[1].strip()} == {"left", "right <i>"}
    assert all(len(line) == 60 and line.endswith(" %") for line in (first, second))
    assert "█" in first
    given = ["--timeline", "--window=0.4", "--stride=0.2", "--model", spatial.model]
    status, out, errors = run_predict(capsys, path, *given)
    assert (status, errors) == (0, [])
    head, *lines = out.splitlines()
    assert head == str(path)
    assert lines[0].startswith("  0.00 - ")
    assert " - 1.20 s  " in lines[-1]


@pytest.mark.parametrize("timeline", [(), ("--timeline",)], ids=("whole", "timeline"))
def test_damaged_videos_are_a_line_each_and_the_others_are_answered(
    spatial, capfd, real, tmp_path, timeline
):
    broken = sorted((real / "broken").iterdir())
    name = tmp_path / os.fsdecode(b"evil\n\x1b[2J\xff.avi")
    name.write_text("no video")
    absent = tmp_path / "absent.mp4"
    paths = [*broken, name, tmp_path, absent, spatial.videos / "l4.mp4"]
    status, out, errors = run_predict(
        capfd, *paths, f"--model={spatial.model}", "--json", *timeline
    )
    assert status == 1
    answers = [json.loads(line) for line in out.splitlines()]
    assert len(answers) == len(paths)
    good = {Path(answer["video"]).name for answer in answers if "error" not in answer}
    assert good == {
        *("decord_video_90.mov", "mp4parse_minimal.mp4", "torchcodec_var_fps_video.mp4"),
        "l4.mp4",
    }
    refused = [answer for answer in answers if "error" in answer]
    assert len(errors) == len(refused) == len(paths) - 4
    for answer, line in zip(refused, errors):
        assert set(answer) == {"video", "error"}
        assert line.startswith("error: ")
        assert line.isprintable()
    assert errors[-3].startswith(rf"error: {tmp_path}/evil\n\x1b[2J\xff.avi: cannot be opened: ")
    assert errors[-2:] == [
        f"error: {tmp_path}: is a directory without pictures; "
        "give video files or folders of pictures",
        f"error: {absent}: No such file or directory",
    ]
    assert run_predict(capfd, *paths, f"--model={spatial.model}", *timeline)[::2] == (1, errors)


def test_errors_of_the_user(spatial, tmp_path, capsys):
    video, model = spatial.videos / "l4.mp4", f"--model={spatial.model}"

    def refused(status, message, *arguments):
        found, out, errors = run_predict(capsys, *arguments)
        assert (found, out, len(errors)) == (status, "", 1)
        assert errors[0].startswith("error: ")
        assert message in errors[0]

    refused(2, "no video was given", model)
    refused(2, "--model must be given", video)
    refused(2, "--stride needs --timeline", video, model, "--stride=1")
    refused(2, "--fps needs --timeline", video, model, "--fps=25")
    refused(2, "--fps=25 does nothing: no folder", video, model, "--timeline", "--fps=25")
    refused(2, "--window=0 must be", video, model, "--timeline", "--window=0")
    refused(2, "--stride=9 must be at most --window=4", video, model, "--timeline", "--stride=9")
    refused(1, "holds no exported network", video, f"--model={tmp_path}")
    damaged = shutil.copytree(spatial.model, tmp_path / "damaged")
    (damaged / "1" / "saved_model.pb").write_bytes(b"\x08")
    refused(1, "is damaged", video, f"--model={damaged}")


def test_names_that_begin_with_a_dash_and_an_output_of_few_letters(spatial, tmp_path):
    shutil.copy(spatial.videos / "l4.mp4", tmp_path / "--é.mp4")
    result = subprocess.run(
        [sys.executable, "-m", "rlstm_tf.predict", f"--model={spatial.model}", "--", "--é.mp4"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
    )
    assert result.stderr == b""
    assert result.returncode == 0
    head, first, _ = result.stdout.decode("ascii").splitlines()
    assert head == r"--\xe9.mp4"
    assert "#" in first


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_where_nothing_can_be_printed(spatial):
    script = """
import os, runpy
os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
runpy.run_module("rlstm_tf.predict", run_name="__main__", alter_sys=True)
"""
    line = ["-c", script, f"--model={spatial.model}", spatial.videos / "l4.mp4"]
    result = warm_python.run(line, stderr=subprocess.PIPE)
    assert result.returncode == 1
    assert result.stderr == "error: cannot write to standard output: No space left on device\n"


def test_video_streams(spatial, tmp_path, capsys):
    """Reads the stream marked as default, and says so; or the one that is asked for."""
    videos = sorted(spatial.videos.rglob("*.mp4"))[:2]
    path = tmp_path / "both.mkv"
    first, second = (av.open(str(video)) for video in videos)
    with first, second, av.open(str(path), "w") as target:
        sources = [file.streams.video[0] for file in (first, second)]
        streams = [target.add_stream_from_template(source) for source in sources]
        streams[0].disposition = av.stream.Disposition.default
        streams[1].disposition = av.stream.Disposition(0)
        for source, stream in zip(sources, streams):
            for packet in source.container.demux(source):
                if packet.size:
                    packet.stream = stream
                    target.mux(packet)
    flags = [f"--model={spatial.model}", "--json"]
    _, out, _ = run_predict(capsys, *videos, *flags)
    expected = [json.loads(line)["top"] for line in out.splitlines()]
    for number in range(2):
        status, out, errors = run_predict(capsys, path, *flags, f"--video_stream={number}")
        assert (status, errors, json.loads(out)["top"]) == (0, [], expected[number])
    status, out, errors = run_predict(capsys, path, *flags)
    assert (status, json.loads(out)["top"]) == (0, expected[0])
    note = f"{path}: reads video stream 0 of 0 to 1; --video_stream=N reads another"
    assert errors == [note]
    status, out, errors = run_predict(capsys, path, *flags, "--video_stream=2")
    assert (status, errors) == (1, [f"error: {path}: has no video stream 2: it has 2, from 0"])
    status, out, errors = run_predict(capsys, path, *flags, "--timeline", "--video_stream=1")
    assert (status, errors, len(json.loads(out)["segments"])) == (0, [], 1)

"""ONNX files: equal to the network, in onnxruntime, with standard operations."""

import json
import os
import re
import sys

import numpy as np
import pytest
import tensorflow as tf
from exports import CLASSES, SMALL, make_run, run_export, videos

from rlstm_tf.serving.fixed_metadata import FrameSize
from rlstm_tf.serving.fixed_resize import make_preparation
from rlstm_tf.storage.checksums import verify_checksum

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")

CLOSE = {"rtol": 0, "atol": 1e-4}
SIZE = FrameSize(height=60, width=80)
STATE = [f"state_{name}" for name in ("C", "H", "decay", "mean", "weight")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "run", *SMALL)


@pytest.fixture(scope="module")
def exported(run):
    output = run.path.parent / "browser"
    assert run_export(*arguments(run, output), f"--frame_size={SIZE}") == 0
    return output


@pytest.fixture(scope="module")
def sessions(exported):
    names = sorted(path.stem for path in exported.iterdir())
    return {name: onnxruntime.InferenceSession(exported / f"{name}.onnx") for name in names}


def arguments(run, path):
    return f"--run_dir={run.path}", "--format=onnx", f"--output={path}"


def call(session, **inputs):
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs)))


def as_state(answer):
    """What the next step takes."""
    new = {name.removeprefix("new_"): value for name, value in answer.items()}
    return {name: value for name, value in new.items() if name.startswith("state_")}


def prepared(frames):
    """What the network sees of uint8 [T, H, W, 3], as a clip."""
    return make_preparation(SIZE, 32, 40, resize=True)(tf.constant(frames))[None]


def test_a_clip(run, sessions):
    for seed in range(3):
        clip = videos(1, 2, *SIZE, seed=seed)
        answer = call(sessions["serve_frames"], frames=clip)
        expected = run.model(prepared(clip[0])).numpy()
        np.testing.assert_allclose(answer["logits"], expected, **CLOSE)
        np.testing.assert_allclose(answer["probabilities"], tf.nn.softmax(expected), **CLOSE)


def test_a_stream(run, sessions):
    clip = videos(1, 2, *SIZE)
    answer = call(sessions["init_state"], decay=np.ones(1, np.float32))
    for frame in clip[0]:
        answer = call(sessions["step"], frames=frame[None], **as_state(answer))
    expected = run.model(prepared(clip[0])).numpy()
    np.testing.assert_allclose(answer["logits"], expected, **CLOSE)


def test_names(sessions):
    found = {
        name: (
            sorted(value.name for value in session.get_inputs()),
            sorted(value.name for value in session.get_outputs()),
        )
        for name, session in sessions.items()
    }
    new = [f"new_{name}" for name in STATE]
    assert found == {
        "serve_frames": (["frames"], ["logits", "probabilities"]),
        "init_state": (["decay"], STATE),
        "step": (["frames", *STATE], ["logits", *new, "probabilities"]),
    }
    (frames,) = sessions["serve_frames"].get_inputs()
    assert (frames.shape, frames.type) == ([1, 2, *SIZE, 3], "tensor(uint8)")


def test_each_file_has_the_metadata(sessions):
    for session in sessions.values():
        text = session.get_modelmeta().custom_metadata_map["rlstm_tf"]
        values = verify_checksum(json.loads(text), "rlstm_tf")
        assert values["classes"] == list(CLASSES)
        assert (values["format"], values["frame_height"], values["frame_width"]) == (1, *SIZE)


def test_standard_operations(exported):
    """Of ONNX itself, none of a runtime's or of tf2onnx's."""
    for path in exported.iterdir():
        file = onnx.load(path)
        onnx.checker.check_model(file)
        assert {node.domain for node in file.graph.node} <= {"", "ai.onnx"}
        assert not any("..." in str(node.attribute) for node in file.graph.node)


def test_a_state_of_another_network_is_refused(sessions):
    state = as_state(call(sessions["init_state"], decay=np.ones(1, np.float32)))
    state["state_H"] = np.zeros((1, 4, 4, 16), np.float32)
    with pytest.raises(Exception, match="state_H"):
        call(sessions["step"], frames=videos(1, 1, *SIZE)[0], **state)


def test_refusals(run, tmp_path, capsys, monkeypatch):
    def refused(message, *given):
        assert run_export(f"--run_dir={run.path}", "--format=onnx", *given) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert re.match(f"error: .*{message}", line), line

    output = f"--output={tmp_path / 'new'}"
    (tmp_path / "a.txt").write_text("kept")
    refused("exists: give the name of a new directory", f"--output={tmp_path}")
    refused("exists: give the name of a new directory", f"--output={tmp_path / 'a.txt'}")
    refused("--quantize needs --format=litert", output, "--quantize=dynamic")
    monkeypatch.delitem(sys.modules, "rlstm_tf.serving.onnx_files", raising=False)
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    refused("tf2onnx is missing; the extra onnx brings it", output)
    assert os.listdir(tmp_path) == ["a.txt"]

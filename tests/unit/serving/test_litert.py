"""LiteRT files: equal to the network, in LiteRT alone, with operations of its own."""

import dataclasses
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import av
import numpy as np
import pytest
import tensorflow as tf
from exports import CLASSES, SMALL, make_run, run_export, videos
from repository import ROOT
from tensorflow.lite.python import schema_py_generated as schema

from rlstm_tf import export
from rlstm_tf.models.streaming import StreamingModel
from rlstm_tf.runs.directory import read_flags
from rlstm_tf.serving import litert
from rlstm_tf.serving.fixed_metadata import FixedMetadata, FrameSize
from rlstm_tf.serving.fixed_resize import make_preparation
from rlstm_tf.serving.stream_signatures import pick_state
from rlstm_tf.storage.checksums import verify_checksum

CLOSE = {"rtol": 0, "atol": 1e-4}
SIZE = FrameSize(height=60, width=80)
EXAMPLE = ROOT / "examples" / "litert" / "classify.py"
HAS_LITERT = importlib.util.find_spec("ai_edge_litert") is not None
needs_litert = pytest.mark.skipif(not HAS_LITERT, reason="without ai-edge-litert")
if HAS_LITERT:
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.interpreter import Interpreter


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "run", *SMALL)


@pytest.fixture(scope="module")
def exported(run):
    path = run.path.parent / "phone" / "small.tflite"
    assert run_export(*arguments(run, path), f"--frame_size={SIZE}") == 0
    return path


@pytest.fixture(scope="module")
def interpreter(exported):
    return open_file(exported.read_bytes())


def arguments(run, path):
    return f"--run_dir={run.path}", "--format=litert", f"--output={path}"


def open_file(content):
    """LiteRT itself, or the copy in TensorFlow where it is not installed."""
    if not HAS_LITERT:
        return tf.lite.Interpreter(model_content=content)
    return Interpreter(model_content=content)


def call(interpreter, signature, **inputs):
    """Outputs of a signature; the runner's are views of memory that the next call overwrites."""
    answer = interpreter.get_signature_runner(signature)(**inputs)
    return {name: value.copy() for name, value in answer.items()}


def prepared(frames, size=SIZE):
    """What the network sees of uint8 [T, H, W, 3], as a clip."""
    return make_preparation(size, 32, 40, resize=True)(tf.constant(frames))[None]


def read_json(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("model.json"))


def test_a_clip(run, interpreter):
    for seed in range(3):
        clip = videos(1, 2, *SIZE, seed=seed)
        answer = call(interpreter, "serve_frames", frames=clip)
        expected = run.model(prepared(clip[0])).numpy()
        np.testing.assert_allclose(answer["logits"], expected, **CLOSE)
        np.testing.assert_allclose(answer["probabilities"], tf.nn.softmax(expected), **CLOSE)


def test_a_stream(run, interpreter):
    """Steps equal the clip network; the second stream begins anew."""
    for seed in range(2):
        clip = videos(1, 2, *SIZE, seed=seed)
        answer = call(interpreter, "init_state", decay=np.ones(1, np.float32))
        for frame in clip[0]:
            answer = call(interpreter, "step", frames=frame[None], **pick_state(answer))
        expected = run.model(prepared(clip[0])).numpy()
        np.testing.assert_allclose(answer["logits"], expected, **CLOSE)


def test_decay(run, interpreter):
    """A stream that forgets all answers as one that begins."""
    clip = videos(1, 2, *SIZE)[0]
    forgetful = call(interpreter, "init_state", decay=np.zeros(1, np.float32))
    for frame in clip:
        forgetful = call(interpreter, "step", frames=frame[None], **pick_state(forgetful))
    fresh = call(interpreter, "init_state", decay=np.ones(1, np.float32))
    fresh = call(interpreter, "step", frames=clip[1:], **pick_state(fresh))
    np.testing.assert_allclose(forgetful["logits"], fresh["logits"], **CLOSE)


@needs_litert
def test_compiled_model(run, exported, windowed):
    """LiteRT's newer API gives the whole state, and the answers of the other."""
    for content in (exported.read_bytes(), windowed):
        model, older = CompiledModel.from_buffer(content), open_file(content)
        state = call_compiled(model, "init_state", decay=np.float32([0.5]))
        expected = call(older, "init_state", decay=np.float32([0.5]))
        size = model.get_input_tensor_details("step")["frames"]["shape"][1:3]
        for frame in videos(1, 3, *size)[0]:
            state = call_compiled(model, "step", frames=frame[None], **pick_state(state))
            expected = call(older, "step", frames=frame[None], **pick_state(expected))
        assert set(state) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(state[name], value, **CLOSE, err_msg=name)


def call_compiled(model, signature, **inputs):
    """Outputs of a signature, by CompiledModel."""
    given = {name: model.create_input_buffer_by_name(signature, name) for name in inputs}
    for name, value in inputs.items():
        given[name].write(value)
    shapes = {
        name: details["shape"]
        for name, details in model.get_output_tensor_details(signature).items()
    }
    found = {name: model.create_output_buffer_by_name(signature, name) for name in shapes}
    model.run_by_name(signature, given, found)
    return {
        name: found[name].read(int(np.prod(shape)), np.float32).reshape(shape)
        for name, shape in shapes.items()
    }


def test_signatures(interpreter):
    state = [f"state_{name}" for name in ("C", "H", "decay", "mean", "weight")]
    assert interpreter.get_signature_list() == {
        "serve_frames": {"inputs": ["frames"], "outputs": ["logits", "probabilities"]},
        "init_state": {"inputs": ["decay"], "outputs": state},
        "step": {"inputs": ["frames", *state], "outputs": ["logits", "probabilities", *state]},
    }
    details = interpreter.get_signature_runner("serve_frames").get_input_details()["frames"]
    assert (details["shape"].tolist(), details["dtype"]) == ([1, 2, *SIZE, 3], np.uint8)


def test_a_wrong_state_is_refused(interpreter):
    state = pick_state(call(interpreter, "init_state", decay=np.ones(1, np.float32)))
    state["state_H"] = np.zeros((1, 4, 4, 16), np.float32)
    with pytest.raises((ValueError, RuntimeError)):
        call(interpreter, "step", frames=videos(1, 1, *SIZE)[0], **state)


def test_metadata(run, exported):
    values = verify_checksum(read_json(exported), "model.json")
    assert values["classes"] == list(CLASSES)
    assert (values["frame_height"], values["frame_width"]) == SIZE
    found = {name: values[name] for name in ("format", "num_segments", "image_size", "short_side")}
    assert found == {"format": 1, "num_segments": 2, "image_size": 32, "short_side": 40}
    assert (values["window"], values["quantize"], values["flow"]) == (None, "none", None)
    assert values["checkpoint"] == str(run.path / "checkpoints" / "step-000000001.npz")


def parse(content):
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))


def subgraphs(content):
    """Signature -> operations, and shapes of tensors."""
    file = parse(content)
    for signature in file.signatureDefs:
        graph = file.subgraphs[signature.subgraphIndex]
        codes = [file.operatorCodes[operator.opcodeIndex] for operator in graph.operators]
        shapes = [() if tensor.shape is None else tensor.shape for tensor in graph.tensors]
        yield signature.signatureKey.decode(), codes, shapes


def test_operations_and_ranks(exported, windowed):
    """Those of LiteRT alone, and no step with tensors that accelerators do not take."""
    for content in (exported.read_bytes(), windowed):
        ranks = {}
        for name, codes, shapes in subgraphs(content):
            assert all(code.builtinCode != schema.BuiltinOperator.CUSTOM for code in codes), name
            assert not any(code.customCode for code in codes), name
            ranks[name] = max(map(len, shapes))
        assert set(ranks) == {"serve_frames", "init_state", "step"}
        assert ranks["step"] <= 4


def test_each_output_is_computed_for_itself(exported, windowed):
    """LiteRT loses others, and runs a file that has one without its fast kernels."""
    for content in (exported.read_bytes(), windowed):
        for signature in parse(content).signatureDefs:
            inputs, outputs = (
                [tensor.tensorIndex for tensor in tensors]
                for tensors in (signature.inputs, signature.outputs)
            )
            assert len(set(outputs)) == len(outputs), signature.signatureKey
            assert not set(outputs) & set(inputs), signature.signatureKey


def convert(run, streaming, **options):
    """Content of a file for frames of the network's own size."""
    settings = read_flags(run.path / "flags.cfg")
    network = export._read_metadata(run.path, settings)
    metadata = FixedMetadata(network, FrameSize(32, 32), window=None, quantize="none")
    converted = litert.convert(run.model, dataclasses.replace(metadata, **options), streaming)
    return converted.files[""]


@pytest.fixture(scope="module")
def windowed(run):
    """A file with float16 weights, and a step for two snippets."""
    return convert(run, StreamingModel(run.model, 2), window=2, quantize="float16")


def test_float16(run, windowed):
    check_quantized(run, windowed)


def test_dynamic_range(run, exported):
    content = convert(run, streaming=None, quantize="dynamic")
    check_quantized(run, content)
    assert len(content) < 0.6 * exported.stat().st_size


def check_quantized(run, content):
    """The most probable class is that of the network, from logits that differ."""
    found, clips = open_file(content), videos(40)
    expected = run.model(clips).numpy()
    answers = [call(found, "serve_frames", frames=clip[None]) for clip in clips]
    logits = np.concatenate([answer["logits"] for answer in answers])
    assert np.abs(logits - expected).max() > 1e-6
    assert (logits.argmax(1) == expected.argmax(1)).mean() >= 0.95


def test_a_network_in_both_directions(tmp_path, capsys):
    """It converts without the signatures of a stream, and says so."""
    run = make_run(tmp_path / "run", *SMALL, "--bidirectional")
    assert run_export(*arguments(run, tmp_path / "a.tflite")) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "streams" in line]
    assert line.startswith("no signatures for streams: a bidirectional two_branch cannot stream")
    found = open_file((tmp_path / "a.tflite").read_bytes())
    assert set(found.get_signature_list()) == {"serve_frames"}
    clip = videos(1)
    expected = run.model(clip).numpy()
    np.testing.assert_allclose(
        call(found, "serve_frames", frames=clip)["logits"], expected, **CLOSE
    )


def test_refusals(run, tmp_path, capsys):
    def refused(message, *given, status=2):
        assert run_export(f"--run_dir={run.path}", *given) == status
        (line,) = capsys.readouterr().err.splitlines()
        assert re.match(f"error: .*{message}", line), line

    output = f"--output={tmp_path / 'a.tflite'}"
    refused("ends with .tflite", "--format=litert", f"--output={tmp_path / 'a'}")
    refused("is a directory", "--format=litert", f"--output={make(tmp_path / 'b.tflite')}")
    refused("must be WIDTHxHEIGHT", "--format=litert", output, "--frame_size=80,60")
    refused("a frame may have", "--format=litert", output, "--frame_size=80x2")
    refused("--quantize needs --format=litert", output, "--quantize=float16")
    refused(
        *("--precision needs --format=savedmodel", output, "--format=litert"),
        "--precision=mixed_bfloat16",
    )
    (run.path.parent / "two").mkdir()
    other = shutil.copytree(run.path, run.path.parent / "two" / "run")
    (other / "classes.json").write_text(json.dumps(list(CLASSES[:3])))
    assert run_export(f"--run_dir={other}", "--format=litert", output) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert os.listdir(tmp_path) == ["b.tflite"]


def make(directory):
    directory.mkdir()
    return directory


def run_example(*arguments):
    """Runs the example with TensorFlow out of reach."""
    program = (
        "import runpy, sys; sys.modules['tensorflow'] = None; sys.modules['keras'] = None; "
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", program, EXAMPLE, *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory):
    """A lossless video of two frames, of the size that the file takes."""
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    frames = videos(1, 2, *SIZE)[0]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = SIZE.width, SIZE.height, "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path, frames


@needs_litert
def test_the_example_needs_no_tensorflow(run, exported, clip_file):
    path, frames = clip_file
    expected = tf.nn.softmax(run.model(prepared(frames))).numpy()[0]
    lines = run_example(f"--model={exported}", path).stdout.splitlines()
    assert [line.split("  ")[1] for line in lines] == [
        CLASSES[k] for k in np.argsort(-expected)[:5]
    ]
    assert float(lines[0].split()[0]) == pytest.approx(expected.max(), abs=1e-4)
    stream = run_example(f"--model={exported}", "--stream", path).stdout.splitlines()
    assert [line.split(" s ")[0].strip() for line in stream] == ["0.00", "0.10"]
    assert stream[-1].split("  ")[-1] == CLASSES[expected.argmax()]


@needs_litert
def test_the_example_refuses_files_that_do_not_fit(exported, clip_file, tmp_path):
    def refused(message, model, *rest):
        found = run_example(f"--model={model}", *rest)
        assert (found.returncode, found.stdout) == (1, "")
        (line,) = found.stderr.splitlines()
        assert line.startswith("error: ")
        assert message in line, line

    def changed(**values):
        path = tmp_path / "changed.tflite"
        content, values = exported.read_bytes(), {**read_json(exported), **values}
        path.write_bytes(litert._append_json(content[: content.rindex(b"PK\x03\x04")], values))
        return path

    refused("has format 2; this program reads 1", changed(format=2), clip_file[0])
    refused("lists 1 classes and has scores for 6", changed(classes=["one"]), clip_file[0])
    refused("is not a LiteRT file from rlstm_tf.export", clip_file[0], clip_file[0])
    refused("No such file", tmp_path / "none.tflite", clip_file[0])
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    refused("bad.mp4", exported, tmp_path / "bad.mp4")

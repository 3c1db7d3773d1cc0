"""The files in examples/serving, and its client against a stand-in or the real server."""

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
import tensorflow as tf
from exports import CLASSES, decoded, jpegs, promising, run_export, videos
from google.protobuf import text_format
from repository import ROOT
from small_server import serving
from tensorflow_serving.config import model_server_config_pb2

from rlstm_tf.serving.artifact import find_newest_version

SERVING = ROOT / "examples" / "serving"


def client_module():
    spec = importlib.util.spec_from_file_location("client", SERVING / "client.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def client():
    return client_module()


@pytest.fixture(scope="module")
def saved_models(small_run, tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved_models")
    assert run_export(f"--run_dir={small_run.path}", f"--output={directory / 'demo'}") == 0
    return directory


def test_model_config():
    text = (SERVING / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == ("demo", "/models/demo")
    assert model.model_platform == "tensorflow"


def test_batches_are_at_most_as_large_as_the_graph_allows():
    """Parses the text by hand: only the server has its protocol buffer."""
    from rlstm_tf.serving.preprocessing import MAX_VIDEOS

    lines = (SERVING / "batching_parameters.txt").read_text().splitlines()
    fields = [line.split(" ", 1) for line in lines if not line.startswith("#")]
    assert [name for name, _ in fields] == [
        "max_batch_size",
        "batch_timeout_micros",
        "num_batch_threads",
        "max_enqueued_batches",
    ]
    values = {name: int(rest.removeprefix("{ value: ").removesuffix(" }")) for name, rest in fields}
    assert 1 < values["max_batch_size"] <= MAX_VIDEOS


def test_docker_command_mounts_the_paths_of_the_config():
    text = (SERVING / "README.md").read_text()
    for part in ("/models:ro", "/serving:ro", "/serving/models.config", "batching_parameters.txt"):
        assert part in text


def drive(client, run, rest, grpc):
    """Checks a server over REST and gRPC: answers, errors for bad requests, answers again."""
    frames = videos(1)
    files = jpegs(frames)[0].tolist()
    seen = np.stack([decoded(file) for file in files])[None]
    logits = run.model(seen).numpy()[0]
    best = CLASSES[int(logits.argmax())]
    share = float(np.exp(logits.max()) / np.exp(logits).sum())
    for call, server in ((client.call_rest, rest), (client.call_grpc, grpc)):
        for bad in (
            files[:1],
            [*files, files[0]],
            [b"no picture", files[1]],
            [promising(files[0], 30_000, 30_000), files[1]],
            [files[0][: len(files[0]) // 2], files[1]],
        ):
            with pytest.raises(RuntimeError, match=r"JPEG|frames_bytes"):
                client.classify(call, server, "demo", bad)
            answer = client.classify(call, server, "demo", files)
            assert answer[0][0] == best
            assert answer[0][1] == pytest.approx(share, abs=1e-4)
            assert len(answer) == 5
            # T frames of a stream are a clip.
            *_, last = client.classify_stream(call, server, "demo", files)
            assert [label for label, _ in last] == [label for label, _ in answer]
            assert last[0][1] == pytest.approx(share, abs=1e-4)
            inputs = call(server, "demo", "init_state", {"decay": 1.0})
            inputs |= {"frames_bytes": files[0], "state_network": 1}
            with pytest.raises(RuntimeError, match="not of this network"):
                call(server, "demo", "step_jpeg", inputs)


def test_client_with_stand_in_server(client, small_run, saved_models, tmp_path, capsys):
    with serving(find_newest_version(saved_models / "demo")) as (rest, grpc):
        drive(client, small_run, rest, grpc)
        paths = []
        for number, file in enumerate(jpegs(videos(1))[0]):
            path = tmp_path / f"{number}.jpg"
            path.write_bytes(file)
            paths.append(str(path))
        for server in (f"--rest={rest}", f"--grpc={grpc}"):
            assert client.main(["--model=demo", server, *paths]) == 0
            lines = capsys.readouterr().out.splitlines()
            assert len(lines) == 5
            assert lines[0].split("  ")[1] in CLASSES
            assert client.main(["--model=demo", server, "--stream", "--decay=0.9", *paths]) == 0
            lines = capsys.readouterr().out.splitlines()
            assert [line.split("  ")[0] for line in lines] == ["0.jpg", "1.jpg"]
            assert client.main(["--model=demo", server, paths[0]]) == 1
            assert capsys.readouterr().err.startswith("error: ")
    assert client.main(["--model=demo", f"--rest={rest}", *paths]) == 1
    assert "refused" in capsys.readouterr().err
    for wrong in ("--rest=foo", "--grpc="):
        assert client.main(["--model=demo", wrong, *paths]) == 1
        assert capsys.readouterr().err.startswith("error: ")


@pytest.fixture
def real_server(saved_models, tmp_path):
    """Starts tensorflow_model_server with examples/serving/models.config; yields addresses."""
    binary = shutil.which("tensorflow_model_server")
    if binary is None:
        pytest.skip("needs tensorflow_model_server, which is not installed here")
    with socket.socket() as one, socket.socket() as other:
        one.bind(("localhost", 0))
        other.bind(("localhost", 0))
        ports = one.getsockname()[1], other.getsockname()[1]
    config = tmp_path / "models.config"
    text = (SERVING / "models.config").read_text()
    config.write_text(text.replace("/models/", f"{saved_models}/"))
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--port={ports[0]}",
                f"--rest_api_port={ports[1]}",
                f"--model_config_file={config}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        for _ in range(240):
            with contextlib.suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(f"http://localhost:{ports[1]}/v1/models/demo", timeout=5)
                break
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.5)
        yield f"http://localhost:{ports[1]}", f"localhost:{ports[0]}"
    finally:
        process.terminate()
        process.wait(30)


def test_client_with_real_server(client, small_run, real_server):
    drive(client, small_run, *real_server)


def test_directory_holds_only_versions(saved_models):
    """Everything else is hidden, which a server ignores."""
    names = {path.name for path in (saved_models / "demo").iterdir()}
    assert {name for name in names if not name.startswith(".")} == {"1"}
    assert tf.saved_model.contains_saved_model(str(saved_models / "demo" / "1"))

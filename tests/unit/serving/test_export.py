"""Exported networks give the outputs of their checkpoints, wherever they are loaded."""

import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import tensorflow as tf
from exports import (
    CLASSES,
    SMALL,
    decoded,
    jpeg,
    jpegs,
    make_run,
    run_export,
    videos,
)
from tensorflow_serving.apis import prediction_log_pb2

from rlstm_tf.data.batches import evaluation_example
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.protocols import CENTER
from rlstm_tf.data.sampling import snippet_frames
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError
from rlstm_tf.serving import exporter, preprocessing
from rlstm_tf.serving.artifact import (
    ModelMetadata,
    find_newest_version,
    list_versions,
    load_signatures,
)

CLOSE = {"rtol": 0, "atol": 1e-4}


def logits(signature, **inputs):
    answer = signature(**{name: tf.constant(value) for name, value in inputs.items()})
    return answer["logits"].numpy()


def center(frames, size=32):
    y, x = (np.array(frames.shape[2:4]) - size) // 2
    return frames[:, :, y : y + size, x : x + size]


def test_frames_of_network_size_give_its_logits(small_run, small_signatures):
    frames = videos(3)
    expected = small_run.model(frames).numpy()
    # Logits must depend on the frames.
    assert np.abs(expected[0] - expected[1]).max() > 100 * CLOSE["atol"]
    found = logits(small_signatures["serving_default"], frames=frames)
    np.testing.assert_allclose(found, expected, **CLOSE)


@pytest.mark.parametrize("size", [(40, 53), (53, 40), (40, 41), (40, 640)])
def test_frames_of_record_size_are_cropped_as_in_evaluation(small_run, small_signatures, size):
    frames = videos(2, height=size[0], width=size[1])
    found = logits(small_signatures["serving_default"], frames=frames)
    np.testing.assert_allclose(found, small_run.model(center(frames)).numpy(), **CLOSE)


def test_jpegs_are_decoded_as_records(small_run, small_signatures):
    """Sends files of different sizes, some gray."""
    first, second = videos(1, 1, 40, 60)[0, 0], videos(1, 1, 47, 40, seed=1)[0, 0]
    files = [jpeg(first), jpeg(second), jpeg(second[..., 0]), jpeg(first, quality=30)]
    images = [center(decoded(file)[None, None])[0, 0] for file in files]
    found = logits(
        small_signatures["serve_jpeg"], frames_bytes=np.array(files, object).reshape(2, 2)
    )
    expected = small_run.model(np.stack(images).reshape(2, 2, 32, 32, 3)).numpy()
    np.testing.assert_allclose(found, expected, **CLOSE)


def test_jpegs_of_records_give_logits_of_evaluation(built, tmp_path):
    """Sends the files in the shards of every test video."""
    run = make_run(tmp_path / "run", *SMALL, short_side=32)
    assert run_export(f"--run_dir={run.path}", f"--output={tmp_path / 'a'}", "--nowarmup") == 0
    signature = load_signatures(find_newest_version(tmp_path / "a"))["serve_jpeg"]
    shards, config = Shards.open(str(built), "test"), InputConfig(1, 2, 32)
    for video in range(len(shards)):
        frames = evaluation_example(shards, config, video, CENTER)["frames"]
        count = int(shards.num_frames[video])
        numbers = snippet_frames(CENTER.starts(count, 2, 1), count, 1).ravel().tolist()
        files = np.array([shards.read_frames(video, numbers)], object)
        found = logits(signature, frames_bytes=files)
        np.testing.assert_allclose(found, run.model(frames).numpy(), **CLOSE)


@pytest.mark.parametrize("size", [(80, 107), (64, 48), (20, 30), (41, 41), (1, 16)])
def test_other_frames_are_resized_nearly_as_by_opencv(small_signatures, size):
    frame = videos(1, 1, *size)[0, 0]
    short, long = sorted(size)
    side = (2 * long * 40 + short) // (2 * short)
    target = (side, 40) if size[1] >= size[0] else (40, side)
    method = cv2.INTER_AREA if size[0] > target[1] else cv2.INTER_LINEAR
    expected = cv2.resize(frame, target, interpolation=method)
    found = preprocessing.resize_and_crop(tf.constant(frame), 32, 40, True, "frames").numpy()
    difference = np.abs(center(expected[None, None])[0, 0].astype(int) - found)
    assert difference.max() <= 1
    assert difference.mean() < 0.2
    # The signature resizes in the same way.
    both = np.stack([frame, frame])[None]
    a = logits(small_signatures["serving_default"], frames=both)
    b = logits(small_signatures["serving_default"], frames=np.stack([found, found])[None])
    np.testing.assert_allclose(a, b, **CLOSE)


def test_outputs_are_consistent(small_signatures):
    answer = small_signatures["serving_default"](frames=tf.constant(videos(3)))
    answer = {name: value.numpy() for name, value in answer.items()}
    exponentials = np.exp(answer["logits"].astype(np.float64))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answer["probabilities"], expected, rtol=1e-5)
    order = np.argsort(-answer["logits"], axis=1)[:, :5]
    np.testing.assert_array_equal(answer["top_classes"], order)
    assert answer["top_classes"].dtype == np.int32
    labels = [[label.decode() for label in row] for row in answer["top_labels"]]
    assert labels == [[CLASSES[c] for c in row] for row in order]
    top = np.take_along_axis(answer["probabilities"], order, axis=1)
    np.testing.assert_array_equal(answer["top_probabilities"], top)


def test_assets(small_run, small_export):
    version = find_newest_version(small_export)
    assert (version / "assets" / "classes.txt").read_text(encoding="utf-8").split("\n") == [
        *CLASSES,
        "",
    ]
    metadata = ModelMetadata.read(version)
    assert metadata.classes == list(CLASSES)
    assert metadata.checkpoint == str(small_run.path / "checkpoints" / "step-000000001.npz")
    assert (metadata.num_segments, metadata.image_size, metadata.short_side) == (2, 32, 40)
    assert sorted(path.name for path in small_export.iterdir()) == [".lock", "1"]


def test_next_version_has_next_number(small_run, small_export, tmp_path, capsys):
    directory = tmp_path / "small"
    for number in (3, 10):
        (directory / str(number)).mkdir(parents=True)
    capsys.readouterr()
    arguments = [f"--run_dir={small_run.path}", f"--output=file://{directory}", "--checkpoint=best"]
    assert run_export(*arguments, "--nowarmup") == 0
    assert f"version: file://{directory / '11'}" in capsys.readouterr().out
    assert sorted(list_versions(directory)) == [3, 10, 11]
    extra = (directory / "11" / "assets.extra").iterdir()
    assert [path.name for path in extra] == ["files.json"]
    assert ModelMetadata.read(directory / "11").checkpoint.endswith("best.npz")


@pytest.mark.parametrize("name", ["saved_model.pb", "assets/model.json"])
def test_foreign_newest_version_is_refused(small_export, tmp_path, name):
    directory = tmp_path / "small"
    shutil.copytree(small_export, directory)
    (directory / "20261124").mkdir()
    if name != "saved_model.pb":
        (directory / "20261124" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        find_newest_version(directory)
    assert str(caught.value) == (
        f"{directory}/20261124 is the newest version and holds no exported network: "
        f"{name}: No such file or directory"
    )
    with pytest.raises(DataError, match=r"assets/model.json: No such file or directory$"):
        ModelMetadata.read(directory / "20261124")


ALONE = """
import sys
import numpy as np
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("rlstm_tf", "tfrecords_tools", "keras_tuner"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
try:
    import rlstm_tf
except ImportError:
    pass
else:
    sys.exit("rlstm_tf is there")
import tensorflow as tf
with np.load(INPUTS, allow_pickle=False) as file:
    frames, files = file["frames"], [file[f"jpeg{i}"].tobytes() for i in range(4)]
signatures = tf.saved_model.load(VERSION).signatures
a = signatures["serving_default"](frames=tf.constant(frames))
b = signatures["serve_jpeg"](frames_bytes=tf.constant(np.array(files, object).reshape(2, 2)))
assert not any(name.startswith("rlstm_tf") for name in sys.modules)
np.savez(OUTPUT, a=a["logits"].numpy(), b=b["logits"].numpy())
"""


def test_export_loads_without_this_package(small_run, small_export, tmp_path):
    frames = videos(2)
    files = jpegs(videos(2, seed=5))
    bytes_of = {f"jpeg{i}": np.frombuffer(file, np.uint8) for i, file in enumerate(files.ravel())}
    np.savez(tmp_path / "inputs.npz", frames=frames, **bytes_of)
    values = {
        "INPUTS": str(tmp_path / "inputs.npz"),
        "OUTPUT": str(tmp_path / "outputs.npz"),
        "VERSION": str(find_newest_version(small_export)),
    }
    head = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    done = subprocess.run(
        [sys.executable, "-I", "-c", head + ALONE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    # tensorflow-io is not loaded here, so the status is the interpreter's own.
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "outputs.npz", allow_pickle=False) as found:
        np.testing.assert_allclose(found["a"], small_run.model(frames).numpy(), **CLOSE)
        seen = np.stack([decoded(file) for file in files.ravel()]).reshape(2, 2, 32, 32, 3)
        np.testing.assert_allclose(found["b"], small_run.model(seen).numpy(), **CLOSE)


def replayed(version, signatures, name):
    """Runs every warm-up request as a server does; returns the signature names."""
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    seen = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.name == name
        signature = signatures[request.model_spec.signature_name]
        inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
        answer = signature(**inputs)
        if "decay" not in inputs:
            assert answer["logits"].shape == (1, len(CLASSES))
            assert np.isfinite(answer["probabilities"].numpy()).all()
        seen.append(request.model_spec.signature_name)
    return seen


def test_warmup_requests_are_answered(small_export, small_signatures):
    seen = replayed(find_newest_version(small_export), small_signatures, "small")
    assert seen == ["init_state", *["serving_default", "serve_jpeg", "step", "step_jpeg"] * 2]


def test_temporal_stream(temporal_run, temporal_export, temporal_signatures):
    run, signatures = temporal_run, temporal_signatures
    seen = replayed(temporal_export, signatures, "flow")
    assert seen == ["init_state", "serving_default", "step", "serve_flow"]
    levels = videos(2, 2, 40, 50, channels=4)
    found = logits(signatures["serving_default"], frames=levels)
    np.testing.assert_allclose(found, run.model(center(levels)).numpy(), **CLOSE)
    planes = levels.transpose(0, 1, 4, 2, 3).reshape(-1, 80, 50)
    files = [jpeg(field) for field in planes]
    fields = [cv2.imdecode(np.frombuffer(f, np.uint8), cv2.IMREAD_GRAYSCALE) for f in files]
    stored = np.stack(fields).reshape(2, 2, 4, 40, 50).transpose(0, 1, 3, 4, 2)
    requests = np.array(files, object).reshape(2, 2, 2)
    found = logits(signatures["serve_flow"], fields_bytes=requests)
    np.testing.assert_allclose(found, run.model(center(stored)).numpy(), **CLOSE)
    # Flow vectors are in pixels of their frames, so flow is not resized.
    with pytest.raises(tf.errors.InvalidArgumentError, match="short side of 40 pixels"):
        logits(signatures["serving_default"], frames=videos(1, 2, 44, 50, channels=4))
    requests[0, 0, 0] = jpeg(planes[0][:-1])
    with pytest.raises(tf.errors.InvalidArgumentError, match="even number of rows"):
        logits(signatures["serve_flow"], fields_bytes=requests)


OPTIONS = ("--attention_norm", "--local_term", "--displacement_term", "--unit_forget_bias")


@pytest.mark.parametrize(
    ("more", "classes"),
    [
        (("--model=lstm", "--precision=mixed_float16"), ("a", "b")),
        (("--model=convlstm", "--precision=mixed_bfloat16"), CLASSES),
        (("--model=transformer",), CLASSES),
        (OPTIONS, CLASSES),
    ],
)
def test_other_networks_and_precisions(tmp_path, more, classes):
    """Outputs are float32, and name the best classes even if there are fewer than five."""
    run = make_run(tmp_path / "run", *SMALL, *more, classes=classes)
    assert run_export(f"--run_dir={run.path}", f"--output={tmp_path / 'a'}") == 0
    signatures = load_signatures(find_newest_version(tmp_path / "a"))
    # A transformer has no state.
    assert ("step" in signatures) == ("--model=transformer" not in more)
    answer = signatures["serving_default"](frames=tf.constant(videos(2)))
    assert answer["logits"].dtype == answer["probabilities"].dtype == tf.float32
    expected = run.model(videos(2)).numpy()
    np.testing.assert_allclose(answer["logits"], expected, atol=exporter.TOLERANCE_MIXED)
    assert answer["top_labels"].shape == (2, min(5, len(classes)))


def test_precision_need_not_be_that_of_the_training(small_run, tmp_path):
    """`small_run` has the same weights, and was trained in float32."""
    run = make_run(tmp_path / "run", *SMALL, "--precision=mixed_bfloat16")
    frames = videos(2)
    expected = small_run.model(frames).numpy()
    assert np.abs(run.model(frames).numpy() - expected).max() > 10 * CLOSE["atol"]
    given = [f"--run_dir={run.path}", f"--output={tmp_path / 'a'}", "--nowarmup"]
    assert run_export(*given, "--precision=float32") == 0
    signatures = load_signatures(find_newest_version(tmp_path / "a"))
    np.testing.assert_allclose(
        logits(signatures["serving_default"], frames=frames), expected, **CLOSE
    )


def test_version_with_other_outputs_is_not_published(small_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(exporter, "TOLERANCE", -1.0)
    arguments = [f"--run_dir={small_run.path}", f"--output={tmp_path / 'a'}"]
    assert run_export(*arguments) == 1
    assert "the exported network differs from" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_user_errors(small_run, small_export, tmp_path, capsys, monkeypatch):
    def refused(status, message, *arguments):
        capsys.readouterr()
        assert run_export(*arguments) == status
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert message in line

    of_run, output = f"--run_dir={small_run.path}", f"--output={tmp_path / 'a'}"
    refused(2, "--run_dir must be given", output)
    refused(2, "--output must be given", of_run)
    refused(2, "is one version", of_run, f"--output=file://{small_export / '1'}")
    refused(1, "holds no run", f"--run_dir={tmp_path / 'none'}", output)
    empty = make_run(tmp_path / "empty", *SMALL)
    for path in (empty.path / "checkpoints").iterdir():
        path.unlink()
    refused(1, "empty holds no checkpoint yet", f"--run_dir={empty.path}", output)
    refused(2, "is one version", of_run, f"--output={small_export / '1'}")
    refused(
        1,
        "holds checkpoints, which is not from an exported",
        of_run,
        of_run.replace("run_dir", "output"),
    )
    assert not (tmp_path / "a").exists()
    lines = make_run(tmp_path / "lines", *SMALL, classes=("a", "b\nc"))
    refused(1, "has a line break", f"--run_dir={lines.path}", output)
    nan = make_run(tmp_path / "nan", *SMALL, "--model=tsn")
    _spoil(nan.path)
    # Created directories are deleted, existing ones are kept.
    deep = output + "/b/c"
    refused(1, "not finite", f"--run_dir={nan.path}", deep)
    assert not (tmp_path / "a").exists()
    (tmp_path / "a" / "b").mkdir(parents=True)
    refused(1, "not finite", f"--run_dir={nan.path}", deep)
    assert [path.name for path in (tmp_path / "a").rglob("*")] == ["b"]
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    refused(2, "needs tensorflow-serving-api", of_run, output)


def _spoil(run_dir):
    """Saves a checkpoint whose classifier is not finite."""
    from rlstm_tf.runs.checkpoints import Checkpoints

    checkpoints = Checkpoints(run_dir / "checkpoints")
    state, _, _ = checkpoints.require_newest()
    name = next(name for name in state if "logits" in name)
    checkpoints.save(2, {**state, name: np.full_like(state[name], np.nan)}, {})

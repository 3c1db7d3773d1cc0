"""Numbers of files are bounded before memory is asked for."""

import dataclasses
import hashlib

import cv2
import numpy as np
import pytest
from small_shards import write_shards

from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.manifest import Manifest
from rlstm_tf.data.shards import Shards
from rlstm_tf.data.video import DamagedVideoError, VideoReader
from rlstm_tf.data.video_views import RecordFormat
from rlstm_tf.errors import DataError, UsageError
from rlstm_tf.model_config import ModelConfig
from rlstm_tf.serving.artifact import METADATA, ModelMetadata


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_segments": 10**9}, "num_segments=1000000000 must be from 1 to 1024"),
        ({"image_size": 10**6}, "image_size=1000000 must be from 1 to 8192"),
        ({"batch_size": 10**30}, "batch_size=1000000000000000000000000000000 must be from 1"),
        ({"new_length": 0}, "new_length=0 must be from 1 to 64"),
        ({"num_segments": 1024, "image_size": 8192}, "are 206158 MB, at most 268 are allowed"),
        ({"stream": "../x"}, "stream=../x must be one of spatial, temporal"),
    ],
)
def test_batches(options, message):
    with pytest.raises(UsageError, match=message):
        InputConfig(**{"batch_size": 1, **options})


@pytest.mark.parametrize(
    "options", [{"num_segments": 10**9}, {"image_size": 10**6}, {"units": 10**9}, {"channels": 999}]
)
def test_networks(options):
    (name, value) = next(iter(options.items()))
    with pytest.raises(UsageError, match=f"{name}={value} must be a number from"):
        ModelConfig(**options)


def test_the_papers_inputs_are_far_below():
    InputConfig(32, num_segments=12, image_size=224, stream="temporal", new_length=10)


MODEL = ModelMetadata(
    *("two_branch", "tiny_resnetv2", "spatial"),
    *(3, 32, 1, ["a", "b"], False, 40, 95, None, "runs/a/best.npz", "0.2"),
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_segments": 10**9}, "num_segments=1000000000 must be from 1 to 1024"),
        ({"image_size": 10**6}, "image_size=1000000 must be"),
        ({"short_side": 10**6}, "has invalid settings: .*short_side=1000000"),
        ({"jpeg_quality": 0}, "invalid settings"),
        # Optical flow would crash.
        ({"stream": "temporal", "flow": "dis", "short_side": 8}, "invalid settings"),
        ({"flow": "x"}, "invalid settings"),
        ({"flow": 1}, "flow must be str"),
        ({"stream": "sound"}, "stream=sound must be one of"),
        ({"classes": ["\ud800"]}, "is not Unicode"),
    ],
)
def test_an_exported_network(tmp_path, changes, message):
    path = tmp_path / "assets" / METADATA
    path.parent.mkdir()
    text = dataclasses.replace(MODEL, **changes).to_json()
    path.write_bytes(text.encode("utf-8", "backslashreplace"))
    with pytest.raises(DataError, match=f"^{path}:? .*{message}"):
        ModelMetadata.read(tmp_path)


def test_images_of_a_record():
    with pytest.raises(DataError, match=r"^x has invalid settings"):
        RecordFormat(10**9, 95).check("x")
    RecordFormat(1, 1).check("x")


def test_frames_of_a_video_that_claims_a_giant(tmp_path):
    frame = bytearray(cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes())
    at = frame.index(b"\xff\xc0") + 5
    path = tmp_path / "giant.mjpeg"
    for height, width in ((65_000, 65_000), (12_000, 12_000)):
        frame[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
        path.write_bytes(bytes(frame) * 3)
        with pytest.raises(DamagedVideoError):
            VideoReader(str(path), 32)


def test_frames_that_would_be_giants(make_video, tmp_path):
    path = make_video(tmp_path / "clip.mp4")
    with pytest.raises(DamagedVideoError, match=r"64x48 are too large, resized to .* 8192"):
        VideoReader(str(path), 8192)


def test_a_jpeg_of_a_shard_that_claims_a_giant(tmp_path):
    from rlstm_tf.data.batches import training_rows

    def giant(video, frame):
        content = bytearray(cv2.imencode(".jpg", np.zeros((40, 48, 3), np.uint8))[1].tobytes())
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = b"\x7f\xff\x7f\xff"
        return bytes(content)

    write_shards(tmp_path, [2], num_shards=1, image=giant)
    shards = Shards.open(str(tmp_path), "train")
    with pytest.raises(DataError, match="32767x32767 pixels, the index says 40x48"):
        training_rows(shards, InputConfig(1, 1, 32), 0, 1)


@pytest.mark.parametrize(
    ("index", "column", "value", "message"),
    [
        ("records", "fps", np.nan, "no possible frame rate"),
        ("records", "fps", -1, "no possible frame rate"),
        ("records", "height", 0, "frames without pixels"),
        ("records", "id", b"\xff", "the id of a video is not UTF-8"),
        ("frames", "offset", 2**64 - 1, "overlap or lie beyond the end"),
        ("frames", "size", 2**32 - 1, "overlap or lie beyond the end"),
        ("records", "num_frames", 2**32 - 1, "do not fit together"),
        ("records", "first_row", 2**64 - 1, "do not fit together"),
        ("samples", "num_frames", 2**32 - 1, "a sample up to frame 4294967295"),
    ],
)
def test_indexes_with_correct_checksums(tmp_path, index, column, value, message):
    manifest = write_shards(tmp_path, [3, 2], num_shards=1)
    (shard,) = manifest.shards
    path = tmp_path / f"{shard.name}.{index}.npy"
    rows = np.load(path)
    rows[column][0] = value
    np.save(path, rows)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    shard = dataclasses.replace(shard, **{f"{index}_sha256": digest})
    subset = dataclasses.replace(manifest.subsets["train"], shards=(shard,))
    dataclasses.replace(manifest, subsets={"train": subset}).save(str(tmp_path))
    with pytest.raises(DataError, match=message):
        Shards.open(str(tmp_path), "train")


def test_manifests_that_say_too_little(tmp_path):
    manifest = write_shards(tmp_path, [3], num_shards=1)
    for changes, message in (
        ({"damaged": ({"id": "a"},)}, "damaged: path must be str"),
        ({"missing": {"count": "1", "first": []}}, "missing: count must be int"),
        ({"missing": {"count": 1}}, "missing: first must be list"),
    ):
        text = dataclasses.replace(manifest, **changes).to_json()
        with pytest.raises(DataError, match=message):
            Manifest.from_json(text)

import hashlib
import json
import os

import builds
import cv2
import numpy as np
import pytest
from small_shards import CLASSES, context, flip_byte, jpeg, write_shards

from rlstm_tf.cli import app
from rlstm_tf.data.manifest import Manifest, Subset
from rlstm_tf.storage import files
from tfrecords_tools import verify
from tfrecords_tools.builder import shard_writer

SHARD = "train-00000-of-00002"


def run(capfd, *arguments):
    """Runs verify; returns exit status and the lines `error: ...`."""
    return builds.run(capfd, *arguments, program=verify)[::2]


@pytest.fixture
def shards(tmp_path):
    """Videos of 9, 3, 5, 4 frames: v0 and v2 in shard 0, v1 and v3 in shard 1; 4 per record."""
    write_shards(tmp_path, (9, 3, 5, 4), frames_per_record=4)
    return tmp_path


@pytest.mark.parametrize("form", [["{}"], ["--data={}"], ["{}", "--decode"], ["--decode", "{}"]])
def test_intact_shards(shards, capfd, form):
    assert run(capfd, *(part.format(shards) for part in form)) == (0, [])


def test_shard_without_videos(tmp_path, capfd):
    """All its videos were damaged."""
    write_shards(tmp_path, (3,), num_shards=2)
    assert run(capfd, str(tmp_path), "--decode") == (0, [])


def test_prints_what_it_checked(shards, capfd):
    arguments = ["verify", str(shards)]
    assert app.run(verify.main, verify.define_flags, arguments, positional="data") == 0
    captured = capfd.readouterr()
    assert "2 shards, 4 videos, 21 frames match the manifest" in captured.out
    assert "21/21" in captured.err
    assert "frames/s" in captured.err


def test_flipped_byte_in_a_frame(shards, capfd):
    rows = np.load(shards / f"{SHARD}.frames.npy")
    flip_byte(shards / f"{SHARD}.tfrecord", int(rows[10]["offset"]) + 20)
    status, errors = run(capfd, str(shards))
    assert status == 1
    assert len(errors) == 2
    assert f"{SHARD}.tfrecord has sha256 " in errors[0]
    assert f"{SHARD}: video 'v2', frame 1: checksum " in errors[1]


def test_cut_inside_a_record(shards, capfd):
    file = shards / f"{SHARD}.tfrecord"
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:-100])
    status, errors = run(capfd, str(shards))
    assert status == 1
    assert len(errors) == 4
    assert f"has {size - 100} bytes, the manifest says {size}" in errors[1]
    assert "ends inside record 4" in errors[2]
    assert f"{SHARD}: 1 frames lie beyond the end" in errors[3]


def test_cut_at_a_record_boundary(shards, capfd):
    """TensorFlow silently reads such a file as a shorter one."""
    file = shards / f"{SHARD}.tfrecord"
    content = file.read_bytes()
    end = 16 + int.from_bytes(content[:8], "little")
    file.write_bytes(content[:end])
    status, errors = run(capfd, str(shards))
    assert status == 1
    assert any("has 1 records, the manifest says 5" in error for error in errors)
    assert any("10 frames lie beyond the end" in error for error in errors)


def test_every_problem_of_every_shard_is_listed(shards, capfd):
    (shards / f"{SHARD}.tfrecord").unlink()
    (shards / "train-00001-of-00002.frames.npy").write_bytes(b"text")
    status, errors = run(capfd, str(shards))
    assert status == 1
    assert f"{SHARD}.tfrecord: No such file or directory" in errors[0]
    assert "train-00001-of-00002.frames.npy has sha256" in errors[1]
    assert len(errors) == 2


def test_pickled_index_is_not_opened(shards, capfd):
    rewrite_index(shards, lambda rows: np.array([{"id": 1}], object))
    status, errors = run(capfd, str(shards))
    assert status == 1
    assert any("records.npy is not an index" in error for error in errors)


def rewrite_index(shards, change, kind="records"):
    """Changes an index, and the manifest's checksum with it."""
    path = shards / f"{SHARD}.{kind}.npy"
    rows = np.load(path)
    rows = change(rows)
    np.save(path, rows)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()

    def set_checksum(values):
        values["subsets"]["train"]["shards"][0][f"{kind}_sha256"] = checksum

    rewrite_manifest(shards, set_checksum)


def rewrite_manifest(shards, change):
    values = json.loads((shards / "manifest.json").read_text())
    change(values)
    del values["sha256"]
    (shards / "manifest.json").write_text(json.dumps(values))


def field(name, row, value):
    def change(rows):
        rows[name][row] = value
        return rows

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[["id", "fps"]], "other columns"),
        (lambda rows: rows[:-1], "has 4 records, 2 videos, 14 frames; the manifest says 5, 2, 14"),
        (field("first_row", 2, 7), "do not fit together"),
        (field("first_frame", 1, 5), "video 'v0' lacks the frames before 5"),
        (field("id", 3, b"v0"), "video 'v0' occurs twice"),
        (
            field("id", slice(3, 5), b"v3"),
            "video 'v3' is in train-00000-of-00002 and in train-00001",
        ),
    ],
)
def test_inconsistent_index(shards, capfd, change, message):
    rewrite_index(shards, change)
    status, errors = run(capfd, str(shards))
    assert status == 1
    assert any(message in error for error in errors), errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows["label"], "index of samples has other columns"),
        (lambda rows: rows[:-1], "index has 1 samples, the manifest says 2"),
        (lambda rows: rows[:-1], "video 'v2' has 0 labels, expected one"),
        (field("num_frames", 1, 0), "index has 1 samples, the manifest says 2"),
        (field("video", 1, 0), "video 'v0' has 2 labels, expected one"),
        (field("video", 1, 7), "a sample of video 7, there are 2"),
        (field("first_frame", 0, 1), "video 'v0': a sample up to frame 10, the video has 9"),
    ],
)
def test_samples_that_do_not_fit_the_records(shards, capfd, change, message):
    rewrite_index(shards, change, "samples")
    status, errors = run(capfd, str(shards))
    assert status == 1
    assert any(message in error for error in errors), errors


def test_decode_finds_what_checksums_cannot(tmp_path, capfd):
    """Checksums match, but the frames were wrong when written."""
    small = cv2.imencode(".jpg", np.zeros((8, 16, 3), np.uint8))[1].tobytes()
    videos = [(context("a", 0, 3), [jpeg(0, 0), small, b"no JPEG"])]
    shard = shard_writer.write_shard(str(tmp_path), "test-00000-of-00001", videos)
    subsets = {"test": Subset(1, 3, 1, (shard,))}
    Manifest("folder", 0, "spatial", CLASSES, {}, subsets).save(str(tmp_path))
    assert run(capfd, str(tmp_path)) == (0, [])
    status, errors = run(capfd, str(tmp_path), "--decode")
    assert status == 1
    assert errors == [
        "error: test-00000-of-00001: video 'a', frame 1: is 16x8, the record says 48x40",
        "error: test-00000-of-00001: video 'a', frame 2: cannot be decoded",
    ]


def test_remote_directory(shards, capfd):
    assert run(capfd, f"file://{shards}", "--decode") == (0, [])
    (shards / f"{SHARD}.tfrecord").unlink()
    status, errors = run(capfd, f"file://{shards}")
    assert status == 1
    assert len(errors) == 1


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        (f"{SHARD}.records.npy", 0),
        (f"{SHARD}.tfrecord", 1),
        # Past the five records, among the frames.
        (f"{SHARD}.tfrecord", 10),
    ],
)
def test_store_that_fails_after_the_checksum(shards, capfd, monkeypatch, name, reads):
    read, seen = files._LocalFile.read, []

    def lost(file, offset, size):
        if os.readlink(f"/proc/self/fd/{file._descriptor}").endswith(name):
            seen.append(offset)
            if len(seen) > reads:
                raise OSError(5, "the line is down")
        return read(file, offset, size)

    monkeypatch.setattr(files._LocalFile, "read", lost)
    assert run(capfd, str(shards)) == (1, [f"error: {shards}/{name}: the line is down"])


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "--data is required"),
        (["a", "b"], 2, "unexpected argument 'b'"),
        (["a", "--decod"], 2, "decod"),
        (["a", "--repair"], 2, "--repair needs --videos"),
        (["a", "--videos=v"], 2, "--videos does nothing without --repair"),
        (["a", "--splits=s"], 2, "--splits does nothing without --repair"),
        (["file:///a", "--repair", "--videos=v"], 2, "must be a local directory"),
        (["/nowhere"], 1, "no shards in /nowhere: /nowhere/manifest.json: No such file"),
    ],
)
def test_bad_usage(capfd, arguments, status, message):
    found, errors = run(capfd, *arguments)
    assert found == status
    assert len(errors) == 1
    assert message in errors[0]

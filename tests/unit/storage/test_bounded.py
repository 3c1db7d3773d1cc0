"""What a file claims is bounded before memory is asked for."""

import io
import json
import os
import tracemalloc
import zipfile

import numpy as np
import pytest

from rlstm_tf.errors import DataError
from rlstm_tf.storage import bounded, files
from rlstm_tf.storage.arrays import parse_array, read_arrays
from rlstm_tf.storage.json_values import parse_json, read_json, require_names


def header(shape, dtype="<f8", version=b"\x01\x00"):
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    size = len(text).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + size + text


@pytest.fixture
def little_memory():
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header((10**12,)), r"shape \(1000000000000,\) in 0 bytes"),
        (header((10**9, 10**9, 10**9)), "shape"),
        (header((-1, -8)) + bytes(64), "shape"),
        (header((10**12,), "|S0"), "an array of"),
        (header((1,), "|O") + bytes(8), "an array of object"),
        (header((2,)) + bytes(15), r"shape \(2,\) in 15 bytes"),
        (header((2,)) + bytes(17), r"shape \(2,\) in 17 bytes"),
        (header((1,), version=b"\x03\x00") + bytes(8), "version"),
        (header("(" * 9000), "."),
        (header("x"), "."),
        (b"", "."),
        (b"\x93NUMPY", "."),
    ],
)
def test_arrays_that_claim_more_than_there_is(little_memory, content, message):
    with pytest.raises(ValueError, match=message):
        parse_array(content)


@pytest.mark.parametrize("array", [np.arange(5), np.zeros((0, 3)), np.array("é"), np.eye(2).T])
def test_arrays(array):
    file = io.BytesIO()
    np.save(file, array)
    found = parse_array(file.getvalue())
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


def test_archives(tmp_path, little_memory):
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.array(["a"]))
    with open(tmp_path / "a.npz", "rb") as file:
        found = read_arrays(file)
    assert {name: array.tolist() for name, array in found.items()} == {"x": [0, 1, 2], "y": ["a"]}
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros(10**5))
    with open(tmp_path / "bomb.npz", "rb") as file, pytest.raises(ValueError, match="claim more"):
        read_arrays(file)
    with zipfile.ZipFile(tmp_path / "claim.npz", "w") as archive:
        archive.writestr("x.npy", header((10**12,)))
    with open(tmp_path / "claim.npz", "rb") as file, pytest.raises(ValueError, match="shape"):
        read_arrays(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 60 + "]" * 60, "nested more than 50 times"),
        ('{"a":' * 900 + "1" + "}" * 900, "nested more than 50 times"),
        ("[" * 100_000, "nested more than 50 times"),
        ("[" + "{}," * 2_000_000 + "{}]", "more than 4000000 values"),
        ("[" + "0," * 4_000_001 + "0]", "more than 4000000 values"),
        ("[1] [2]", "Extra data"),
    ],
)
def test_texts_that_need_too_much(text, message):
    with pytest.raises(ValueError, match=message):
        bounded.parse_json_text(text)


def test_texts():
    deep = "[" * 50 + "]" * 50
    assert bounded.parse_json_text(deep) == json.loads(deep)
    # Many containers beside each other.
    wide = [{"a": [number]} for number in range(100)]
    assert bounded.parse_json_text(json.dumps(wide).encode()) == wide
    with pytest.raises(DataError, match=r"^x is not JSON: "):
        parse_json("[" * 100_000, "x")


def test_files_that_are_too_long(tmp_path, little_memory):
    with open(tmp_path / "long", "wb") as file:
        file.truncate(bounded.MAX_TEXT + 1)
    with pytest.raises(OSError, match="134217729 bytes, at most 134217728 are read"):
        files.read_text(str(tmp_path / "long"))
    with pytest.raises(DataError, match="long: 134217729 bytes, at most"):
        read_json(str(tmp_path / "long"))


def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe"):
        read_json(str(tmp_path / "pipe"))


def test_names_that_are_half_a_character():
    with pytest.raises(DataError, match=r"classes: 'a\\ud800' is not Unicode"):
        require_names(json.loads('["a\\ud800"]'), "classes")

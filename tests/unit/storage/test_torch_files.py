"""Tensors of torch.save, read without torch; anything else in such a file is refused."""

import io
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from torch_files import pickled, save

from rlstm_tf.storage import torch_files
from rlstm_tf.storage.torch_files import read_tensors

DRAW = np.random.default_rng(0)
TENSORS = {
    "kernel": DRAW.normal(size=(4, 3, 2, 2)).astype("float32"),
    # As a network in torch's channels_last has it.
    "strided": DRAW.normal(size=(2, 2, 3, 4)).astype("float32").transpose(3, 2, 0, 1),
    "half": DRAW.normal(size=5).astype("float16"),
    "counter": np.array(7),
}
archive = pytest.mark.parametrize("archive", [True, False], ids=["archive", "sequence"])


@archive
def test_tensors(tmp_path, archive):
    save(tmp_path / "net.pth", TENSORS, archive)
    found = read_tensors(str(tmp_path / "net.pth"))
    assert list(found) == list(TENSORS)
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert not found[name].flags.writeable


class Command:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


class Module:
    pass


@archive
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Module(), r"holds test_torch_files\.Module; only tensors are read"),
        (len, r"holds (builtins|__builtin__)\.len; only tensors are read"),
        (np.zeros(3, np.uint8), "holds torch.ByteStorage; only tensors are read"),
        ({"epoch": 1}, "its entry 'other' is not a tensor"),
        (3.5, "its entry 'other' is not a tensor"),
    ],
)
def test_other_objects_are_refused(tmp_path, archive, value, message):
    save(tmp_path / "net.pth", {**TENSORS, "other": value}, archive)
    with pytest.raises(ValueError, match=message):
        read_tensors(str(tmp_path / "net.pth"))


@archive
def test_a_command_does_not_run(tmp_path, archive):
    trace = tmp_path / "trace"
    content = {**TENSORS, "other": Command(trace)}
    save(tmp_path / "net.pth", content, archive)
    with pytest.raises(ValueError, match=r"holds (posix|nt)\.system; only tensors are read"):
        read_tensors(str(tmp_path / "net.pth"))
    assert not trace.exists()
    pickle.loads(pickle.dumps(content["other"]))  # it would have
    assert trace.exists()


@archive
def test_truncated_files(tmp_path, archive):
    path = tmp_path / "net.pth"
    save(path, TENSORS, archive)
    content = path.read_bytes()
    for size in range(0, len(content), 23):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"damaged|should be"):
            read_tensors(str(path))


def test_longer_files(tmp_path):
    path = tmp_path / "net.pth"
    save(path, TENSORS, archive=False)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ValueError, match=r"bytes where .* should be"):
        read_tensors(str(path))


def test_large_files(tmp_path, monkeypatch):
    path = tmp_path / "net.pth"
    save(path, TENSORS, archive=True)
    monkeypatch.setattr(torch_files, "_MAX_FILE", 1000)
    with pytest.raises(ValueError, match="bytes, at most 1000 are read"):
        read_tensors(str(path))


def test_archives_of_many_parts(tmp_path, monkeypatch):
    path = tmp_path / "net.pth"
    save(path, TENSORS, archive=True)
    parts = len(zipfile.ZipFile(path).namelist())
    monkeypatch.setattr(torch_files, "_MAX_PARTS", parts)
    assert len(read_tensors(str(path))) == len(TENSORS)
    monkeypatch.setattr(torch_files, "_MAX_PARTS", parts - 1)
    with pytest.raises(ValueError, match="has more than 5 parts"):
        read_tensors(str(path))


def archived(program, **numbers):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as members:
        members.writestr("net/data.pkl", program)
        for key, content in numbers.items():
            members.writestr(f"net/data/{key}", content)
    return stream.getvalue()


def tensor(shape, strides, offset=0, size=6):
    """A pickle of one tensor over `size` numbers of the storage `a`."""

    def number(value):
        return b"J" + value.to_bytes(4, "little", signed=True)

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = (
        b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0aX\3\0\0\0cpu" + number(size) + b"tQ"
    )
    arguments = b"(" + storage + number(offset) + numbers(shape) + numbers(strides) + b"t"
    return b"\x80\2}X\1\0\0\0wctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"Rs."


def test_a_tensor_over_part_of_its_storage(tmp_path):
    numbers = np.arange(6, dtype="float32")
    (tmp_path / "net.pth").write_bytes(archived(tensor((2, 2), (2, 1), 2), a=numbers.tobytes()))
    found = read_tensors(str(tmp_path / "net.pth"))
    np.testing.assert_array_equal(found["w"], [[2, 3], [4, 5]])


NAMES = b"\x80\2ccollections\nOrderedDict\n"
STORAGE = b"\x80\2(X\7\0\0\0storagectorch\nFloatStorage\n"
# Each a tuple of the one before, twice.
DOUBLED = b"".join(b"q%ch%c\x86" % (k, k) for k in range(200))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (tensor((7,), (1,)), "over 6 numbers"),
        (tensor((2, 2), (2, 1), 3), "over 6 numbers"),
        (tensor((2, 2), (5, 1)), "over 6 numbers"),
        (tensor((10**6, 10**6), (0, 0)), "over 6 numbers"),
        (tensor((2, 2), (-1, 1)), "strides"),
        (tensor((2, 2), (1,)), "strides"),
        (tensor((3,), (1,), -1), "strides"),
        (tensor((6,), (1,), size=7), "6 numbers where 7 should be"),
        # Python's own unpickler makes a table of 2^31 objects.
        (b"\x80\2Nr\xff\xff\xff\x7f.", "holds a NoneType"),
        (b"\x80\2" + b"X\xff\xff\xff\x7fa.", "damaged"),
        (b"\x80\2" + b"]" * (2 << 20) + b".", "damaged"),
        (b"\x80\4\x96\0\0\0\0\0\1\0\0.", "damaged|BYTEARRAY8"),
        # Attributes that would replace functions of ours.
        (NAMES + b"N}X\3\0\0\0getNs\x86b.", "holds a object"),
        (b"\x80\2ctorch._utils\n_rebuild_tensor_v2\n}b.", "holds a object"),
        (NAMES + b".", "holds a object"),
        (b"\x80\2N.", "holds a NoneType"),
        (b"\x80\2}K\1Ns.", "holds a int in place of a name"),
        # Its hash would need more than the stack; that of the next, 2^200 steps.
        (b"\x80\2})" + b"\x85" * 60_000 + b"Ns.", "holds a tuple in place of a name"),
        (b"\x80\2})" + DOUBLED + b"Ns.", "holds a tuple in place of a name"),
        (STORAGE + b")" + DOUBLED + b"NK\1tQ.", "holds a tuple in place of a name"),
        # Copies of a list, as many as there are bytes.
        (NAMES + b"](" + b"K\1" * 9 + b"e\x85R.", "calls what is not a function"),
        (b"\x80\2X\1\0\0\0a)R.", "calls what is not a function"),
    ],
)
def test_hostile_pickles(tmp_path, program, message):
    path = tmp_path / "net.pth"
    path.write_bytes(archived(program, a=bytes(24)))
    tracemalloc.start()
    with pytest.raises(ValueError, match=message):
        read_tensors(str(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def test_parts_that_claim_more_than_there_is(tmp_path):
    path = tmp_path / "net.pth"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("net/data.pkl", tensor((6,), (1,)))
        members.writestr("net/data/a", bytes(10**6))
    path.write_bytes(stream.getvalue())
    with pytest.raises(ValueError, match="claim more bytes than the file has"):
        read_tensors(str(path))


@pytest.mark.parametrize(
    "values", [(0, 1001, {"little_endian": True}), (None, 1, {"little_endian": False})]
)
def test_sequences_of_other_pickles(tmp_path, values):
    magic, *others = values
    magic = 0x1950A86A20F9469CFC6C if magic is None else magic
    content = b"".join(pickled(value) for value in (magic, *others, {}, []))
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"not a file of torch\.save on a common processor"):
        read_tensors(str(tmp_path / "net.pth"))
